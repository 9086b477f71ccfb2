"""Subscriptions in the machine: their scope, their number, and where their cursors start (protocol 5)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.state.machine_harness import MachineHarness
from waggle.wire.errors import BadRequest, LimitReached, NotFound, TooLarge
from waggle_hub.settings import Limits
from waggle_hub.state.effects import CloseCursor


def with_sessions(limits: Limits | None = None) -> MachineHarness:
    harness = MachineHarness(limits)
    harness.open_session("s", agent="a")
    harness.open_session("w", agent="b", ns="other")
    return harness


def number(harness: MachineHarness, session: str, **fields: Any) -> int:
    sub = harness.do(session, "subscribe", **{"patterns": ["*"], **fields}).sub
    assert isinstance(sub, int)
    return sub


# --- the number of an interest ---


def test_two_sessions_with_the_same_scope_share_a_subscription_number() -> None:
    harness = with_sessions()
    first = number(harness, "s", patterns=["b", "a", "b"], types=["set", "delete"])
    assert number(harness, "w", ns="default", patterns=["a", "b"], types=["delete", "set", "set"]) == first
    assert (
        number(harness, "w", ns="default", patterns=["a", "b"], types=["delete", "set"], echo=False, snapshot=True)
        == first
    )


def test_a_subscription_without_types_gets_the_default_types() -> None:
    harness = with_sessions()
    usual = ["set", "delete", "expire", "evict", "lock", "unlock", "message"]
    assert number(harness, "s") == number(harness, "s", types=usual)


@pytest.mark.parametrize("fields", [
    {"ns": "other"}, {"ns": "*"}, {"ns": "$agents"}, {"patterns": ["a"]}, {"patterns": ["*", "a"]},
    {"types": ["set"]}, {"values": False}, {"prev": True}, {"conflate": 1},
])  # fmt: skip
def test_another_scope_gets_another_subscription_number(fields: dict[str, Any]) -> None:
    harness = with_sessions()
    assert number(harness, "s") != number(harness, "s", **fields)


def test_each_conflation_interval_is_an_interest_of_its_own() -> None:
    harness = with_sessions()
    second = number(harness, "s", conflate=1)
    assert number(harness, "w", ns="default", conflate=1.0, snapshot=True) == second
    assert number(harness, "w", ns="default", conflate=1.5) != second
    assert number(harness, "s", conflate=None) == number(harness, "s")


def test_a_subscription_is_on_the_sessions_namespace_unless_it_names_one() -> None:
    harness = with_sessions()
    assert number(harness, "s") != number(harness, "w")
    assert number(harness, "w") == number(harness, "s", ns="other")


def test_a_subscription_number_is_never_used_again() -> None:
    harness = with_sessions()
    first = number(harness, "s")
    harness.do("s", "unsubscribe", sub=first)
    assert number(harness, "s") > first
    assert len(harness.machine.state.interests) == 1


def test_an_interest_lives_as_long_as_a_session_has_it() -> None:
    harness = with_sessions()
    sub = number(harness, "s", ns="*")
    assert number(harness, "w", ns="*") == sub
    harness.do("s", "bye")
    assert len(harness.machine.state.interests) == 1
    harness.do("w", "unsubscribe", sub=sub)
    assert len(harness.machine.state.interests) == 0


# --- where a cursor begins ---


def test_a_cursor_starts_at_the_revision_of_the_reply() -> None:
    harness = with_sessions()
    harness.do("s", "set", key="k", value=1)
    reply = harness.do("s", "subscribe", patterns=["*"])
    (cursor,) = harness.attached()
    assert (reply.rev, cursor.rev, cursor.replay, cursor.snapshot) == (3, 3, False, None)
    assert (reply.epoch, reply.resumed, reply.reason) == ("epoch", None, None)


def test_a_snapshot_is_of_the_revision_of_the_reply() -> None:
    harness = with_sessions()
    reply = harness.do("s", "subscribe", patterns=["*"], snapshot=True)
    (cursor,) = harness.attached()
    assert cursor.snapshot is not None
    assert cursor.snapshot.rev == reply.rev


@pytest.mark.parametrize("back", [0, 1, 3])
def test_a_subscription_since_a_revision_in_the_log_resumes_after_it(back: int) -> None:
    harness = with_sessions(Limits(log_events=3))
    for data in range(9):
        harness.do("s", "publish", channel="c", data=data)
    rev = harness.machine.state.log.rev
    reply = harness.do("s", "subscribe", patterns=["*"], since={"epoch": "epoch", "rev": rev - back}, snapshot=True)
    (cursor,) = harness.attached()
    assert (reply.rev, reply.resumed, reply.reason) == (rev, True, None)
    assert (cursor.rev, cursor.replay, cursor.snapshot) == (rev - back, True, None)


@pytest.mark.parametrize(("since", "reason"), [
    ({"epoch": "epoch", "rev": 0}, "compacted"), ({"epoch": "another", "rev": 9}, "epoch"),
    ({"epoch": "another", "rev": 10**15}, "epoch"),
])  # fmt: skip
def test_a_subscription_since_a_revision_outside_of_the_log_gets_a_snapshot_and_the_reason(
    since: dict[str, Any], reason: str
) -> None:
    harness = with_sessions(Limits(log_events=3))
    for data in range(9):
        harness.do("s", "publish", channel="c", data=data)
    reply = harness.do("s", "subscribe", patterns=["*"], since=since)
    (cursor,) = harness.attached()
    assert (reply.resumed, reply.reason) == (False, reason)
    assert cursor.snapshot is not None
    assert cursor.snapshot.rev == reply.rev == harness.machine.state.log.rev


@pytest.mark.parametrize("rev", [-1, 3, 2**53])
def test_a_subscription_since_a_future_revision_is_refused(rev: int) -> None:
    with pytest.raises(BadRequest) as refused:
        with_sessions().do("s", "subscribe", patterns=["*"], since={"epoch": "epoch", "rev": rev})
    assert refused.value.details["field"] == "since"


def test_a_repeated_subscribe_starts_again() -> None:
    harness = with_sessions()
    harness.do("s", "subscribe", patterns=["*"])
    harness.do("s", "set", key="k", value=1)
    harness.do("s", "subscribe", patterns=["*"], snapshot=True, echo=False)
    (cursor,) = harness.attached()
    assert (cursor.rev, cursor.echo, cursor.snapshot is None) == (3, False, False)
    session = harness.machine.state.sessions.get("s")
    assert session is not None
    assert len(session.subscriptions) == 1


def test_a_cursor_that_is_closed_is_not_restarted() -> None:
    harness = with_sessions()
    sub = number(harness, "s")
    harness.do("s", "unsubscribe", sub=sub)
    assert harness.machine.restart_cursor("s", sub, harness.now) == []
    assert harness.machine.restart_cursor("nobody", sub, harness.now) == []


# --- the end of one ---


def test_unsubscribe_ends_a_subscription() -> None:
    harness = with_sessions()
    sub = number(harness, "s")
    harness.do("s", "unsubscribe", sub=sub)
    assert isinstance(harness.outputs[-1], CloseCursor)
    with pytest.raises(NotFound):
        harness.do("s", "unsubscribe", sub=sub)


def test_a_session_cannot_unsubscribe_for_another() -> None:
    harness = with_sessions()
    sub = number(harness, "s")
    with pytest.raises(NotFound):
        harness.do("w", "unsubscribe", sub=sub)


# --- publish ---


def test_publish_counts_the_sessions_that_have_a_subscription_to_it() -> None:
    harness = with_sessions()
    number(harness, "s")
    number(harness, "s", patterns=["c?*", "c*"])
    number(harness, "w", ns="*", types=["message"])
    number(harness, "w", ns="*", types=["set"])
    assert harness.do("s", "publish", channel="c", data=None).receivers == 2
    assert harness.do("s", "publish", channel="c", data=None, ns="other").receivers == 1
    harness.drop("w")
    assert harness.do("s", "publish", channel="c", data=None).receivers == 2, "it hears of it when it comes back"


def test_a_message_is_an_event_and_nothing_is_stored() -> None:
    harness = with_sessions()
    reply = harness.do("s", "publish", channel="c", data={"n": 1})
    (event,) = harness.events()
    assert (event.type, event.rev, event.key, event.data, event.by) == ("message", reply.rev, "c", b'{"n":1}', "a")
    assert harness.value("s", "c") is None


def test_a_message_has_the_limits_of_a_value() -> None:
    harness = with_sessions(Limits(value=10))
    with pytest.raises(TooLarge):
        harness.do("s", "publish", channel="c", data="x" * 10)
    with pytest.raises(BadRequest) as refused:
        harness.do("s", "publish", channel=" c", data=1)
    assert refused.value.details["field"] == "channel"


# --- refusals ---


@pytest.mark.parametrize(("fields", "field"), [
    ({"patterns": []}, "patterns"), ({"patterns": [""]}, "patterns"), ({"patterns": ["*", "[a"]}, "patterns"),
    ({"types": []}, "types"), ({"ns": "a b"}, "ns"), ({"ns": ""}, "ns"), ({"conflate": 0}, "conflate"),
    ({"conflate": -1}, "conflate"), ({"conflate": 3_600.1}, "conflate"), ({"conflate": float("inf")}, "conflate"),
    ({"conflate": float("nan")}, "conflate"),
])  # fmt: skip
def test_a_malformed_subscribe_is_refused_with_the_field(fields: dict[str, Any], field: str) -> None:
    harness = with_sessions()
    with pytest.raises(BadRequest) as refused:
        number(harness, "s", **fields)
    assert refused.value.details["field"] == field
    assert len(harness.machine.state.interests) == 0


def test_a_subscription_has_a_limit_of_patterns() -> None:
    harness = with_sessions(Limits(patterns=3))
    number(harness, "s", patterns=["a", "b", "c"])
    with pytest.raises(LimitReached) as refused:
        number(harness, "s", patterns=["a", "b", "c", "d"])
    assert refused.value.details["limit"] == 3


def test_a_session_has_a_limit_of_subscriptions_and_can_repeat_those() -> None:
    harness = with_sessions(Limits(subscriptions=2))
    number(harness, "s", patterns=["a"])
    number(harness, "s", patterns=["b"])
    with pytest.raises(LimitReached) as refused:
        number(harness, "s", patterns=["c"])
    assert refused.value.details["limit"] == 2
    number(harness, "s", patterns=["b"])
    assert number(harness, "w", patterns=["c"], ns="default") == 3, "what was refused took no number"
    with pytest.raises(LimitReached):
        number(harness, "s", patterns=["c"])
