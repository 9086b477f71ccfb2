"""Sessions and presence: how sessions start and end, and what ends with them (protocol 3, G7)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.unit.state.machine_harness import MachineHarness
from waggle.wire import messages as m
from waggle.wire.errors import BadRequest, Conflict, LimitReached, SessionLost, TooLarge
from waggle_hub.settings import Limits
from waggle_hub.state.effects import BindSession, OpenCursor, Reply, SessionEnded
from waggle_hub.state.log import Commit

GRACE = Limits().grace


def told(harness: MachineHarness) -> list[tuple[str, str, str]]:
    return [(event.type, event.ns, event.key) for event in harness.events()]


def presence(harness: MachineHarness, agent: str, ns: str = "$agents") -> Any:
    entry = harness.machine.state.keyspace.get(ns, agent)
    return None if entry is None else msgspec.json.decode(entry.value)


def test_hello_opens_a_session_and_shows_the_agent() -> None:
    harness = MachineHarness()
    welcome = harness.open_session("s", agent="impl-1", meta={"role": "builder"})
    assert (welcome.session, welcome.secret, welcome.agent, welcome.resumed) == ("s", "s", "impl-1", False)
    assert (welcome.epoch, welcome.rev, welcome.grace, welcome.subs) == ("epoch", 1, GRACE, {})
    assert presence(harness, "impl-1") == {
        "session": "s", "connected": True, "since": 1000.0, "meta": {"role": "builder"}, "status": None, "sessions": 1,
    }  # fmt: skip
    assert presence(harness, "impl-1", "$seen") == {"last": 1000.0}
    assert told(harness) == [("set", "$agents", "impl-1"), ("set", "$seen", "impl-1")]


def test_outputs_come_in_the_order_in_which_they_must_go_out() -> None:
    harness = MachineHarness()
    harness.open_session("s", agent="a")
    assert [type(output) for output in harness.outputs] == [Commit, Reply, BindSession]
    harness.do("s", "subscribe", patterns=["*"])
    assert [type(output) for output in harness.outputs] == [Reply, OpenCursor]
    harness.drop("s")
    harness.return_to("s")
    assert [type(output) for output in harness.outputs] == [Commit, Reply, BindSession, OpenCursor]
    harness.do("s", "bye")
    assert [type(output) for output in harness.outputs] == [Commit, Reply, SessionEnded]


def test_an_agent_without_a_name_gets_one_that_seen_does_not_keep() -> None:
    harness = MachineHarness()
    assert harness.open_session("s").agent == "made-s"
    assert presence(harness, "made-s", "$seen") is None


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"agent": ""}, "agent"),
        ({"agent": "$hub"}, "agent"),
        ({"agent": "x" * 101}, "agent"),
        ({"ns": "$agents"}, "ns"),
        ({"ns": "no spaces"}, "ns"),
        ({"cursors": {1: 1}}, "cursors"),
        ({"session": "s"}, "secret"),
        ({"secret": "s"}, "session"),
        ({"meta": {"n": 2**70}}, "meta"),
    ],
)
def test_a_malformed_hello_is_refused_with_the_field_and_opens_no_session(fields: dict[str, Any], field: str) -> None:
    harness = MachineHarness()
    with pytest.raises(BadRequest) as refused:
        harness.open_session("s", **fields)
    assert refused.value.details["field"] == field
    assert len(harness.machine.state.sessions) == 0
    assert harness.commits() == []


def test_meta_and_status_are_bounded() -> None:
    harness = MachineHarness()
    with pytest.raises(TooLarge):
        harness.open_session("s", meta={"x": "y" * 5_000})
    harness.open_session("s")
    with pytest.raises(TooLarge):
        harness.do("s", "status", status="y" * 5_000)


def test_the_hub_has_a_limit_of_sessions_until_one_has_ended() -> None:
    harness = MachineHarness(Limits(sessions=2))
    harness.open_session("a")
    harness.open_session("b")
    with pytest.raises(LimitReached) as refused:
        harness.open_session("c")
    assert refused.value.details["limit"] == 2
    harness.drop("a")
    with pytest.raises(LimitReached):
        harness.open_session("c")
    harness.now += GRACE
    harness.open_session("c")


def test_the_status_of_a_session_is_shown_in_agents() -> None:
    harness = MachineHarness()
    harness.open_session("s", agent="a")
    assert harness.do("s", "status", status={"busy": ["with", 1]}).rev == 2
    assert presence(harness, "a")["status"] == {"busy": ["with", 1]}


# --- grace and takeover ---


def test_a_lost_connection_leaves_the_session_alive_for_its_grace() -> None:
    harness = MachineHarness()
    harness.open_session("s", agent="a")
    harness.do("s", "set", key="k", value=1, ephemeral=True)
    harness.drop("s")
    assert presence(harness, "a")["connected"] is False
    assert harness.machine.next_deadline() == 1_000.0 + GRACE
    harness.now += GRACE - 0.001
    assert harness.return_to("s").resumed
    assert presence(harness, "a")["connected"] is True
    assert harness.machine.state.keyspace.get("default", "k") is not None


def test_at_the_end_of_its_grace_a_session_is_gone() -> None:
    harness = MachineHarness()
    harness.open_session("s", agent="a")
    harness.drop("s")
    harness.now += GRACE
    with pytest.raises(SessionLost):
        harness.return_to("s")
    assert presence(harness, "a") is None
    assert presence(harness, "a", "$seen") == {"last": 1_000.0}, "when it was last connected"


def test_a_second_disconnect_does_not_prolong_the_grace() -> None:
    harness = MachineHarness()
    harness.open_session("s")
    harness.drop("s")
    harness.now += 5.0
    harness.drop("s")
    assert harness.machine.next_deadline() == 1_000.0 + GRACE


@pytest.mark.parametrize(("session", "secret"), [("s", "wrong"), ("s", ""), ("s", "ü\ud800"), ("nobody", "s")])
def test_a_takeover_without_the_secret_is_refused(session: str, secret: str) -> None:
    harness = MachineHarness()
    harness.open_session("s")
    with pytest.raises(SessionLost):
        harness.return_to(session, secret=secret)
    assert harness.commits() == []


def test_a_takeover_of_a_connected_session_changes_nothing_that_others_see() -> None:
    harness = MachineHarness()
    harness.open_session("s")
    assert harness.return_to("s").resumed
    assert harness.commits() == []


def test_a_takeover_resumes_each_cursor_where_its_cursors_say() -> None:
    harness = MachineHarness()
    harness.open_session("s")
    sub = harness.do("s", "subscribe", patterns=["*"]).sub
    start = harness.machine.state.log.rev
    harness.do("s", "set", key="k", value=1)
    harness.drop("s")
    assert harness.return_to("s", cursors={sub: start + 1}).subs == {sub: sub}
    assert [(cursor.rev, cursor.replay, cursor.snapshot) for cursor in harness.attached()] == [(start + 1, True, None)]


def test_a_subscription_missing_from_cursors_resumes_at_its_subscribe_reply() -> None:
    harness = MachineHarness()
    harness.open_session("s")
    start = harness.do("s", "subscribe", patterns=["*"]).rev
    harness.do("s", "set", key="k", value=1)
    harness.drop("s")
    harness.return_to("s")
    assert [(cursor.rev, cursor.replay) for cursor in harness.attached()] == [(start, True)]


@pytest.mark.parametrize("synced", [False, True])
@pytest.mark.parametrize("told", [False, True])
def test_a_takeover_starts_an_incomplete_snapshot_again(synced: bool, told: bool) -> None:
    """The hub knows what it has sent, the agent what has arrived. Only if both have the end of the snapshot does the
    cursor go on.
    """
    harness = MachineHarness()
    harness.open_session("s")
    reply = harness.do("s", "subscribe", patterns=["*"], snapshot=True)
    if synced:
        harness.machine.mark_synced("s", reply.sub, reply.rev)
    harness.drop("s")
    harness.return_to("s", cursors={reply.sub: reply.rev} if told else {})
    (cursor,) = harness.attached()
    assert cursor.replay is (synced and told)
    assert (cursor.snapshot is None) is (synced and told)
    assert cursor.lost is None


def test_the_end_of_a_snapshot_that_was_restarted_since_does_not_count() -> None:
    harness = MachineHarness()
    harness.open_session("s")
    reply = harness.do("s", "subscribe", patterns=["*"], snapshot=True)
    harness.do("s", "set", key="k", value=1)
    harness.do("s", "subscribe", patterns=["*"], snapshot=True)
    harness.machine.mark_synced("s", reply.sub, reply.rev)
    harness.drop("s")
    harness.return_to("s", cursors={reply.sub: reply.rev + 1})
    assert harness.attached()[0].snapshot is not None


@pytest.mark.parametrize("ahead", [1, -100])
def test_a_takeover_with_an_impossible_cursor_is_refused_and_changes_nothing(ahead: int) -> None:
    harness = MachineHarness()
    harness.open_session("s")
    sub = harness.do("s", "subscribe", patterns=["*"]).sub
    harness.drop("s")
    rev = harness.machine.state.log.rev
    with pytest.raises(BadRequest) as refused:
        harness.return_to("s", cursors={sub: rev + ahead})
    assert refused.value.details["field"] == "cursors"
    assert harness.commits() == []
    assert harness.return_to("s", cursors={sub: rev}).resumed


def test_a_cursor_of_an_unknown_subscription_is_ignored() -> None:
    harness = MachineHarness()
    harness.open_session("s")
    assert harness.return_to("s", cursors={77: 0}).subs == {}


def test_a_cursor_below_the_log_is_lost_and_restarts_with_a_snapshot() -> None:
    harness = MachineHarness(Limits(log_events=3))
    harness.open_session("s")
    reply = harness.do("s", "subscribe", patterns=["*"])
    for number in range(9):
        harness.do("s", "publish", channel="c", data=number)
    harness.drop("s")
    harness.return_to("s", cursors={reply.sub: reply.rev})
    (cursor,) = harness.attached()
    assert cursor.lost == "compacted"
    assert cursor.snapshot is not None
    assert cursor.rev == harness.machine.state.log.rev


def test_a_lost_cursor_is_reported_again_if_the_agent_may_not_know() -> None:
    """The hub began the subscription again, and the connection broke before the `lost` line arrived: its agent has a
    cursor, asked for no snapshot, and must not take one for news."""
    harness = MachineHarness()
    harness.open_session("s")
    reply = harness.do("s", "subscribe", patterns=["*"])
    harness.outputs = harness.machine.restart_cursor("s", reply.sub, harness.now)
    assert harness.attached()[0].lost == "compacted"
    harness.drop("s")
    harness.return_to("s", cursors={reply.sub: reply.rev})
    (cursor,) = harness.attached()
    assert (cursor.lost, cursor.snapshot is None) == ("compacted", False)


# --- the end ---


def test_the_end_of_a_session_is_one_revision() -> None:
    harness = MachineHarness()
    harness.open_session("s", agent="a")
    harness.open_session("w")
    for key in "cab":
        harness.do("s", "set", key=key, value=1, ephemeral=True)
    harness.do("s", "bye")
    (commit,) = harness.commits()
    assert [(e.type, e.key, e.reason) for e in commit.events] == [
        ("delete", "a", "session_ended"),
        ("delete", "b", "session_ended"),
        ("delete", "c", "session_ended"),
        ("delete", "a", "session_ended"),
        ("set", "a", None),
    ]
    assert {(e.by, e.origin) for e in commit.events} == {("a", "s")}
    with pytest.raises(SessionLost):
        harness.do("s", "ping")


def test_sessions_that_end_at_one_instant_end_in_turn_before_the_next_command() -> None:
    harness = MachineHarness()
    for name in "abc":
        harness.open_session(name, agent=name)
    harness.open_session("w")
    for name in "cab":
        harness.drop(name)
    harness.now += GRACE
    harness.do("w", "ping")
    assert [commit.events[0].key for commit in harness.commits()] == ["a", "b", "c"], "the oldest first"
    assert [type(output) for output in harness.outputs[-2:]] == [SessionEnded, Reply]


def test_an_agent_is_present_until_its_last_session_ends_and_the_newest_is_shown() -> None:
    harness = MachineHarness()
    harness.open_session("one", agent="a", meta={"n": 1})
    harness.open_session("two", agent="a", meta={"n": 2})
    assert (presence(harness, "a")["session"], presence(harness, "a")["sessions"]) == ("two", 2)
    harness.do("one", "status", status="unseen")
    assert presence(harness, "a")["status"] is None
    harness.do("two", "bye")
    assert presence(harness, "a") == {
        "session": "one", "connected": True, "since": 1000.0, "meta": {"n": 1}, "status": "unseen", "sessions": 1,
    }  # fmt: skip
    harness.do("one", "bye")
    assert presence(harness, "a") is None


def test_a_session_that_ends_keeps_an_ephemeral_entry_that_another_session_wrote() -> None:
    """An ephemeral entry belongs to the session that wrote it last."""
    harness = MachineHarness()
    harness.open_session("s")
    harness.open_session("w")
    for key in "abc":
        harness.do("s", "set", key=key, value=1, ephemeral=True)
    harness.do("w", "set", key="a", value=2)
    harness.do("w", "set", key="b", value=2, ephemeral=True)
    harness.do("w", "delete", key="c")
    harness.do("w", "set", key="c", value=3)
    harness.do("s", "bye")
    assert harness.keys("w") == ["a", "b", "c"]
    harness.do("w", "bye")
    harness.open_session("x")
    assert harness.keys("x") == ["a", "c"]


def test_hub_namespaces_are_read_by_all_and_written_by_the_hub_alone() -> None:
    harness = MachineHarness()
    harness.open_session("s", agent="a")
    assert harness.keys("s", ns="$agents") == ["a"]
    assert harness.do("s", "get", key="a", ns="$seen").entry.expires_at == 1_000.0 + Limits().seen


def test_seen_forgets_an_agent_after_its_time() -> None:
    harness = MachineHarness(Limits(seen=100.0))
    harness.open_session("s", agent="a")
    harness.do("s", "bye")
    harness.now += 99.0
    harness.expire()
    assert presence(harness, "a", "$seen") is not None
    harness.now += 1.0
    harness.expire()
    assert presence(harness, "a", "$seen") is None


@pytest.mark.parametrize("step", ["hello", "bye"])
def test_a_due_entry_of_seen_expires_before_it_is_written_again(step: str) -> None:
    """An entry past its deadline is not even visible as the previous one of an event (G6)."""
    harness = MachineHarness(Limits(seen=100.0))
    harness.open_session("s", agent="a")
    harness.open_session("w")
    harness.now += 100.0
    if step == "hello":
        harness.open_session("t", agent="a")
    else:
        harness.do("s", "bye")
    expired, written = [event for event in harness.events() if event.ns == "$seen"]
    assert (expired.type, expired.by, expired.late) == ("expire", "$hub", 0.0)
    assert (written.type, written.prev) == ("set", None)
    assert written.entry is not None
    assert (written.entry.created_at, written.entry.version) == (1_100.0, 2)


# --- rid ---


def test_a_command_with_a_rid_has_its_effect_once() -> None:
    harness = MachineHarness()
    harness.open_session("s")
    first = harness.do("s", "set", key="k", value=1, rid="r")
    assert not harness.dup
    again = harness.do("s", "set", key="k", value=1, rid="r")
    assert harness.dup
    assert again == first
    assert harness.commits() == []
    assert harness.do("s", "get", key="k").entry.version == 1


def test_a_retry_after_a_conflict_gets_the_same_conflict() -> None:
    harness = MachineHarness()
    harness.open_session("s")
    with pytest.raises(Conflict) as first:
        harness.do("s", "set", key="k", value=1, if_rev=7, rid="r")
    harness.do("s", "set", key="k", value=2)
    with pytest.raises(Conflict) as again:
        harness.do("s", "set", key="k", value=1, if_rev=7, rid="r")
    assert harness.dup
    assert again.value.to_wire() == first.value.to_wire()


@pytest.mark.parametrize(
    "command",
    [
        m.Set(id=1, key="k", value=1, if_rev=7, rid="r"),
        m.Update(id=1, key="k", patch=[{"op": "test", "path": "", "value": 1}], rid="r"),
    ],
)
def test_a_stored_conflict_does_not_keep_its_command_in_memory(command: m.AnyCommand) -> None:
    """The traceback of an error would keep its frames, and the value in them."""
    harness = MachineHarness()
    harness.open_session("s")
    harness.machine.apply(command, "s", harness.now)
    session = harness.machine.state.sessions.get("s")
    assert session is not None
    error = session.outcomes["r"].outcome.error
    assert isinstance(error, Conflict)
    assert (error.__traceback__, error.__context__) == (None, None)


def test_a_retry_after_another_refusal_is_decided_again() -> None:
    harness = MachineHarness()
    harness.open_session("s")
    with pytest.raises(BadRequest):
        harness.do("s", "set", key="k", value=1, ttl=-1, rid="r")
    assert harness.do("s", "set", key="k", value=1, ttl=1, rid="r").version == 1


@pytest.mark.parametrize("waits", [True, False])
def test_a_rid_belongs_to_one_op(waits: bool) -> None:
    """Otherwise a set could get the reply of a lock, and nothing would be written."""
    harness = MachineHarness()
    harness.open_session("s")
    harness.open_session("w")
    if waits:
        harness.do("w", "lock", name="n")
        harness.machine.apply(m.Lock(id=99, name="n", wait=None, rid="r"), "s", harness.now)
    else:
        harness.do("s", "lock", name="n", rid="r")
    with pytest.raises(BadRequest, match="belongs to a lock"):
        harness.do("s", "set", key="k", value=1, rid="r")
    assert harness.do("s", "get", key="k").entry is None
    assert harness.do("s", "set", key="k", value=1, rid="another").version == 1


def test_a_rid_belongs_to_a_session_and_outlives_its_connection() -> None:
    harness = MachineHarness()
    harness.open_session("s")
    harness.open_session("w")
    harness.do("s", "set", key="k", value=1, rid="r")
    assert harness.do("w", "set", key="k", value=2, rid="r").version == 2
    harness.drop("s")
    harness.return_to("s")
    assert harness.do("s", "set", key="k", value=1, rid="r").version == 1
    assert harness.dup


def test_a_session_keeps_a_limited_number_of_outcomes_and_drops_the_oldest() -> None:
    harness = MachineHarness(Limits(outcomes=2))
    harness.open_session("s")
    for rid in "abc":
        harness.do("s", "publish", channel="c", data=1, rid=rid)
    rev = harness.machine.state.log.rev
    harness.do("s", "publish", channel="c", data=1, rid="b")
    harness.do("s", "publish", channel="c", data=1, rid="c")
    assert harness.machine.state.log.rev == rev
    harness.do("s", "publish", channel="c", data=1, rid="a")
    assert harness.machine.state.log.rev == rev + 1


@pytest.mark.parametrize("rid", ["", "x" * 65])
def test_a_rid_has_1_to_64_characters(rid: str) -> None:
    harness = MachineHarness()
    harness.open_session("s")
    with pytest.raises(BadRequest) as refused:
        harness.do("s", "set", key="k", value=1, rid=rid)
    assert refused.value.details["field"] == "rid"
