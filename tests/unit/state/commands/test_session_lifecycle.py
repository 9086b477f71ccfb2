"""Sessions and presence: who is there, for how long, and what goes with them (protocol 3, G7)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.unit.state.table import Table
from waggle.wire import messages as m
from waggle.wire.errors import BadRequest, Conflict, LimitReached, SessionLost, TooLarge
from waggle_hub.settings import Limits
from waggle_hub.state.effects import BindSession, OpenCursor, Reply, SessionEnded
from waggle_hub.state.log import Commit

GRACE = Limits().grace


def told(table: Table) -> list[tuple[str, str, str]]:
    return [(event.type, event.ns, event.key) for event in table.events()]


def presence(table: Table, agent: str, ns: str = "$agents") -> Any:
    entry = table.machine.state.keyspace.get(ns, agent)
    return None if entry is None else msgspec.json.decode(entry.value)


def test_hello_opens_a_session_and_shows_the_agent() -> None:
    table = Table()
    welcome = table.sit("s", agent="impl-1", meta={"role": "builder"})
    assert (welcome.session, welcome.secret, welcome.agent, welcome.resumed) == ("s", "s", "impl-1", False)
    assert (welcome.epoch, welcome.rev, welcome.grace, welcome.subs) == ("epoch", 1, GRACE, {})
    assert presence(table, "impl-1") == {
        "session": "s", "connected": True, "since": 1000.0, "meta": {"role": "builder"}, "status": None, "sessions": 1,
    }  # fmt: skip
    assert presence(table, "impl-1", "$seen") == {"last": 1000.0}
    assert told(table) == [("set", "$agents", "impl-1"), ("set", "$seen", "impl-1")]


def test_outputs_come_in_the_order_in_which_they_must_go_out() -> None:
    table = Table()
    table.sit("s", agent="a")
    assert [type(output) for output in table.outputs] == [Commit, Reply, BindSession]
    table.do("s", "subscribe", patterns=["*"])
    assert [type(output) for output in table.outputs] == [Reply, OpenCursor]
    table.drop("s")
    table.return_to("s")
    assert [type(output) for output in table.outputs] == [Commit, Reply, BindSession, OpenCursor]
    table.do("s", "bye")
    assert [type(output) for output in table.outputs] == [Commit, Reply, SessionEnded]


def test_who_chose_no_name_gets_one_and_is_not_remembered() -> None:
    table = Table()
    assert table.sit("s").agent == "made-s"
    assert presence(table, "made-s", "$seen") is None


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
def test_a_hello_that_is_wrong_names_the_field_and_opens_nothing(fields: dict[str, Any], field: str) -> None:
    table = Table()
    with pytest.raises(BadRequest) as refused:
        table.sit("s", **fields)
    assert refused.value.details["field"] == field
    assert len(table.machine.state.sessions) == 0
    assert table.commits() == []


def test_meta_and_status_are_bounded() -> None:
    table = Table()
    with pytest.raises(TooLarge):
        table.sit("s", meta={"x": "y" * 5_000})
    table.sit("s")
    with pytest.raises(TooLarge):
        table.do("s", "status", status="y" * 5_000)


def test_the_hub_has_so_many_sessions_and_no_more_until_a_grace_is_over() -> None:
    table = Table(Limits(sessions=2))
    table.sit("a")
    table.sit("b")
    with pytest.raises(LimitReached) as refused:
        table.sit("c")
    assert refused.value.details["limit"] == 2
    table.drop("a")
    with pytest.raises(LimitReached):
        table.sit("c")
    table.now += GRACE
    table.sit("c")


def test_status_is_shown() -> None:
    table = Table()
    table.sit("s", agent="a")
    assert table.do("s", "status", status={"busy": ["with", 1]}).rev == 2
    assert presence(table, "a")["status"] == {"busy": ["with", 1]}


# --- grace and takeover ---


def test_a_lost_connection_leaves_the_session_alive_for_its_grace() -> None:
    table = Table()
    table.sit("s", agent="a")
    table.do("s", "set", key="k", value=1, ephemeral=True)
    table.drop("s")
    assert presence(table, "a")["connected"] is False
    assert table.machine.next_deadline() == 1_000.0 + GRACE
    table.now += GRACE - 0.001
    assert table.return_to("s").resumed
    assert presence(table, "a")["connected"] is True
    assert table.machine.state.keyspace.get("default", "k") is not None


def test_at_the_end_of_its_grace_a_session_is_gone() -> None:
    table = Table()
    table.sit("s", agent="a")
    table.drop("s")
    table.now += GRACE
    with pytest.raises(SessionLost):
        table.return_to("s")
    assert presence(table, "a") is None
    assert presence(table, "a", "$seen") == {"last": 1_000.0}, "when it was last connected"


def test_a_second_drop_does_not_prolong_the_grace() -> None:
    table = Table()
    table.sit("s")
    table.drop("s")
    table.now += 5.0
    table.drop("s")
    assert table.machine.next_deadline() == 1_000.0 + GRACE


@pytest.mark.parametrize(("session", "secret"), [("s", "wrong"), ("s", ""), ("s", "ü\ud800"), ("nobody", "s")])
def test_without_the_secret_nothing_is_taken_over(session: str, secret: str) -> None:
    table = Table()
    table.sit("s")
    with pytest.raises(SessionLost):
        table.return_to(session, secret=secret)
    assert table.commits() == []


def test_taking_over_a_session_that_is_connected_changes_nothing_that_others_see() -> None:
    table = Table()
    table.sit("s")
    assert table.return_to("s").resumed
    assert table.commits() == []


def test_got_says_where_each_cursor_goes_on() -> None:
    table = Table()
    table.sit("s")
    sub = table.do("s", "subscribe", patterns=["*"]).sub
    start = table.machine.state.log.rev
    table.do("s", "set", key="k", value=1)
    table.drop("s")
    assert table.return_to("s", cursors={sub: start + 1}).subs == {sub: sub}
    assert [(cursor.rev, cursor.replay, cursor.snapshot) for cursor in table.attached()] == [(start + 1, True, None)]


def test_a_sub_missing_from_got_goes_on_from_its_subscribe_reply() -> None:
    table = Table()
    table.sit("s")
    start = table.do("s", "subscribe", patterns=["*"]).rev
    table.do("s", "set", key="k", value=1)
    table.drop("s")
    table.return_to("s")
    assert [(cursor.rev, cursor.replay) for cursor in table.attached()] == [(start, True)]


@pytest.mark.parametrize("synced", [False, True])
@pytest.mark.parametrize("told", [False, True])
def test_a_snapshot_that_did_not_arrive_starts_again(synced: bool, told: bool) -> None:
    """The hub knows what it has sent, its agent what arrived: only with its end at both does the tail go on."""
    table = Table()
    table.sit("s")
    reply = table.do("s", "subscribe", patterns=["*"], snapshot=True)
    if synced:
        table.machine.mark_synced("s", reply.sub, reply.rev)
    table.drop("s")
    table.return_to("s", cursors={reply.sub: reply.rev} if told else {})
    (cursor,) = table.attached()
    assert cursor.replay is (synced and told)
    assert (cursor.snapshot is None) is (synced and told)
    assert cursor.lost is None


def test_the_end_of_a_snapshot_that_was_begun_again_since_does_not_count() -> None:
    table = Table()
    table.sit("s")
    reply = table.do("s", "subscribe", patterns=["*"], snapshot=True)
    table.do("s", "set", key="k", value=1)
    table.do("s", "subscribe", patterns=["*"], snapshot=True)
    table.machine.mark_synced("s", reply.sub, reply.rev)
    table.drop("s")
    table.return_to("s", cursors={reply.sub: reply.rev + 1})
    assert table.attached()[0].snapshot is not None


@pytest.mark.parametrize("ahead", [1, -100])
def test_a_cursor_that_cannot_be_is_refused_and_the_session_stays_as_it_is(ahead: int) -> None:
    table = Table()
    table.sit("s")
    sub = table.do("s", "subscribe", patterns=["*"]).sub
    table.drop("s")
    rev = table.machine.state.log.rev
    with pytest.raises(BadRequest) as refused:
        table.return_to("s", cursors={sub: rev + ahead})
    assert refused.value.details["field"] == "cursors"
    assert table.commits() == []
    assert table.return_to("s", cursors={sub: rev}).resumed


def test_got_of_a_sub_that_is_not_there_is_no_matter() -> None:
    table = Table()
    table.sit("s")
    assert table.return_to("s", cursors={77: 0}).subs == {}


def test_a_cursor_below_the_log_is_lost_and_begins_again() -> None:
    table = Table(Limits(log_events=3))
    table.sit("s")
    reply = table.do("s", "subscribe", patterns=["*"])
    for number in range(9):
        table.do("s", "publish", channel="c", data=number)
    table.drop("s")
    table.return_to("s", cursors={reply.sub: reply.rev})
    (cursor,) = table.attached()
    assert cursor.lost == "compacted"
    assert cursor.snapshot is not None
    assert cursor.rev == table.machine.state.log.rev


def test_a_loss_of_which_the_agent_may_not_know_is_told_again() -> None:
    """The hub began the subscription again, and the connection broke before the `lost` line arrived: its agent has a
    cursor, asked for no snapshot, and must not take one for news."""
    table = Table()
    table.sit("s")
    reply = table.do("s", "subscribe", patterns=["*"])
    table.outputs = table.machine.restart_cursor("s", reply.sub, table.now)
    assert table.attached()[0].lost == "compacted"
    table.drop("s")
    table.return_to("s", cursors={reply.sub: reply.rev})
    (cursor,) = table.attached()
    assert (cursor.lost, cursor.snapshot is None) == ("compacted", False)


# --- the end ---


def test_the_end_of_a_session_is_one_step() -> None:
    table = Table()
    table.sit("s", agent="a")
    table.sit("w")
    for key in "cab":
        table.do("s", "set", key=key, value=1, ephemeral=True)
    table.do("s", "bye")
    (commit,) = table.commits()
    assert [(e.type, e.key, e.reason) for e in commit.events] == [
        ("delete", "a", "session_ended"),
        ("delete", "b", "session_ended"),
        ("delete", "c", "session_ended"),
        ("delete", "a", "session_ended"),
        ("set", "a", None),
    ]
    assert {(e.by, e.origin) for e in commit.events} == {("a", "s")}
    with pytest.raises(SessionLost):
        table.do("s", "ping")


def test_sessions_that_end_at_one_instant_end_one_after_another_before_the_next_command() -> None:
    table = Table()
    for name in "abc":
        table.sit(name, agent=name)
    table.sit("w")
    for name in "cab":
        table.drop(name)
    table.now += GRACE
    table.do("w", "ping")
    assert [commit.events[0].key for commit in table.commits()] == ["a", "b", "c"], "the oldest first"
    assert [type(output) for output in table.outputs[-2:]] == [SessionEnded, Reply]


def test_a_name_is_there_until_its_last_session_ends_and_the_newest_speaks_for_it() -> None:
    table = Table()
    table.sit("one", agent="a", meta={"n": 1})
    table.sit("two", agent="a", meta={"n": 2})
    assert (presence(table, "a")["session"], presence(table, "a")["sessions"]) == ("two", 2)
    table.do("one", "status", status="unseen")
    assert presence(table, "a")["status"] is None
    table.do("two", "bye")
    assert presence(table, "a") == {
        "session": "one", "connected": True, "since": 1000.0, "meta": {"n": 1}, "status": "unseen", "sessions": 1,
    }  # fmt: skip
    table.do("one", "bye")
    assert presence(table, "a") is None


def test_a_session_ends_without_what_others_have_taken_from_it() -> None:
    """An ephemeral entry is tied to whoever wrote it last."""
    table = Table()
    table.sit("s")
    table.sit("w")
    for key in "abc":
        table.do("s", "set", key=key, value=1, ephemeral=True)
    table.do("w", "set", key="a", value=2)
    table.do("w", "set", key="b", value=2, ephemeral=True)
    table.do("w", "delete", key="c")
    table.do("w", "set", key="c", value=3)
    table.do("s", "bye")
    assert table.keys("w") == ["a", "b", "c"]
    table.do("w", "bye")
    table.sit("x")
    assert table.keys("x") == ["a", "c"]


def test_what_hub_namespaces_show_is_read_by_all_and_written_by_none() -> None:
    table = Table()
    table.sit("s", agent="a")
    assert table.keys("s", ns="$agents") == ["a"]
    assert table.do("s", "get", key="a", ns="$seen").entry.expires_at == 1_000.0 + Limits().seen


def test_a_name_that_was_not_here_for_long_is_forgotten() -> None:
    table = Table(Limits(seen=100.0))
    table.sit("s", agent="a")
    table.do("s", "bye")
    table.now += 99.0
    table.expire()
    assert presence(table, "a", "$seen") is not None
    table.now += 1.0
    table.expire()
    assert presence(table, "a", "$seen") is None


@pytest.mark.parametrize("step", ["hello", "bye"])
def test_what_was_remembered_too_long_ago_expires_before_it_is_remembered_anew(step: str) -> None:
    """Nobody sees an entry past its deadline, not even as the one before (G6)."""
    table = Table(Limits(seen=100.0))
    table.sit("s", agent="a")
    table.sit("w")
    table.now += 100.0
    if step == "hello":
        table.sit("t", agent="a")
    else:
        table.do("s", "bye")
    expired, written = [event for event in table.events() if event.ns == "$seen"]
    assert (expired.type, expired.by, expired.late) == ("expire", "$hub", 0.0)
    assert (written.type, written.prev) == ("set", None)
    assert written.entry is not None
    assert (written.entry.created_at, written.entry.version) == (1_100.0, 2)


# --- rid ---


def test_a_command_with_a_rid_has_its_effect_once() -> None:
    table = Table()
    table.sit("s")
    first = table.do("s", "set", key="k", value=1, rid="r")
    assert not table.dup
    again = table.do("s", "set", key="k", value=1, rid="r")
    assert table.dup
    assert again == first
    assert table.commits() == []
    assert table.do("s", "get", key="k").entry.version == 1


def test_a_conflict_is_an_outcome_too_and_stays_what_it_was() -> None:
    table = Table()
    table.sit("s")
    with pytest.raises(Conflict) as first:
        table.do("s", "set", key="k", value=1, if_rev=7, rid="r")
    table.do("s", "set", key="k", value=2)
    with pytest.raises(Conflict) as again:
        table.do("s", "set", key="k", value=1, if_rev=7, rid="r")
    assert table.dup
    assert again.value.to_wire() == first.value.to_wire()


@pytest.mark.parametrize(
    "command",
    [
        m.Set(id=1, key="k", value=1, if_rev=7, rid="r"),
        m.Update(id=1, key="k", patch=[{"op": "test", "path": "", "value": 1}], rid="r"),
    ],
)
def test_what_is_kept_of_a_conflict_does_not_hold_on_to_the_command(command: m.AnyCommand) -> None:
    """A traceback would: to its frames, and to the value in them."""
    table = Table()
    table.sit("s")
    table.machine.apply(command, "s", table.now)
    session = table.machine.state.sessions.get("s")
    assert session is not None
    error = session.outcomes["r"].outcome.error
    assert isinstance(error, Conflict)
    assert (error.__traceback__, error.__context__) == (None, None)


def test_other_refusals_are_not_kept() -> None:
    table = Table()
    table.sit("s")
    with pytest.raises(BadRequest):
        table.do("s", "set", key="k", value=1, ttl=-1, rid="r")
    assert table.do("s", "set", key="k", value=1, ttl=1, rid="r").version == 1


@pytest.mark.parametrize("waits", [True, False])
def test_a_rid_belongs_to_one_op(waits: bool) -> None:
    """Else a set could be told of a lock that was granted, and nothing would be written."""
    table = Table()
    table.sit("s")
    table.sit("w")
    if waits:
        table.do("w", "lock", name="n")
        table.machine.apply(m.Lock(id=99, name="n", wait=None, rid="r"), "s", table.now)
    else:
        table.do("s", "lock", name="n", rid="r")
    with pytest.raises(BadRequest, match="that of a lock"):
        table.do("s", "set", key="k", value=1, rid="r")
    assert table.do("s", "get", key="k").entry is None
    assert table.do("s", "set", key="k", value=1, rid="another").version == 1


def test_rids_belong_to_a_session_and_outlive_its_connection() -> None:
    table = Table()
    table.sit("s")
    table.sit("w")
    table.do("s", "set", key="k", value=1, rid="r")
    assert table.do("w", "set", key="k", value=2, rid="r").version == 2
    table.drop("s")
    table.return_to("s")
    assert table.do("s", "set", key="k", value=1, rid="r").version == 1
    assert table.dup


def test_so_many_outcomes_are_kept_and_the_oldest_goes_first() -> None:
    table = Table(Limits(outcomes=2))
    table.sit("s")
    for rid in "abc":
        table.do("s", "publish", channel="c", data=1, rid=rid)
    rev = table.machine.state.log.rev
    table.do("s", "publish", channel="c", data=1, rid="b")
    table.do("s", "publish", channel="c", data=1, rid="c")
    assert table.machine.state.log.rev == rev
    table.do("s", "publish", channel="c", data=1, rid="a")
    assert table.machine.state.log.rev == rev + 1


@pytest.mark.parametrize("rid", ["", "x" * 65])
def test_a_rid_has_1_to_64_characters(rid: str) -> None:
    table = Table()
    table.sit("s")
    with pytest.raises(BadRequest) as refused:
        table.do("s", "set", key="k", value=1, rid=rid)
    assert refused.value.details["field"] == "rid"
