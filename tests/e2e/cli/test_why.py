"""`waggle why`: who waits for whom. The sentences are those of tests/unit/cli/output/test_explain.py."""

from __future__ import annotations

import json

import pytest

import waggle.sync
from tests.e2e.cli.shell import WAGGLE, Running, Shell, Terminal
from tests.e2e.hubs import HubProcess, StartHub

pytestmark = pytest.mark.e2e


@pytest.fixture
def hub(start_hub: StartHub) -> HubProcess:
    """One of its own: `why` tells of all namespaces."""
    return start_hub()


def waiting(env: dict[str, str], agent: waggle.sync.Hub, *args: str) -> Running:
    before = agent.stats().waits
    running = Running(env, *args)
    while agent.stats().waits == before:
        assert running.process.poll() is None, running.said.read()
    return running


def test_why_says_so_when_nothing_waits(shell: Shell, agent: waggle.sync.Hub) -> None:
    well = shell("why")
    assert (well.returncode, well.stderr) == (0, "")
    assert well.stdout == "Nothing is stuck: 1 session, 0 locks, and no agent waits for another.\n"


def test_a_chain_is_told_from_its_end(env: dict[str, str], shell: Shell, agent: waggle.sync.Hub, ns: str) -> None:
    second = ("lock", "b", "--wait", "60", "--agent", "second")
    third = ("lock", "a", "--wait", "60", "--agent", "third", "--", "true")
    nested = ("lock", "a", "--agent", "second", "--", WAGGLE, *second, "--", "true")
    with agent.lock("b"), waiting(env, agent, *nested), waiting(env, agent, *third):
        stuck = shell("why")
        assert (stuck.returncode, stuck.stderr) == (1, "")
        lines = stuck.stdout.splitlines()
        assert len(lines) == 2
        assert lines[0].startswith(f"second waits for b in namespace {ns} since ")
        assert lines[1].startswith(f"third waits for a in namespace {ns} since ")
        assert "s: second holds it until " in lines[1]
        assert f"more), and waits for b in namespace {ns} since " in lines[1]
        assert f"s: {agent.agent} holds it until " in lines[1]
        assert len(shell("why", "third").stdout.splitlines()) == 1
        assert len(shell("why", "second").stdout.splitlines()) == 2
        facts = [json.loads(line) for line in shell("why", "--json").stdout.splitlines()]
        assert [(one["agent"], one["op"], one["stuck"]) for one in facts] == [
            ("second", "lock", True), ("third", "lock", True),
        ]  # fmt: skip
        assert all(one["sentence"].startswith(one["agent"]) for one in facts)


def test_why_names_the_met_and_the_missing_conditions_of_a_wait(
    env: dict[str, str], shell: Shell, agent: waggle.sync.Hub
) -> None:
    agent.set("a", 1)
    with waiting(env, agent, "wait", "a", "b", "--agent", "me"):
        stuck = shell("why", "me")
    assert stuck.returncode == 1
    assert "until all of 2 hold (met: a is there" in stuck.stdout
    assert "not yet: b is there" in stuck.stdout


def test_an_idle_worker_is_not_stuck(env: dict[str, str], shell: Shell, agent: waggle.sync.Hub) -> None:
    with waiting(env, agent, "take", "job:*", "--loop", "--agent", "worker", "--", "true"):
        well = shell("why")
    assert well.returncode == 0
    assert well.stdout.startswith("worker is ready for work on job:* ")
    assert "Nothing is stuck" in well.stdout


def test_an_agent_that_is_not_here_is_a_plain_no(shell: Shell) -> None:
    nobody = shell("why", "nobody")
    assert (nobody.returncode, nobody.stdout) == (1, "")
    assert "'nobody'" in nobody.stderr


@pytest.mark.parametrize("width", [40, 100])
def test_in_a_terminal_sentences_are_wrapped(env: dict[str, str], agent: waggle.sync.Hub, width: int) -> None:
    with agent.lock("a"), waiting(env, agent, "lock", "a", "--wait", "60", "--agent", "me", "--", "true"):
        with Terminal(env, "why", width=width) as terminal:
            code, written = terminal.end()
        assert code == 1
        assert all(len(line) <= width for line in written.splitlines())
        assert f"me waits for a in namespace {env['WAGGLE_NS']} since" in " ".join(written.split())
