"""The chain of revisions, snapshots, several subscriptions of one interest, and slow consumers: without a socket."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.client.session_harness import Wire, event, snapshot, synced
from waggle.core import subscription
from waggle.core.subscription import START, Buffer, Subscription
from waggle.wire.errors import BadRequest, Lost, RateLimited
from waggle.wire.messages import Event, Since


@pytest.fixture
def wire() -> Wire:
    wire = Wire()
    wire.connect()
    return wire


class Watched:
    """A subscription with its buffer."""

    def __init__(self, *patterns: str, since: Since | None = None, **options: Any) -> None:
        self.buffer = Buffer(since)
        self.subscription = Subscription(patterns or ["*"], self.buffer, since=since, **options)

    def take(self) -> list[Event]:
        """Return everything that waits."""
        events = []
        while not self.buffer.empty:
            events.append(self.buffer.take())
        return events

    def keys(self) -> list[str]:
        return [event.key or event.type for event in self.take()]


# --- the chain ---------------------------------------------------------------------------------------------------


def test_events_of_one_revision_come_together_or_not_at_all(wire: Wire) -> None:
    watched = Watched()
    wire.subscribe(watched.subscription, 1)
    wire.say(event(1, 101, 100, "a", more=True), event(1, 101, 101, "b", more=True))
    assert watched.buffer.empty
    assert watched.subscription.point() == Since("e1", 100)
    wire.say(event(1, 101, 101, "c"))
    assert watched.buffer.take().key == "a"
    assert watched.subscription.point() == Since("e1", 100), "within a revision there is no place to go on from"
    assert watched.keys() == ["b", "c"]
    assert watched.subscription.point() == Since("e1", 101)


def test_half_a_revision_is_forgotten_with_its_connection(wire: Wire) -> None:
    watched = Watched()
    wire.subscribe(watched.subscription, 1)
    wire.say(event(1, 101, 100, "a", more=True))
    wire.session.dropped()
    assert wire.connect(resumed=True, subs={1: 1})["cursors"] == {"1": 100}
    wire.say(event(1, 101, 100, "a", more=True), event(1, 101, 101, "b"))
    assert watched.keys() == ["a", "b"]


def test_a_revision_that_ends_in_a_mark_is_complete(wire: Wire) -> None:
    watched = Watched()
    wire.subscribe(watched.subscription, 1)
    wire.say(event(1, 101, 100, "a", more=True), {"sub": 1, "type": "mark", "rev": 101})
    (only,) = watched.take()
    assert not only.more
    assert watched.subscription.point() == Since("e1", 101)


def test_a_gap_is_not_passed_but_repaired(wire: Wire) -> None:
    watched = Watched()
    wire.subscribe(watched.subscription, 1)
    wire.say(event(1, 101, 100, "a"), event(1, 105, 103, "c"), event(1, 106, 105, "d"))
    assert watched.keys() == ["a"]
    (command,) = wire.sent()
    assert command["since"] == {"epoch": "e1", "rev": 101}
    wire.reply(command, sub=1, epoch="e1", rev=106, resumed=True)
    wire.say(event(1, 103, 101, "b"), event(1, 105, 103, "c"), event(1, 106, 105, "d"))
    assert watched.keys() == ["b", "c", "d"]


def test_a_revision_that_never_ends_is_a_gap(wire: Wire) -> None:
    watched = Watched()
    wire.subscribe(watched.subscription, 1)
    wire.say(event(1, 101, 100, more=True), event(1, 102, 101))
    assert watched.keys() == []
    assert wire.sent()[0]["since"] == {"epoch": "e1", "rev": 100}


def test_what_was_seen_is_not_seen_again(wire: Wire) -> None:
    watched = Watched()
    wire.subscribe(watched.subscription, 1)
    wire.say(event(1, 101, 100, "a"), event(1, 101, 100, "a"), event(1, 102, 101, "b"))
    assert watched.keys() == ["a", "b"]


def test_marks_move_the_cursor_and_are_not_seen(wire: Wire) -> None:
    one, two = Watched("a"), Watched("b", snapshot=True)
    wire.subscribe(one.subscription, 1)
    wire.subscribe(two.subscription, 2)
    wire.say({"sub": 1, "type": "mark", "rev": 110}, {"sub": 2, "type": "mark", "rev": 110})
    wire.say({"type": "mark", "rev": 120})
    assert one.subscription.point() == Since("e1", 120)
    assert two.subscription.point() == START, "a snapshot that is incomplete has no cursor"
    wire.say(synced(2, 100), {"type": "mark", "rev": 119})
    assert two.subscription.point() == START, "synced was not consumed yet"
    assert two.keys() == ["synced"]
    assert two.subscription.point() == Since("e1", 119)
    assert one.subscription.point() == Since("e1", 120)


def test_a_mark_within_a_revision_does_not_pass_for_its_end(wire: Wire) -> None:
    watched = Watched()
    wire.subscribe(watched.subscription, 1)
    wire.say(event(1, 101, 100, "a", more=True), {"type": "mark", "rev": 101}, event(1, 101, 101, "b"))
    assert watched.keys() == ["a", "b"]


def test_the_resume_point_follows_the_consumer_and_not_the_socket(wire: Wire) -> None:
    watched = Watched()
    wire.subscribe(watched.subscription, 1)
    wire.say(event(1, 101, 100), event(1, 102, 101), {"type": "mark", "rev": 110})
    assert watched.subscription.point() == Since("e1", 100)
    watched.buffer.take()
    assert watched.subscription.point() == Since("e1", 101)
    watched.buffer.take()
    assert watched.subscription.point() == Since("e1", 110)


# --- conflation --------------------------------------------------------------------------------------------------


def mark(sub: int, rev: int) -> dict[str, Any]:
    return {"sub": sub, "type": "mark", "rev": rev}


def test_conflation_is_asked_for_and_is_an_interest_of_its_own(wire: Wire) -> None:
    plain, conflated = Watched(), Watched(conflate=0.5)
    wire.subscribe(plain.subscription, 1)
    wire.session.subscribe(conflated.subscription)
    (command,) = wire.sent()
    assert (command["patterns"], command["conflate"]) == (["*"], 0.5)


def test_a_conflated_delivery_comes_whole_and_has_no_place_within(wire: Wire) -> None:
    watched = Watched(conflate=1)
    wire.subscribe(watched.subscription, 1)
    wire.say(event(1, 103, 100, "b"), event(1, 107, 103, "a"))
    assert watched.buffer.empty
    assert watched.subscription.point() == Since("e1", 100)
    wire.say(mark(1, 109))
    assert watched.buffer.take().key == "b"
    assert watched.subscription.point() == Since("e1", 100)
    assert watched.keys() == ["a"]
    assert watched.subscription.point() == Since("e1", 109)
    wire.say(event(1, 112, 107, "c"), mark(1, 112))
    assert watched.keys() == ["c"]


def test_a_delivery_with_part_of_a_revision_is_no_gap(wire: Wire) -> None:
    watched = Watched(conflate=1)
    wire.subscribe(watched.subscription, 1)
    wire.say(event(1, 103, 100, "a", more=True), event(1, 105, 103, "b"), mark(1, 105))
    assert watched.keys() == ["a", "b"]
    assert wire.sent() == []


def test_a_gap_in_a_delivery_is_repaired_from_its_beginning(wire: Wire) -> None:
    watched = Watched(conflate=1)
    wire.subscribe(watched.subscription, 1)
    wire.say(event(1, 103, 100, "a"), event(1, 107, 105, "c"), mark(1, 107))
    assert watched.keys() == []
    (command,) = wire.sent()
    assert (command["since"], command["conflate"]) == ({"epoch": "e1", "rev": 100}, 1)


def test_half_a_delivery_is_forgotten_with_its_connection(wire: Wire) -> None:
    watched = Watched(conflate=1)
    wire.subscribe(watched.subscription, 1)
    wire.say(event(1, 103, 100, "a"), {"type": "mark", "rev": 103})
    wire.session.dropped()
    assert wire.connect(resumed=True, subs={1: 1})["cursors"] == {"1": 100}
    wire.say(event(1, 105, 100, "a", value=2), mark(1, 106))
    (only,) = watched.take()
    assert only.value == 2


def test_the_mark_of_a_quiet_connection_speaks_for_a_conflated_subscription_too(wire: Wire) -> None:
    watched = Watched(conflate=1)
    wire.subscribe(watched.subscription, 1)
    wire.say({"type": "mark", "rev": 120})
    assert watched.subscription.point() == Since("e1", 120)


# --- snapshots and losses ----------------------------------------------------------------------------------------


def test_a_snapshot_ends_with_synced_and_then_the_tail_comes(wire: Wire) -> None:
    watched = Watched(snapshot=True)
    wire.subscribe(watched.subscription, 1)
    wire.say(snapshot(1, 40, "a"), snapshot(1, 90, "b"), synced(1, 100), event(1, 101, 100, "c"))
    assert [(event.key, event.snapshot) for event in watched.take()] == [
        ("a", True), ("b", True), ("", False), ("c", False),
    ]  # fmt: skip


def test_a_snapshot_that_is_interrupted_begins_again_and_says_so(wire: Wire) -> None:
    watched = Watched(snapshot=True)
    wire.subscribe(watched.subscription, 1)
    wire.say(snapshot(1, 40, "a"))
    assert watched.keys() == ["a"]
    wire.session.dropped()
    wire.connect(resumed=True, subs={1: 1})
    (lost,) = watched.take()
    assert (lost.type, lost.reason) == ("lost", "reconnected")
    wire.say(snapshot(1, 90, "b"), synced(1, 100))
    assert watched.keys() == ["b", "synced"]


def test_a_loss_is_told_and_followed_by_a_snapshot_where_snapshots_were_asked_for(wire: Wire) -> None:
    watched = Watched(snapshot=True)
    wire.subscribe(watched.subscription, 1)
    wire.say(synced(1, 100), event(1, 101, 100, "unread"))
    wire.say({"sub": 1, "type": "lost", "reason": "compacted"}, snapshot(1, 150, "b"), synced(1, 200))
    lost, *rest = watched.take()
    assert (lost.type, lost.reason) == ("lost", "compacted")
    assert [event.key or event.type for event in rest] == ["b", "synced"]


def test_a_loss_is_raised_after_earlier_events_where_no_snapshots_were_asked_for(wire: Wire) -> None:
    watched = Watched()
    wire.subscribe(watched.subscription, 1)
    wire.say(event(1, 101, 100, "a"), {"sub": 1, "type": "lost", "reason": "compacted"}, snapshot(1, 150, "b"))
    assert watched.keys() == ["a"]
    error = watched.subscription.error
    assert isinstance(error, Lost)
    assert error.details["reason"] == "compacted"
    assert "snapshot=True" in str(error)
    assert [(command["op"], command["sub"]) for command in wire.sent()] == [("unsubscribe", 1)]


def test_a_snapshot_that_was_not_announced_replaces_earlier_entries(wire: Wire) -> None:
    asked, plain = Watched("a", snapshot=True), Watched("b")
    wire.subscribe(asked.subscription, 1)
    wire.subscribe(plain.subscription, 2)
    wire.say(synced(1, 100), synced(1, 120), snapshot(2, 50, "b"))
    assert asked.keys() == ["lost", "synced"]
    assert isinstance(plain.subscription.error, Lost)


def test_a_saved_point_is_gone_on_from(wire: Wire) -> None:
    watched = Watched(since=Since("e1", 50))
    pending = wire.session.subscribe(watched.subscription)
    (command,) = wire.sent()
    assert command["since"] == {"epoch": "e1", "rev": 50}
    wire.reply(command, sub=1, epoch="e1", rev=100, resumed=True)
    assert not isinstance(wire.outcomes[pending], Exception)
    assert watched.subscription.point() == Since("e1", 50)
    wire.say(event(1, 60, 50, "a"), {"sub": 1, "type": "mark", "rev": 100})
    assert watched.keys() == ["a"]


def test_a_saved_point_that_is_too_old_is_a_loss(wire: Wire) -> None:
    plain, asked = Watched("a", since=Since("e0", 50)), Watched("b", since=Since("e0", 50), snapshot=True)
    pending = wire.session.subscribe(plain.subscription)
    wire.reply(wire.sent()[0], sub=1, epoch="e1", rev=100, resumed=False, reason="epoch")
    assert isinstance(wire.outcomes[pending], Lost)
    wire.sent()
    wire.session.subscribe(asked.subscription)
    (command,) = wire.sent()
    assert "snapshot" not in command, "since says it all"
    wire.reply(command, sub=2, epoch="e1", rev=100, resumed=False, reason="epoch")
    wire.say(snapshot(2, 99, "b"), synced(2, 100))
    assert watched_reasons(asked) == [("lost", "epoch"), ("set", None), ("synced", None)]


def watched_reasons(watched: Watched) -> list[tuple[str, str | None]]:
    return [(event.type, event.reason if isinstance(event.reason, str) else None) for event in watched.take()]


# --- several, and leaving ----------------------------------------------------------------------------------------


def test_the_same_interest_twice_is_said_in_other_words(wire: Wire) -> None:
    first, second, other = Watched("task:*"), Watched("task:*", ns="default"), Watched("task:*", prev=True)
    wire.subscribe(first.subscription, 1)
    for watched in (second, other):
        wire.session.subscribe(watched.subscription)
    again, different = wire.sent()
    assert again["patterns"] == ["task:*", "task:1[ ]"]
    assert different["patterns"] == ["task:*"]
    wire.reply(again, sub=2, epoch="e1", rev=100)
    wire.say(event(1, 101, 100, "task:a"), event(2, 101, 100, "task:a"))
    assert (first.keys(), second.keys()) == (["task:a"], ["task:a"])


def test_other_words_stay_within_the_bounds_of_a_pattern(wire: Wire) -> None:
    first, second = Watched("k" * 255), Watched("k" * 255)
    wire.subscribe(first.subscription, 1)
    wire.session.subscribe(second.subscription)
    (command,) = wire.sent()
    assert len(command["patterns"][1]) == 255


def test_words_are_free_again_only_when_the_hub_has_answered(wire: Wire) -> None:
    first, second, third = Watched(), Watched(), Watched()
    wire.session.subscribe(first.subscription)
    (asked,) = wire.sent()
    wire.session.unsubscribe(first.subscription)
    wire.session.subscribe(second.subscription)
    assert wire.sent()[0]["patterns"] == ["*", "1[ ]"]
    wire.reply(asked, sub=1, epoch="e1", rev=100)
    assert [(command["op"], command["sub"]) for command in wire.sent()] == [("unsubscribe", 1)]
    wire.session.subscribe(third.subscription)
    assert wire.sent()[0]["patterns"] == ["*"]


def test_a_hub_that_sees_through_other_words_is_told_yet_others(wire: Wire) -> None:
    first, second = Watched("a*"), Watched("a**")
    wire.subscribe(first.subscription, 1)
    wire.say(event(1, 101, 100, "a1"))
    wire.subscribe(second.subscription, 1, rev=101)
    again, restart = wire.sent()
    assert again["patterns"] == ["a**", "a1[ ]"]
    assert restart["since"] == {"epoch": "e1", "rev": 101}
    wire.reply(again, sub=2, epoch="e1", rev=101)
    wire.reply(restart, sub=1, epoch="e1", rev=101, resumed=True)
    wire.say(event(1, 102, 101, "a2"), event(2, 102, 101, "a2"))
    assert (first.keys(), second.keys()) == (["a1", "a2"], ["a2"])


def test_leaving_unsubscribes_and_what_comes_late_is_dropped(wire: Wire) -> None:
    watched = Watched()
    wire.subscribe(watched.subscription, 1)
    wire.session.unsubscribe(watched.subscription)
    assert [(command["op"], command["sub"]) for command in wire.sent()] == [("unsubscribe", 1)]
    wire.say(event(1, 101, 100))
    assert watched.buffer.empty


def test_a_subscription_the_hub_refuses_is_over(wire: Wire) -> None:
    watched = Watched("[")
    pending = wire.session.subscribe(watched.subscription)
    wire.refuse(wire.sent()[0], "bad_request")
    assert isinstance(wire.outcomes[pending], BadRequest)
    assert isinstance(watched.subscription.error, BadRequest)


def test_a_hub_that_is_busy_is_asked_again_later(wire: Wire) -> None:
    watched, newcomer = Watched("a"), Watched("b")
    wire.subscribe(watched.subscription, 1)
    wire.say(event(1, 110, 105))
    wire.refuse(wire.sent()[0], "rate_limited", retry_after=0.5)
    assert wire.retries == [(0.5, watched.subscription)]
    wire.session.retry(watched.subscription)
    (command,) = wire.sent()
    assert command["since"] == {"epoch": "e1", "rev": 100}
    wire.session.retry(watched.subscription)
    assert wire.sent() == [], "it is on its way"
    pending = wire.session.subscribe(newcomer.subscription)
    wire.refuse(wire.sent()[0], "rate_limited", retry_after=0.5)
    assert isinstance(wire.outcomes[pending], RateLimited)


# --- slow consumers ----------------------------------------------------------------------------------------------


def test_a_slow_consumer_costs_a_bound_and_goes_on_from_the_log(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscription, "MAX_BUFFERED_BYTES", 1000)
    watched = Watched()
    wire.subscribe(watched.subscription, 1)
    for rev in range(101, 200):
        wire.say(event(1, rev, rev - 1, f"k{rev}"))
    (command,) = wire.sent()
    assert (command["op"], command["sub"]) == ("unsubscribe", 1)
    events = watched.take()
    assert len(events) < 20
    wire.session.resume(watched.subscription)
    (command,) = wire.sent()
    assert command["since"] == {"epoch": "e1", "rev": events[-1].rev}


def test_a_snapshot_is_kept_whole(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscription, "MAX_BUFFERED_BYTES", 1000)
    watched = Watched(snapshot=True)
    wire.subscribe(watched.subscription, 1)
    wire.say(*(snapshot(1, 50, f"k{number}") for number in range(100)), synced(1, 100))
    assert len(watched.take()) == 101
    assert wire.sent() == []


def test_a_paused_subscription_sleeps_through_a_lost_session(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscription, "MAX_BUFFERED_BYTES", 10)
    watched = Watched()
    wire.subscribe(watched.subscription, 1)
    wire.say(event(1, 101, 100))
    wire.sent()
    wire.session.dropped()
    wire.connect(session="s-2", rev=300)
    assert wire.sent() == []
    watched.take()
    wire.session.resume(watched.subscription)
    assert wire.sent()[0]["since"] == {"epoch": "e1", "rev": 101}
