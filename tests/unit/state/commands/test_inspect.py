"""Inspect: what the hub shows of its state (protocol 8)."""

from __future__ import annotations

from typing import Any

import msgspec

from tests.unit.state.waiting_harness import WaitingHarness
from waggle.wire import messages as m
from waggle_hub.settings import Limits


def inspect(harness: WaitingHarness) -> m.Inspection:
    seen = harness.do("a", "inspect")
    assert isinstance(seen, m.Inspection)
    assert harness.commits() == [], "it reads, and no more"
    return seen


def waits(harness: WaitingHarness) -> list[dict[str, Any]]:
    return [msgspec.to_builtins(one) for one in inspect(harness).waits]


def test_an_idle_hub_shows_its_sessions_and_nothing_else() -> None:
    harness = WaitingHarness()
    harness.tick(1.5)
    seen = inspect(harness)
    assert (seen.rev, seen.at) == (harness.machine.state.log.rev, 1_001.5)
    assert [one.agent for one in seen.sessions] == ["agent-a", "agent-b", "agent-c", "agent-d"]
    assert (seen.locks, seen.waits, seen.subscriptions, seen.cut) == ([], [], [], [])


def test_inspect_shows_a_session_with_what_it_holds() -> None:
    harness = WaitingHarness()
    harness.do("b", "set", key="k", value=1, ephemeral=True)
    harness.do("b", "lock", names=["x", "y"])
    harness.do("c", "lock", name="z")
    harness.ask("b", "lock", name="z", wait=5)
    harness.ask("b", "wait", all=[{"key": "w"}])
    harness.do("b", "subscribe", patterns=["*"])
    harness.tick(2)
    harness.drop("b")
    seen = next(one for one in inspect(harness).sessions if one.session == "b")
    assert msgspec.to_builtins(seen) == {
        "session": "b", "agent": "agent-b", "ns": "default", "connected": False, "since": 1_000.0,
        "expires_at": 1_002.0 + Limits().grace, "subscriptions": 1, "locks": 1, "waits": 2, "ephemeral": 1,
    }  # fmt: skip


def test_inspect_shows_locks_with_their_queues_and_taken_entries_as_locks() -> None:
    harness = WaitingHarness()
    token = harness.do("a", "lock", pattern="x*").token
    harness.tick(1)
    harness.ask("b", "lock", names=["y", "x1"], wait=5)
    harness.set("k")
    harness.do("c", "take", patterns=["k"])
    first, second = inspect(harness).locks
    assert (first.patterns, first.token, first.agent, first.since) == (["x*"], token, "agent-a", 1_000.0)
    assert [(one.agent, one.names, one.since) for one in first.queue] == [("agent-b", ["y", "x1"], 1_001.0)]
    assert (second.names, second.session, second.queue) == (["k"], "c", [])


def test_inspect_shows_a_waiting_lock_request_with_its_blocking_holders() -> None:
    harness = WaitingHarness()
    token = harness.do("a", "lock", name="x", mode="shared", ttl=60).token
    id = harness.ask("b", "lock", names=["x", "y"], wait=5)
    later = harness.ask("c", "lock", pattern="[xy]", wait=None)
    assert token
    one, other = waits(harness)
    assert one == {
        "op": "lock", "id": id, "agent": "agent-b", "session": "b", "ns": "default", "since": 1_000.0,
        "until": 1_005.0, "names": ["x", "y"], "mode": "exclusive",
        "blocked_by": [{"agent": "agent-a", "session": "a", "mode": "shared", "since": 1_000.0, "expires_at": 1_060.0,
                        "self": False, "names": ["x"]}],
    }  # fmt: skip
    assert (other["id"], other["until"], other["patterns"]) == (later, None, ["[xy]"])
    assert [holder["session"] for holder in other["blocked_by"]] == ["a"]


def test_inspect_shows_a_wait_with_its_conditions_and_those_that_hold() -> None:
    harness = WaitingHarness()
    asked = [{"key": "x"}, {"pattern": "y*", "ns": "project", "count": 2, "where": {"pointer": "/a", "value": [1]}}]
    every = harness.ask("b", "wait", all=asked, timeout=9)
    harness.set("x")
    (one,) = waits(harness)
    assert one == {
        "op": "wait", "id": every, "agent": "agent-b", "session": "b", "ns": "default", "since": 1_000.0,
        "until": 1_009.0, "all": asked, "met": [0],
    }  # fmt: skip
    some = harness.ask("c", "wait", any=[{"key": "x", "absent": True}])
    assert (waits(harness)[1]["id"], waits(harness)[1]["any"]) == (some, [{"key": "x", "absent": True}])
    assert waits(harness)[1]["met"] == []


def test_inspect_shows_a_waiting_taker_with_its_patterns() -> None:
    harness = WaitingHarness()
    id = harness.ask("b", "take", patterns=["y*", "x*"], ns="project", timeout=None)
    assert waits(harness) == [
        {"op": "take", "id": id, "agent": "agent-b", "session": "b", "ns": "project", "since": 1_000.0, "until": None,
         "patterns": ["x*", "y*"]},
    ]  # fmt: skip


def test_inspect_shows_a_pending_command_under_its_newest_id() -> None:
    harness = WaitingHarness()
    harness.ask("b", "take", patterns=["x"], timeout=None, rid="r")
    command = m.Take(id="newest", patterns=["x"], timeout=None, rid="r")
    harness.machine.apply(command, "b", harness.now)
    assert [one["id"] for one in waits(harness)] == ["newest"]


def test_inspect_does_not_show_what_has_ended() -> None:
    harness = WaitingHarness()
    harness.ask("b", "wait", all=[{"key": "x"}], timeout=1)
    harness.ask("c", "take", patterns=["x"], timeout=1)
    token = harness.do("d", "lock", name="y", ttl=1).token
    assert token
    harness.tick(1)
    seen = inspect(harness)
    assert (seen.waits, seen.locks) == ([], [])
    harness.do("d", "bye")
    assert len(inspect(harness).sessions) == 3


def test_inspect_shows_subscriptions_by_interest_with_their_agents() -> None:
    harness = WaitingHarness()
    subs = [harness.do(session, "subscribe", patterns=["b*", "a"], types=["set", "lock"]).sub for session in "cb"]
    (one,) = inspect(harness).subscriptions
    assert msgspec.to_builtins(one) == {
        "sub": subs[0], "ns": "default", "patterns": ["a", "b*"], "types": ["lock", "set"],
        "agents": ["agent-b", "agent-c"],
    }  # fmt: skip


def test_inspect_cuts_a_list_longer_than_a_page_and_tells_so() -> None:
    harness = WaitingHarness(Limits(page=4))
    for number in range(5):
        harness.do("a", "lock", name=f"x{number}")
        harness.ask("b", "wait", all=[{"key": f"y{number}"}])
    seen = inspect(harness)
    assert (len(seen.sessions), len(seen.locks), len(seen.waits)) == (4, 4, 4)
    assert seen.cut == ["locks", "waits"]


def test_inspect_cuts_a_list_that_would_make_the_reply_too_long() -> None:
    limits = Limits(page_bytes=12_000)
    harness = WaitingHarness(limits)
    for number in range(5):
        harness.do("a", "lock", names=[f"{number}:{'x' * 200}:{at}" for at in range(5)])
        harness.ask("b", "wait", all=[{"key": "y" * 200}] * 5)
    seen = inspect(harness)
    assert len(msgspec.json.encode(seen)) <= limits.page_bytes
    assert seen.cut == ["locks", "waits"]
    assert (len(seen.sessions), len(seen.locks), len(seen.waits)) == (4, 2, 2)


def test_inspect_does_not_show_a_long_value_of_a_where() -> None:
    harness = WaitingHarness()
    id = harness.ask("b", "wait", all=[{"key": "y", "where": {"op": "in", "value": ["v" * 1_500]}}])
    harness.ask("b", "wait", all=[{"key": "y", "where": {"value": "v" * 900}}])
    first, second = waits(harness)
    assert first["all"] == [{"key": "y", "where": {"op": "in"}}]
    assert second["all"] == [{"key": "y", "where": {"value": "v" * 900}}]
    harness.set("y", value="v" * 1_500)
    assert list(harness.answers()) == [id]
