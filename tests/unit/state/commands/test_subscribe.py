"""Subscriptions as the machine knows them: who asks for what, under which number, from where (protocol 5)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.state.table import Table
from waggle.wire.errors import BadRequest, LimitReached, NotFound, TooLarge
from waggle_hub.settings import Limits
from waggle_hub.state.effects import CloseCursor


def seated(limits: Limits | None = None) -> Table:
    table = Table(limits)
    table.sit("s", agent="a")
    table.sit("w", agent="b", ns="other")
    return table


def number(table: Table, session: str, **fields: Any) -> int:
    sub = table.do(session, "subscribe", **{"patterns": ["*"], **fields}).sub
    assert isinstance(sub, int)
    return sub


# --- the number of an interest ---


def test_two_sessions_that_ask_for_the_same_share_its_number() -> None:
    table = seated()
    first = number(table, "s", patterns=["b", "a", "b"], types=["set", "delete"])
    assert number(table, "w", ns="default", patterns=["a", "b"], types=["delete", "set", "set"]) == first
    assert (
        number(table, "w", ns="default", patterns=["a", "b"], types=["delete", "set"], echo=False, snapshot=True)
        == first
    )


def test_no_types_are_the_usual_types() -> None:
    table = seated()
    usual = ["set", "delete", "expire", "evict", "lock", "unlock", "message"]
    assert number(table, "s") == number(table, "s", types=usual)


@pytest.mark.parametrize("fields", [
    {"ns": "other"}, {"ns": "*"}, {"ns": "$agents"}, {"patterns": ["a"]}, {"patterns": ["*", "a"]},
    {"types": ["set"]}, {"values": False}, {"prev": True}, {"conflate": 1},
])  # fmt: skip
def test_whoever_asks_for_something_else_gets_another_number(fields: dict[str, Any]) -> None:
    table = seated()
    assert number(table, "s") != number(table, "s", **fields)


def test_a_conflated_interest_is_one_for_each_interval() -> None:
    table = seated()
    second = number(table, "s", conflate=1)
    assert number(table, "w", ns="default", conflate=1.0, snapshot=True) == second
    assert number(table, "w", ns="default", conflate=1.5) != second
    assert number(table, "s", conflate=None) == number(table, "s")


def test_the_namespace_of_the_session_is_meant_where_none_is_named() -> None:
    table = seated()
    assert number(table, "s") != number(table, "w")
    assert number(table, "w") == number(table, "s", ns="other")


def test_a_number_is_never_given_again() -> None:
    table = seated()
    first = number(table, "s")
    table.do("s", "unsubscribe", sub=first)
    assert number(table, "s") > first
    assert len(table.machine.state.interests) == 1


def test_an_interest_lives_as_long_as_somebody_has_it() -> None:
    table = seated()
    sub = number(table, "s", ns="*")
    assert number(table, "w", ns="*") == sub
    table.do("s", "bye")
    assert len(table.machine.state.interests) == 1
    table.do("w", "unsubscribe", sub=sub)
    assert len(table.machine.state.interests) == 0


# --- where a cursor begins ---


def test_a_cursor_begins_at_the_revision_of_the_reply() -> None:
    table = seated()
    table.do("s", "set", key="k", value=1)
    reply = table.do("s", "subscribe", patterns=["*"])
    (cursor,) = table.attached()
    assert (reply.rev, cursor.rev, cursor.replay, cursor.snapshot) == (3, 3, False, None)
    assert (reply.epoch, reply.resumed, reply.reason) == ("epoch", None, None)


def test_a_snapshot_is_of_the_revision_of_the_reply() -> None:
    table = seated()
    reply = table.do("s", "subscribe", patterns=["*"], snapshot=True)
    (cursor,) = table.attached()
    assert cursor.snapshot is not None
    assert cursor.snapshot.rev == reply.rev


@pytest.mark.parametrize("back", [0, 1, 3])
def test_since_a_revision_of_the_window_everything_after_it_follows(back: int) -> None:
    table = seated(Limits(log_events=3))
    for data in range(9):
        table.do("s", "publish", channel="c", data=data)
    rev = table.machine.state.log.rev
    reply = table.do("s", "subscribe", patterns=["*"], since={"epoch": "epoch", "rev": rev - back}, snapshot=True)
    (cursor,) = table.attached()
    assert (reply.rev, reply.resumed, reply.reason) == (rev, True, None)
    assert (cursor.rev, cursor.replay, cursor.snapshot) == (rev - back, True, None)


@pytest.mark.parametrize(("since", "reason"), [
    ({"epoch": "epoch", "rev": 0}, "compacted"), ({"epoch": "another", "rev": 9}, "epoch"),
    ({"epoch": "another", "rev": 10**15}, "epoch"),
])  # fmt: skip
def test_since_what_cannot_be_resumed_there_is_a_snapshot_and_the_reason(since: dict[str, Any], reason: str) -> None:
    table = seated(Limits(log_events=3))
    for data in range(9):
        table.do("s", "publish", channel="c", data=data)
    reply = table.do("s", "subscribe", patterns=["*"], since=since)
    (cursor,) = table.attached()
    assert (reply.resumed, reply.reason) == (False, reason)
    assert cursor.snapshot is not None
    assert cursor.snapshot.rev == reply.rev == table.machine.state.log.rev


@pytest.mark.parametrize("rev", [-1, 3, 2**53])
def test_since_what_has_not_been_is_refused(rev: int) -> None:
    with pytest.raises(BadRequest) as refused:
        seated().do("s", "subscribe", patterns=["*"], since={"epoch": "epoch", "rev": rev})
    assert refused.value.details["field"] == "since"


def test_to_subscribe_again_begins_again() -> None:
    table = seated()
    table.do("s", "subscribe", patterns=["*"])
    table.do("s", "set", key="k", value=1)
    table.do("s", "subscribe", patterns=["*"], snapshot=True, echo=False)
    (cursor,) = table.attached()
    assert (cursor.rev, cursor.echo, cursor.snapshot is None) == (3, False, False)
    session = table.machine.state.sessions.get("s")
    assert session is not None
    assert len(session.subscriptions) == 1


def test_a_cursor_that_is_gone_is_not_begun_again() -> None:
    table = seated()
    sub = number(table, "s")
    table.do("s", "unsubscribe", sub=sub)
    assert table.machine.restart_cursor("s", sub, table.now) == []
    assert table.machine.restart_cursor("nobody", sub, table.now) == []


# --- the end of one ---


def test_unsubscribe_ends_a_subscription() -> None:
    table = seated()
    sub = number(table, "s")
    table.do("s", "unsubscribe", sub=sub)
    assert isinstance(table.outputs[-1], CloseCursor)
    with pytest.raises(NotFound):
        table.do("s", "unsubscribe", sub=sub)


def test_what_another_session_has_cannot_be_ended() -> None:
    table = seated()
    sub = number(table, "s")
    with pytest.raises(NotFound):
        table.do("w", "unsubscribe", sub=sub)


# --- publish ---


def test_publish_counts_the_sessions_that_have_a_subscription_to_it() -> None:
    table = seated()
    number(table, "s")
    number(table, "s", patterns=["c?*", "c*"])
    number(table, "w", ns="*", types=["message"])
    number(table, "w", ns="*", types=["set"])
    assert table.do("s", "publish", channel="c", data=None).receivers == 2
    assert table.do("s", "publish", channel="c", data=None, ns="other").receivers == 1
    table.drop("w")
    assert table.do("s", "publish", channel="c", data=None).receivers == 2, "it hears of it when it comes back"


def test_a_message_is_an_event_and_nothing_is_stored() -> None:
    table = seated()
    reply = table.do("s", "publish", channel="c", data={"n": 1})
    (event,) = table.events()
    assert (event.type, event.rev, event.key, event.data, event.by) == ("message", reply.rev, "c", b'{"n":1}', "a")
    assert table.value("s", "c") is None


def test_a_message_has_the_limits_of_a_value() -> None:
    table = seated(Limits(value=10))
    with pytest.raises(TooLarge):
        table.do("s", "publish", channel="c", data="x" * 10)
    with pytest.raises(BadRequest) as refused:
        table.do("s", "publish", channel=" c", data=1)
    assert refused.value.details["field"] == "channel"


# --- refusals ---


@pytest.mark.parametrize(("fields", "field"), [
    ({"patterns": []}, "patterns"), ({"patterns": [""]}, "patterns"), ({"patterns": ["*", "[a"]}, "patterns"),
    ({"types": []}, "types"), ({"ns": "a b"}, "ns"), ({"ns": ""}, "ns"), ({"conflate": 0}, "conflate"),
    ({"conflate": -1}, "conflate"), ({"conflate": 3_600.1}, "conflate"), ({"conflate": float("inf")}, "conflate"),
    ({"conflate": float("nan")}, "conflate"),
])  # fmt: skip
def test_a_subscription_that_is_wrong_names_the_field(fields: dict[str, Any], field: str) -> None:
    table = seated()
    with pytest.raises(BadRequest) as refused:
        number(table, "s", **fields)
    assert refused.value.details["field"] == field
    assert len(table.machine.state.interests) == 0


def test_a_subscription_has_so_many_patterns() -> None:
    table = seated(Limits(patterns=3))
    number(table, "s", patterns=["a", "b", "c"])
    with pytest.raises(LimitReached) as refused:
        number(table, "s", patterns=["a", "b", "c", "d"])
    assert refused.value.details["limit"] == 3


def test_a_session_has_so_many_subscriptions_and_may_begin_them_again() -> None:
    table = seated(Limits(subscriptions=2))
    number(table, "s", patterns=["a"])
    number(table, "s", patterns=["b"])
    with pytest.raises(LimitReached) as refused:
        number(table, "s", patterns=["c"])
    assert refused.value.details["limit"] == 2
    number(table, "s", patterns=["b"])
    assert number(table, "w", patterns=["c"], ns="default") == 3, "what was refused took no number"
    with pytest.raises(LimitReached):
        number(table, "s", patterns=["c"])
