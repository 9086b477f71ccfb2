"""`waggle log` and `waggle publish`: what happened so far, and how far back that is known."""

from __future__ import annotations

import json
import signal

import pytest

import waggle.sync
from tests.e2e.cli.shell import WAGGLE, Running, Shell, environment
from tests.e2e.hubs import HubProcess

pytestmark = pytest.mark.e2e


def test_log_lists_the_events_of_a_key_with_their_agents_and_ends(shell: Shell, agent: waggle.sync.Hub) -> None:
    revs = [agent.set("k", 1).rev, agent.set("k", {"a": "b"}, ttl=0.05).rev]
    agent.set("other", 1)
    with agent.watch("k", snapshot=True) as events:
        next(event for event in events if event.type == "expire" or event.type == "synced")
    agent.set("k", 3)
    agent.touch("k", 50)
    agent.delete("k")
    result = shell("log", "k")
    assert result.returncode == 0
    assert "the log goes back" in result.stderr
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert [row[2] for row in rows if row[2] != "expire"] == ["set", "set", "set", "touch", "delete"]
    assert [int(row[1]) for row in rows[:2]] == revs
    assert [row[5] for row in rows[:2]] == ["1", '{"a":"b"}']
    assert {row[3] for row in rows} == {"k"}
    assert {row[4] for row in rows} <= {agent.agent, "$hub"}


def test_log_takes_patterns_types_and_the_last_of_them(shell: Shell, agent: waggle.sync.Hub) -> None:
    for n in range(5):
        agent.set(f"k{n}", n)
        agent.publish("chat", n)
    events = [json.loads(line) for line in shell("log", "k*", "chat", "--last", "3", "--json").stdout.splitlines()]
    assert [event["type"] for event in events] == ["message", "set", "message"]
    assert len(shell("log", "--types", "message").stdout.splitlines()) == 5
    assert len(shell("log").stdout.splitlines()) == 10


def test_a_log_without_events_is_a_plain_no(shell: Shell) -> None:
    result = shell("log", "nothing")
    assert (result.returncode, result.stdout) == (1, "")
    assert "nothing happened" in result.stderr


def test_log_follows_without_a_gap_between_then_and_now(env: dict[str, str], agent: waggle.sync.Hub) -> None:
    agent.set("k", 0)
    with Running(env, "log", "k", "--follow") as following:
        assert following.line().endswith("\t0\n")
        for n in range(1, 4):
            agent.set("k", n)
            assert following.line().endswith(f"\t{n}\n")
        following.process.send_signal(signal.SIGINT)
        code, said = following.end()
    assert code == -signal.SIGINT
    assert said.count("\n") == 1


def test_log_reaches_as_far_back_as_the_window(small_hub: HubProcess, ns: str) -> None:
    """Of a hub that keeps 60 events, and while it forgets more of them."""
    with waggle.sync.connect(small_hub.url, ns=ns) as agent:
        for n in range(200):
            agent.set("k", n)
        with Running(environment(WAGGLE_URL=small_hub.url, WAGGLE_NS=ns), "log", "k") as reading:
            values = [int(line.rsplit("\t", 1)[1]) for line in reading.output]
            assert reading.end()[0] == 0
    assert values == [*range(values[0], 200)]
    assert 40 < len(values) <= 60


def test_publish_says_how_many_have_heard_it(shell: Shell, agent: waggle.sync.Hub) -> None:
    assert shell("publish", "chat", '"hello"').stdout == "chat: heard by 0 sessions\n"
    with agent.watch("chat") as events:
        assert shell("publish", "chat", "hello", "--text").stdout == "chat: heard by 1 session\n"
        assert json.loads(shell("publish", "chat", "-", "--json", stdin="[1]").stdout) == {"receivers": 1}
        assert [next(events).data for _ in range(2)] == ["hello", [1]]


def test_watched_events_can_be_piped_into_another_command(env: dict[str, str], agent: waggle.sync.Hub) -> None:
    agent.set("k", 1)
    with Running(env, "watch", "--snapshot", "--exec", f"{WAGGLE} set copy - --ns {env['WAGGLE_NS']}-copy") as copying:
        assert copying.line().startswith("copy: rev ")
    copy = agent.get("copy", ns=f"{env['WAGGLE_NS']}-copy")
    assert copy is not None
    assert copy.value["key"] == "k"
