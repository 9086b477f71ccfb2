"""`waggle watch`: what happens, as it happens, printed or handed to a command."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from pathlib import Path

import pytest

import waggle.sync
from tests.e2e.cli.shell import WAGGLE, Restarting, Running, Shell

pytestmark = pytest.mark.e2e


def test_watch_prints_events_as_they_happen(env: dict[str, str], agent: waggle.sync.Hub) -> None:
    agent.set("task:1", "old")
    with Running(env, "watch", "task:*", "chat", "--snapshot", "--count", "5") as watching:
        watching.until_synced()
        agent.set("other", 1)
        agent.set("task:2", {"n": 1}, ttl=0.2)
        first = watching.line()
        agent.publish("chat", "hello")
        agent.delete("task:1")
        lines = [first, *(watching.line() for _ in range(3))]
        assert sorted(line.split("\t")[1] for line in lines) == ["delete", "expire", "message", "set"]
        assert first.split("\t")[1:] == ["set", "task:2", agent.agent, '{"n":1}\n']
        assert watching.end() == (0, "")


def test_watch_as_json_is_an_event_a_line(env: dict[str, str], agent: waggle.sync.Hub, ns: str) -> None:
    agent.set("k", 0)
    with Running(env, "watch", "--json", "--snapshot", "--types", "set,touch", "--count", "3") as watching:
        known, synced = (json.loads(watching.line()) for _ in range(2))
        assert (known["type"], known["value"], known["snapshot"]) == ("set", 0, True)
        assert synced["type"] == "synced"
        written = agent.set("k", 1)
        agent.publish("k", "not asked for")
        agent.touch("k", 5)
        events = [json.loads(watching.line()) for _ in range(2)]
        assert [event["type"] for event in events] == ["set", "touch"]
        assert events[0]["rev"] == written.rev
        assert events[0]["ns"] == ns
        assert watching.end() == (0, "")


def test_watch_in_every_namespace_shows_which(env: dict[str, str], agent: waggle.sync.Hub, ns: str) -> None:
    with Running(env, "watch", f"only-{ns}", "--ns", "*", "--snapshot", "--count", "1") as watching:
        watching.until_synced()
        agent.set(f"only-{ns}", 1)
        assert f"\t{ns}\tonly-{ns}\t" in watching.line()


def test_watch_ends_at_its_timeout(shell: Shell, agent: waggle.sync.Hub) -> None:
    nothing = shell("watch", "--timeout", "0.2")
    assert (nothing.returncode, nothing.stdout) == (1, "")
    assert "0.2 s" in nothing.stderr
    agent.set("k", 1)
    assert shell("watch", "--snapshot", "--timeout", "1").returncode == 0
    assert shell("watch", "--snapshot", "--timeout", "1", "--count", "2").returncode == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_quietly_and_its_session(
    env: dict[str, str], agent: waggle.sync.Hub, number: signal.Signals
) -> None:
    with Running(env, "watch", "--snapshot", "--agent", "leaver") as watching:
        watching.until_synced()
        watching.process.send_signal(number)
        assert watching.end() == (-number, "")
    assert not [entry for entry in agent.agents() if entry.key == "leaver"]


def test_watch_ends_when_its_reader_has_gone(env: dict[str, str], agent: waggle.sync.Hub) -> None:
    """As in `waggle watch | head -1`: at once, not at the next event."""
    with Running(env, "watch", "--snapshot") as watching:
        watching.until_synced()
        agent.set("k", 1)
        assert "\tk\t" in watching.line()
        watching.output.close()
        assert watching.end() == (0, "")


def test_an_output_that_is_not_read_is_no_error(env: dict[str, str], agent: waggle.sync.Hub) -> None:
    for n in range(200):
        agent.set(f"k{n}", "x" * 1000)
    command = f"{WAGGLE} list | head -1; echo ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", command], env=env, capture_output=True, text=True, timeout=60)
    assert result.stderr == ""
    assert result.stdout.splitlines()[-1] == "0"


def test_watch_outlives_its_hub_and_says_so() -> None:
    with Restarting() as hub, Running(hub.env, "watch", "--snapshot") as watching:
        watching.until_synced()
        hub.stop()
        assert "away" in watching.said.readline()
        hub.start()
        assert "back" in watching.said.readline()
        assert "\tlost\t" in watching.line()
        watching.until_synced()


# --- watch --exec ------------------------------------------------------------------------------------------------


def test_exec_runs_a_command_for_each_event_one_after_the_other(
    env: dict[str, str], agent: waggle.sync.Hub, tmp_path: Path
) -> None:
    """However slow it is: none is skipped, and no two run at once."""
    agent.set("k", 0)
    command = f"mkdir {tmp_path}/busy && sleep 0.05 && rmdir {tmp_path}/busy && echo $WAGGLE_EVENT_VALUE; cat >&2"
    with Running(env, "watch", "--snapshot", "--exec", command, "--fail", "--count", "10") as watching:
        assert watching.line() == "0\n"
        for n in range(1, 10):
            agent.set("k", n)
        assert [watching.line() for _ in range(9)] == [f"{n}\n" for n in range(1, 10)]
        code, said = watching.end()
    assert code == 0
    assert [event["value"] for event in map(json.loads, re.findall(r"{.*?}", said))] == [*range(10)]


def test_a_command_that_fails_is_told_of_and_ends_it_only_with_fail(process: Shell, agent: waggle.sync.Hub) -> None:
    agent.set("a", 1)
    agent.set("b", 1)
    options = ("watch", "--snapshot", "--count", "2", "--exec", "echo $WAGGLE_EVENT_KEY; exit 3")
    going_on = process(*options)
    assert (going_on.returncode, going_on.stdout) == (0, "a\nb\n")
    assert going_on.stderr.count("code 3") == 2
    ended = process(*options, "--fail")
    assert (ended.returncode, ended.stdout) == (2, "a\n")
    assert ended.stderr.count("code 3") == 1


def test_a_signal_ends_the_command_that_runs_too(env: dict[str, str], agent: waggle.sync.Hub) -> None:
    agent.set("k", 1)
    with Running(env, "watch", "--snapshot", "--exec", "echo begun; sleep 60; echo not reached") as watching:
        assert watching.line() == "begun\n"
        watching.process.send_signal(signal.SIGTERM)
        assert watching.end() == (-signal.SIGTERM, "")
        assert watching.output.read() == ""
