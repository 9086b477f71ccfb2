"""The list of agents, and a status while a command runs."""

from __future__ import annotations

import json
import signal

import pytest

import waggle.sync
from tests.e2e.cli.shell import WAGGLE, Running, Shell

pytestmark = pytest.mark.e2e


def test_agents_lists_connected_agents_without_the_command_itself(shell: Shell, agent: waggle.sync.Hub) -> None:
    agent.status("at work")
    mine = [line.split("\t") for line in shell("agents").stdout.splitlines() if line.startswith(agent.agent)]
    assert mine[0][2] == "here"
    assert mine[0][4] == "at work"
    everyone = [json.loads(line) for line in shell("agents", "--json").stdout.splitlines()]
    assert [one["status"] for one in everyone if one["agent"] == agent.agent] == ["at work"]
    assert not [one for one in everyone if one["meta"].get("role") == "cli"]


def test_a_command_leaves_no_agent_behind(shell: Shell, agent: waggle.sync.Hub) -> None:
    for command in (("set", "k", "1"), ("get", "k"), ("get", "none"), ("list", "["), ("watch", "--timeout", "0.1")):
        shell(*command)
        assert not [entry for entry in agent.agents() if entry.value["meta"].get("role") == "cli"]
    assert not [entry for entry in agent.list(ns="$seen") if entry.key.startswith("agent-")]


def test_the_name_comes_from_the_option_or_the_environment(shell: Shell) -> None:
    shell("set", "k", "1", WAGGLE_AGENT="from-env")
    assert json.loads(shell("get", "k", "--json").stdout)["by"] == "from-env"
    shell("set", "k", "1", "--agent", "from-option", WAGGLE_AGENT="from-env")
    assert json.loads(shell("get", "k", "--json").stdout)["by"] == "from-option"


def test_a_status_is_there_while_a_program_runs(shell: Shell, process: Shell, env: dict[str, str]) -> None:
    done = process("status", "compiling", "--agent", "builder", "--", WAGGLE, "agents", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    (one,) = [one for one in map(json.loads, done.stdout.splitlines()) if one["agent"] == "builder"]
    assert (one["status"], one["connected"]) == ("compiling", True)
    assert '"builder"' not in shell("agents", "--json").stdout


def test_the_exit_code_is_that_of_the_program(process: Shell) -> None:
    assert process("status", '{"step": 1}', "--", "sh", "-c", "exit 7").returncode == 7
    missing = process("status", "x", "--", "no-such-program-at-all")
    assert (missing.returncode, missing.stdout) == (2, "")
    assert "no-such-program-at-all" in missing.stderr


def test_without_a_program_it_is_there_until_the_signal(env: dict[str, str], agent: waggle.sync.Hub) -> None:
    with Running(env, "status", "at work", "--agent", "me") as being:
        assert "me is connected" in being.said.readline()
        assert [entry.value["status"] for entry in agent.agents() if entry.key == "me"] == ["at work"]
        being.process.send_signal(signal.SIGTERM)
        assert being.end() == (-signal.SIGTERM, "")
    assert "me" not in [entry.key for entry in agent.agents()]
