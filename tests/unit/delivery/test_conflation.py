"""Conflation: one delivery an interval, of what is still news, without a gap and without growing (protocol 5)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from tests.unit.delivery.post import Post, brief
from waggle_hub.delivery import encoding
from waggle_hub.delivery.conflation import ConflatedFeed, ConflationScheduler, LatestByKey
from waggle_hub.delivery.fanout import Loop
from waggle_hub.settings import Bounds, Limits
from waggle_hub.state.interests import Interest, Scope
from waggle_hub.state.log import Event

ALL = ["set", "delete", "expire", "evict", "touch", "message"]
SECONDS = 5.0
HERE = {"epoch": "epoch", "rev": 3}
"""Where everybody is who has just sat down."""


class Hive(Post):
    """Three agents; subscriptions are conflated, and deliveries are made when the test says so."""

    def __init__(self, bounds: Bounds | None = None, limits: Limits | None = None, loop: Loop | None = None) -> None:
        super().__init__(bounds, limits, loop)
        self.sit("a", "b", "w")

    def follow(self, session: str, **fields: Any) -> int:
        return self.subscribe(session, **{"conflate": SECONDS, "types": ALL, **fields})

    def write(self, *keys: str) -> None:
        for key in keys:
            self.do("w", "set", key=key, value="x")

    def wait(self, seconds: float = SECONDS) -> None:
        """Let time pass, and make the deliveries that are due."""
        self.table.now += seconds
        while (due := self.fanout.next_delivery_at()) is not None and due <= self.table.now:
            self.fanout.conflate(self.table.now)

    def said(self, session: str) -> list[tuple[Any, ...]]:
        """Type, key and rev of the lines that have come."""
        return [(line["type"], line.get("key"), line["rev"]) for line in self.take(session)]


@pytest.fixture
def hive() -> Hive:
    return Hive()


# --- what is delivered ---


def test_a_delivery_holds_the_latest_of_each_key_in_order_of_revisions_and_ends_with_a_mark(hive: Hive) -> None:
    hive.follow("a")
    hive.write("x", "y", "x", "z", "y")
    assert hive.take("a") == []
    hive.wait()
    assert hive.said("a") == [("set", "x", 6), ("set", "z", 7), ("set", "y", 8), ("mark", None, 8)]


def test_every_event_that_is_not_of_an_entry_is_delivered(hive: Hive) -> None:
    hive.follow("a")
    for data in range(3):
        hive.do("w", "publish", channel="c", data=data)
        hive.write("c")
    hive.wait()
    assert [line.get("data") for line in hive.take("a") if line["type"] == "message"] == [0, 1, 2]


@pytest.mark.parametrize(("ops", "left"), [
    ("set set", "set"), ("set delete", "delete"), ("set delete set", "set"), ("set touch", "set touch"),
    ("set touch touch", "set touch"), ("set touch set", "set"), ("set touch delete", "delete"),
    ("set touch set touch", "set touch"),
])  # fmt: skip
def test_a_write_makes_old_news_of_all_before_it_and_a_touch_of_touches_alone(hive: Hive, ops: str, left: str) -> None:
    """A touch has no value: it cannot stand in for the write that had one."""
    hive.follow("a")
    for op in ops.split():
        hive.do("w", op, key="k", **{"set": {"value": 1}, "touch": {"ttl": 9}, "delete": {}}[op])
    hive.wait()
    assert [line["type"] for line in hive.take("a")] == [*left.split(), "mark"]


def test_an_entry_of_another_namespace_is_another_entry(hive: Hive) -> None:
    hive.follow("a", ns="*")
    hive.write("k")
    hive.do("w", "set", key="k", ns="other", value=1)
    hive.wait()
    assert [line["ns"] for line in hive.take("a")[:-1]] == ["default", "other"]


def test_prev_is_the_entry_before_that_event_not_the_one_told_before(hive: Hive) -> None:
    hive.follow("a", prev=True)
    for value in range(3):
        hive.do("w", "set", key="k", value=value)
    hive.wait()
    line, _ = hive.take("a")
    assert (line["value"], line["prev"]["value"]) == (2, 1)


def test_one_who_wants_all_and_one_who_wants_the_latest_have_two_interests(hive: Hive) -> None:
    whole, conflated = hive.subscribe("a"), hive.follow("a", types=None)
    assert whole != conflated
    hive.write("k", "k")
    assert {line["sub"] for line in hive.take("a")} == {whole}
    hive.wait()
    assert {line["sub"] for line in hive.take("a")} == {conflated}


def test_only_what_is_delivered_is_encoded_and_once_for_all(hive: Hive, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = []
    event_body = encoding.event_body

    def counted(event: Event, values: bool, prev: bool) -> bytes:
        encoded.append(event.rev)
        return event_body(event, values, prev)

    monkeypatch.setattr(encoding, "event_body", counted)
    for session in "ab":
        hive.follow(session)
    hive.write("x", "y", "x", "y")
    hive.wait()
    assert encoded == [6, 7]
    (one, *_), (two, *_) = (hive.connections[name]._lines for name in "ab")
    assert one[0] is two[0]


# --- when ---


def test_a_delivery_comes_an_interval_after_the_first_event_in_it(hive: Hive) -> None:
    hive.follow("a")
    hive.wait(100.0)
    hive.write("x")
    hive.wait(4.0)
    hive.write("y")
    assert hive.take("a") == []
    hive.wait(1.0)
    assert hive.said("a") == [("set", "x", 4), ("set", "y", 5), ("mark", None, 5)]
    hive.write("z")
    hive.wait(4.9)
    assert hive.take("a") == []
    hive.wait(0.1)
    assert hive.said("a") == [("set", "z", 6), ("mark", None, 6)]


def test_where_nothing_happens_nothing_is_delivered(hive: Hive) -> None:
    hive.follow("a", patterns=["x"])
    hive.write("y")
    assert hive.fanout.next_delivery_at() is None
    hive.wait()
    assert hive.take("a") == []


def test_each_interest_has_its_own_interval(hive: Hive) -> None:
    hive.follow("a", conflate=9.0)
    hive.follow("b", conflate=2.0)
    hive.write("x")
    hive.wait(2.0)
    assert (len(hive.take("a")), len(hive.take("b"))) == (0, 2)
    hive.wait(7.0)
    assert (len(hive.take("a")), len(hive.take("b"))) == (2, 0)


def test_more_than_the_bound_is_delivered_early_at_the_end_of_the_turn() -> None:
    hive = Hive(Bounds(conflated=2_000))
    hive.follow("a")
    collected = 0
    for number in range(100):
        hive.decide("w", "set", key=str(number), value="x" * 20)
        if number % 2:
            hive.release()
            (feed,) = hive.fanout._feeds.values()
            assert feed.holds_back or hive.connections["a"]._lines
            collected = max(collected, sum(line["type"] == "set" for line in hive.take("a")))
    hive.wait()
    assert hive.take("a")[-1]["rev"] == 103
    assert 2 < collected < 12


def test_however_many_keys_are_written_over_and_over_the_latest_are_all_that_is_kept() -> None:
    hive = Hive(Bounds(conflated=20_000))
    hive.follow("a")
    for _ in range(300):
        hive.write("x", "y")
    assert hive.take("a") == []
    hive.wait()
    assert [line["rev"] for line in hive.take("a")] == [602, 603, 603]


def test_a_turn_of_the_loop_makes_as_many_deliveries_as_it_has_time_for() -> None:
    hive = Hive(Bounds(slice=3))
    for number in range(10):
        hive.follow("a", patterns=["x", f"{number}"])
    hive.write("x")
    hive.table.now += SECONDS
    made = []
    while hive.fanout.next_delivery_at() is not None:
        hive.fanout.conflate(hive.table.now)
        made.append(len([line for line in hive.take("a") if line["type"] == "set"]))
    assert made == [3, 3, 3, 1]


class Handle:
    """What a loop gives for a call that it will make."""

    def __init__(self, delay: float, call: Callable[[], None]) -> None:
        self.delay, self.call, self.cancelled = delay, call, False

    def cancel(self) -> None:
        self.cancelled = True


class Timer:
    """A loop whose timers fire when the test says so."""

    def __init__(self) -> None:
        self._handles: list[Handle] = []

    def call_soon(self, call: Callable[[], None]) -> None:
        raise AssertionError("no connection is behind")

    def call_later(self, delay: float, call: Callable[[], None]) -> Any:
        self._handles.append(Handle(delay, call))
        return self._handles[-1]

    def standing(self) -> list[float]:
        """The delays of what has been set and not cancelled."""
        return [handle.delay for handle in self._handles if not handle.cancelled]

    def ring(self) -> None:
        (handle,) = [handle for handle in self._handles if not handle.cancelled]
        self._handles.clear()
        handle.call()


def test_one_timer_stands_at_the_first_delivery() -> None:
    timer = Timer()
    hive = Hive(loop=timer)
    hive.follow("a", conflate=9.0)
    hive.follow("b", conflate=4.0, patterns=["y"])
    hive.follow("b", conflate=20.0)
    assert timer.standing() == []
    hive.write("x")
    assert timer.standing() == [9.0]
    hive.table.now += 1.0
    hive.write("y")
    assert timer.standing() == [4.0]
    hive.table.now += 3.5
    timer.ring()
    assert timer.standing() == [0.5], "it rang early"
    hive.table.now += 0.5
    timer.ring()
    assert (len(hive.take("a")), len(hive.take("b"))) == (0, 2)
    assert timer.standing() == [4.0]
    hive.table.now += 4.0
    timer.ring()
    assert (len(hive.take("a")), len(hive.take("b"))) == (3, 0)
    hive.do("b", "bye")
    hive.table.now += 11.0
    timer.ring()
    assert timer.standing() == []


# --- the chain ---


def test_the_lines_of_a_delivery_are_chained_and_the_first_to_the_mark_before(hive: Hive) -> None:
    hive.follow("a")
    hive.write("x", "y", "x")
    hive.do("w", "publish", channel="c", data=1)
    hive.wait()
    assert brief(hive.take("a")) == [("set", 5, 3), ("set", 6, 5), ("message", 7, 6), ("mark", 7, None)]
    hive.do("w", "set", key="other", ns="other", value=1)
    hive.write("x", "y")
    hive.wait()
    assert brief(hive.take("a")) == [("set", 9, 7), ("set", 10, 9), ("mark", 10, None)]


def test_what_is_left_of_one_revision_is_told_together(hive: Hive) -> None:
    hive.follow("a")
    hive.write("w", "x", "y", "z")
    hive.do("w", "clear", pattern="*", confirm=True)
    hive.write("y")
    hive.wait()
    lines = [(line["type"], line.get("key"), line.get("after"), line.get("more", False)) for line in hive.take("a")]
    assert lines == [
        ("delete", "w", 3, True), ("delete", "x", 3, True), ("delete", "z", 3, False),
        ("set", "y", 8, False), ("mark", None, None, False),
    ]  # fmt: skip


def test_ones_own_events_are_left_out_and_no_mark_but_the_last_stands_for_them(hive: Hive) -> None:
    hive.follow("a", echo=False)
    hive.follow("b")
    hive.write("x", "y")
    hive.do("a", "set", key="x", value="own")
    hive.do("a", "set", key="z", value="own")
    hive.write("u")
    hive.wait()
    assert brief(hive.take("b")) == [("set", 5, 3), ("set", 6, 5), ("set", 7, 6), ("set", 8, 7), ("mark", 8, None)]
    heard = [line for line in brief(hive.take("a")) if line[0] != "reply"]
    assert heard == [("set", 5, 3), ("set", 8, 5), ("mark", 8, None)], "x is one's own by now"


# --- who comes and who goes ---


def test_who_comes_between_two_deliveries_gets_what_came_after(hive: Hive) -> None:
    hive.follow("a")
    hive.write("x", "y")
    hive.follow("b")
    hive.write("z", "x")
    hive.wait()
    assert brief(hive.take("a")) == [("set", 5, 3), ("set", 6, 5), ("set", 7, 6), ("mark", 7, None)]
    assert brief(hive.take("b")) == [("set", 6, 5), ("set", 7, 6), ("mark", 7, None)], "its cursor is at 5"
    hive.write("y")
    hive.wait()
    assert brief(hive.take("a")) == brief(hive.take("b")) == [("set", 8, 7), ("mark", 8, None)]


def test_a_snapshot_comes_first_and_then_what_came_after_it(hive: Hive) -> None:
    hive.write("x", "y")
    hive.do("a", "subscribe", patterns=["*"], conflate=SECONDS, snapshot=True)
    hive.write("x", "x")
    first = brief(hive.take("a"))
    assert first == [
        ("reply", 5), ("set", 4, 0), ("set", 5, 0), ("synced", 5, None), ("set", 7, 5), ("mark", 7, None),
    ]  # fmt: skip
    hive.write("y", "y")
    hive.wait()
    assert brief(hive.take("a")) == [("set", 9, 7), ("mark", 9, None)]


def test_since_is_told_in_slices_of_the_latest_each_with_a_mark() -> None:
    hive = Hive(Bounds(catchup_events=4))
    hive.write("x", "y", "x", "y", "x", "x")
    hive.do("a", "subscribe", patterns=["*"], conflate=SECONDS, since=HERE)
    assert brief(hive.take("a"))[1:] == [
        ("set", 6, 3), ("set", 7, 6), ("mark", 7, None), ("set", 9, 7), ("mark", 9, None),
    ]  # fmt: skip
    hive.write("z")
    hive.wait()
    assert brief(hive.take("a")) == [("set", 10, 9), ("mark", 10, None)]


def test_a_slice_of_the_log_in_which_nothing_matched_has_no_mark() -> None:
    hive = Hive(Bounds(catchup_events=2))
    hive.write("x", "x", "x", "x", "y")
    hive.do("a", "subscribe", patterns=["y"], conflate=SECONDS, since=HERE)
    assert brief(hive.take("a"))[1:] == [("set", 8, 3), ("mark", 8, None)]


def test_a_refill_leaves_out_ones_own_and_what_it_made_old_news_of(hive: Hive) -> None:
    hive.write("x", "y")
    hive.do("a", "set", key="x", value="own")
    hive.do("a", "subscribe", patterns=["*"], conflate=SECONDS, echo=False, since=HERE)
    assert brief(hive.take("a"))[2:] == [("set", 5, 3), ("mark", 6, None)]


def test_who_does_not_read_is_refilled_from_the_log_without_a_gap() -> None:
    hive = Hive(Bounds(unsent=500, frame=400))
    hive.follow("a")
    for number in range(10):
        hive.write(*(f"{number}{letter}" for letter in "uvwxyz"), "again")
        hive.wait()
    connection = hive.connections["a"]
    assert connection.unsent_bytes < 3_000
    cursor, keys = 3, set()
    for line in hive.take("a"):
        assert line.get("after", cursor) <= cursor
        cursor = line["rev"]
        keys.add(line.get("key"))
    assert (cursor, len(keys)) == (73, 62)
    hive.write("x")
    hive.wait()
    assert brief(hive.take("a")) == [("set", 74, 73), ("mark", 74, None)]


def test_who_falls_behind_between_two_deliveries_is_told_what_it_was_not() -> None:
    """Another subscription of the same connection overflows it while this one collects."""
    hive = Hive(Bounds(unsent=400, frame=300))
    quiet = hive.follow("a", patterns=["q"])
    hive.subscribe("a", patterns=["loud"])
    hive.write("q", "q")
    for _ in range(20):
        hive.do("w", "publish", channel="loud", data="x" * 40)
    assert hive.fanout.next_delivery_at() is None, "nobody is live"
    told = [line for line in hive.take("a") if line["sub"] == quiet]
    assert brief(told) == [("set", 5, 3), ("mark", 25, None)]


def test_who_was_quiet_for_long_is_not_lost_when_it_falls_behind() -> None:
    """It has been told of everything there was, however far back its last line is."""
    hive = Hive(Bounds(unsent=400, frame=300), Limits(log_events=10))
    quiet = hive.follow("a", patterns=["q"])
    hive.subscribe("a", patterns=["loud"])
    for number in range(40):
        if number == 35:
            hive.write("q")
        hive.do("w", "publish", channel="loud" if number > 35 else "other", data="x" * 120)
    lines = hive.take("a")
    assert "lost" not in [line["type"] for line in lines]
    assert brief([line for line in lines if line["sub"] == quiet]) == [("set", 39, 3), ("mark", 44, None)]


def test_a_takeover_gets_from_the_log_what_had_been_collected(hive: Hive) -> None:
    sub = hive.follow("a")
    hive.write("x", "y", "x")
    hive.connect("a")
    hive.table.return_to("a", cursors={sub: 3})
    hive._collect("a")
    hive.release()
    assert brief(hive.take("a"))[1:] == [("set", 5, 3), ("set", 6, 5), ("mark", 6, None)]
    assert hive.fanout.next_delivery_at() is None
    hive.write("x")
    hive.wait()
    assert brief(hive.take("a")) == [("set", 7, 6), ("mark", 7, None)]


@pytest.mark.parametrize("end", ["unsubscribe", "bye", "leave"])
def test_what_was_collected_for_one_who_leaves_is_dropped_with_the_last(hive: Hive, end: str) -> None:
    def leave(session: str) -> None:
        if end == "leave":
            hive.fanout.leave(hive.connections[session])
        else:
            hive.do(session, end, **({"sub": sub} if end == "unsubscribe" else {}))

    sub = hive.follow("a")
    hive.follow("b")
    hive.write("x")
    leave("a")
    assert hive.fanout.next_delivery_at() is not None
    leave("b")
    assert hive.fanout.next_delivery_at() is None
    hive.wait()
    assert not [line for session in "ab" for line in hive.take(session) if "type" in line]


def test_to_subscribe_again_begins_again(hive: Hive) -> None:
    hive.follow("a")
    hive.write("x")
    hive.follow("a")
    hive.write("y")
    hive.wait()
    assert brief(hive.take("a")) == [("set", 5, 4), ("mark", 5, None)]


# --- marks of an idle connection ---


def test_no_mark_speaks_for_a_subscription_that_holds_something_back(hive: Hive) -> None:
    conflated, whole = hive.follow("a", patterns=["x"]), hive.subscribe("a", patterns=["y"])
    hive.follow("b", patterns=["z"])
    hive.write("x", "other")
    hive.fanout.mark_idle()
    assert hive.take("a") == [{"type": "mark", "rev": 5, "sub": whole}]
    assert hive.take("b") == [{"type": "mark", "rev": 5}]
    hive.wait()
    assert [(line["sub"], line["type"]) for line in hive.take("a")] == [(conflated, "set"), (conflated, "mark")]
    hive.fanout.mark_idle()
    assert hive.take("a") == [{"type": "mark", "rev": 5}]


def test_where_all_hold_something_back_there_is_no_mark(hive: Hive) -> None:
    hive.follow("a")
    hive.write("x")
    hive.fanout.mark_idle()
    assert hive.take("a") == []


# --- what is collected ---


def test_what_is_old_news_frees_its_bytes() -> None:
    latest = LatestByKey()
    numbers = count(1)

    def happen(type: str, key: str = "k") -> Event:
        event = Event(type=type, rev=next(numbers), ns="n", key=key, at=0.0, by="b", origin=None)
        latest.add(event)
        return event

    for type in ("set", "touch", "touch", "delete", "set", "touch"):
        happen(type)
    happen("message")
    happen("message")
    happen("set", "other")
    assert [event.type for event in latest] == ["set", "touch", "message", "message", "set"]
    assert latest.size == sum(event.size for event in latest)
    assert [event.rev for event in latest] == sorted(event.rev for event in latest)


async def test_a_fault_in_one_delivery_does_not_stop_the_others() -> None:
    delivered: list[int] = []
    faults: list[object] = []
    now = [100.0]

    def deliver(feed: ConflatedFeed) -> None:
        deliveries.end(feed)
        if feed.sub == 1:
            raise ZeroDivisionError
        delivered.append(feed.sub)

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: faults.append(context["exception"]))
    deliveries = ConflationScheduler(
        deliver, lambda: None, Bounds(), lambda: now[0], lambda: 0.0, lambda _, fire: loop.call_later(0, fire)
    )
    scope = Scope("default", ("*",), frozenset({"set"}), True, False, SECONDS)
    for sub in (1, 2):
        deliveries.begin(ConflatedFeed(Interest(sub, scope, ()), 0, deliveries), SECONDS)
    now[0] += SECONDS
    for _ in range(10):
        await asyncio.sleep(0)
    assert ([type(fault) for fault in faults], delivered) == ([ZeroDivisionError], [2])
