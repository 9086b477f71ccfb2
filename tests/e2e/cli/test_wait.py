"""`waggle wait`: what comes about, when, and what is said if it does not."""

from __future__ import annotations

import json
import signal

import pytest

import waggle.sync
from tests.e2e.cli.shell import Running, Shell, Terminal

pytestmark = pytest.mark.e2e


def begun(env: dict[str, str], agent: waggle.sync.Hub, *args: str) -> Running:
    """A `waggle wait` that the hub knows of."""
    before = agent.stats().waits
    running = Running(env, "wait", *args)
    while agent.stats().waits == before:
        assert running.process.poll() is None, running.said.read()
    return running


def test_wait_prints_existing_entries_at_once(shell: Shell, agent: waggle.sync.Hub) -> None:
    agent.set("spec", {"state": "done"})
    agent.set("note", "hello")
    done = shell("wait", "spec", "note")
    assert (done.returncode, done.stdout, done.stderr) == (0, '{"state":"done"}\n"hello"\n', "")
    assert shell("wait", "note", "--text").stdout == "hello\n"


def test_wait_waits_for_an_absent_key(env: dict[str, str], agent: waggle.sync.Hub) -> None:
    with begun(env, agent, "spec", "--timeout", "forever") as waiting:
        agent.set("spec", 7)
        assert waiting.line() == "7\n"
        assert waiting.end() == (0, "")


def test_a_wait_out_of_time_is_a_plain_no_with_the_missing_conditions(shell: Shell, agent: waggle.sync.Hub) -> None:
    agent.set("a", 1)
    late = shell("wait", "a", "b", "--timeout", "0.1")
    assert (late.returncode, late.stdout) == (1, "")
    assert "within 0.1 s; met: a is there" in late.stderr
    assert "not yet: b is there" in late.stderr
    error = json.loads(shell("wait", "a", "b", "--timeout", "0", "--json").stdout)["error"]
    assert (error["code"], error["met"]) == ("timeout", [0])


def test_a_wait_for_any_ends_with_the_first_condition(shell: Shell, agent: waggle.sync.Hub) -> None:
    agent.set("b", 1)
    either = shell("wait", "a", "b", "--any", "--json")
    assert either.returncode == 0
    assert [json.loads(line)["key"] for line in either.stdout.splitlines()] == ["b"]


def test_so_many_that_match_and_whose_values_are_so(env: dict[str, str], agent: waggle.sync.Hub) -> None:
    agent.set("r:1", {"ok": True})
    with begun(env, agent, "--pattern", "r:*", "--count", "2", "--where", "/ok == true") as waiting:
        agent.set("r:2", {"ok": False})
        agent.set("r:3", {"ok": True})
        assert [waiting.line().split("\t")[:2] for _ in range(2)] == [["r:1", '{"ok":true}'], ["r:3", '{"ok":true}']]
        assert waiting.end() == (0, "")


def test_a_value_may_have_to_be_several_things_at_once(shell: Shell, agent: waggle.sync.Hub) -> None:
    agent.set("k", {"n": 5, "state": "done"})
    met = ("--where", "/n >= 3", "--where", "/state == done", "--timeout", "0")
    assert shell("wait", "k", *met).returncode == 0
    assert shell("wait", "k", *met, "--where", "/n < 5").returncode == 1


def test_until_it_is_gone_or_not_locked_any_more(env: dict[str, str], shell: Shell, agent: waggle.sync.Hub) -> None:
    agent.set("a", 1)
    with agent.lock("b"):
        assert shell("wait", "a", "--absent", "--timeout", "0").returncode == 1
        assert shell("wait", "b", "--unlocked", "--timeout", "0").returncode == 1
        waiting = begun(env, agent, "b", "--unlocked")
    with waiting:
        assert waiting.end() == (0, "")
    agent.delete("a")
    gone = shell("wait", "a", "--absent", "--timeout", "0")
    assert (gone.returncode, gone.stdout) == (0, "")


def test_a_wait_with_since_ignores_earlier_writes(env: dict[str, str], shell: Shell, agent: waggle.sync.Hub) -> None:
    rev = agent.set("k", 1).rev
    assert shell("wait", "k", "--since", str(rev), "--timeout", "0").returncode == 1
    assert shell("wait", "k", "--since", str(rev - 1), "--timeout", "0").returncode == 0


def test_conditions_may_be_json_from_standard_input(shell: Shell, agent: waggle.sync.Hub) -> None:
    agent.set("a", 1)
    conditions = '["a", {"key": "b", "absent": true}]'
    assert shell("wait", "--conditions", "-", stdin=conditions).returncode == 0
    refused = shell("wait", "--conditions", '[{"key": "a", "sometimes": true}]')
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "sometimes" in refused.stderr


def test_a_signal_ends_the_wait(env: dict[str, str], agent: waggle.sync.Hub) -> None:
    with begun(env, agent, "never") as waiting:
        waiting.process.send_signal(signal.SIGINT)
        assert waiting.end() == (-signal.SIGINT, "")


def test_in_a_terminal_ctrl_c_ends_the_wait(env: dict[str, str], agent: waggle.sync.Hub) -> None:
    with Terminal(env, "wait", "never", "--agent", "me") as terminal:
        agent.wait("me", ns="$agents")
        terminal.type("\x03")
        assert terminal.end()[0] == -signal.SIGINT
