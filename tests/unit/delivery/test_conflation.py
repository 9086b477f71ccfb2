"""Conflation: one delivery an interval, of what is still news, without a gap and without growing (protocol 5)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from tests.unit.delivery.fanout_harness import FanoutHarness, brief
from waggle_hub.delivery import encoding
from waggle_hub.delivery.conflation import ConflatedFeed, ConflationScheduler, LatestByKey
from waggle_hub.delivery.fanout import Loop
from waggle_hub.settings import Bounds, Limits
from waggle_hub.state.interests import Interest, Scope
from waggle_hub.state.log import Event

ALL = ["set", "delete", "expire", "evict", "touch", "message"]
SECONDS = 5.0
HERE = {"epoch": "epoch", "rev": 3}
"""The revision at which every new session starts."""


class ConflationHarness(FanoutHarness):
    """Three agents; subscriptions are conflated, and deliveries are made when the test says so."""

    def __init__(self, bounds: Bounds | None = None, limits: Limits | None = None, loop: Loop | None = None) -> None:
        super().__init__(bounds, limits, loop)
        self.open_session("a", "b", "w")

    def follow(self, session: str, **fields: Any) -> int:
        return self.subscribe(session, **{"conflate": SECONDS, "types": ALL, **fields})

    def write(self, *keys: str) -> None:
        for key in keys:
            self.do("w", "set", key=key, value="x")

    def wait(self, seconds: float = SECONDS) -> None:
        """Let time pass, and make the deliveries that are due."""
        self.machine_harness.now += seconds
        while (due := self.fanout.next_delivery_at()) is not None and due <= self.machine_harness.now:
            self.fanout.conflate(self.machine_harness.now)

    def said(self, session: str) -> list[tuple[Any, ...]]:
        """Type, key and rev of the lines that have come."""
        return [(line["type"], line.get("key"), line["rev"]) for line in self.take(session)]


@pytest.fixture
def harness() -> ConflationHarness:
    return ConflationHarness()


# --- what is delivered ---


def test_a_delivery_holds_the_latest_of_each_key_in_order_of_revisions_and_ends_with_a_mark(
    harness: ConflationHarness,
) -> None:
    harness.follow("a")
    harness.write("x", "y", "x", "z", "y")
    assert harness.take("a") == []
    harness.wait()
    assert harness.said("a") == [("set", "x", 6), ("set", "z", 7), ("set", "y", 8), ("mark", None, 8)]


def test_events_that_are_not_about_entries_are_all_delivered(harness: ConflationHarness) -> None:
    harness.follow("a")
    for data in range(3):
        harness.do("w", "publish", channel="c", data=data)
        harness.write("c")
    harness.wait()
    assert [line.get("data") for line in harness.take("a") if line["type"] == "message"] == [0, 1, 2]


@pytest.mark.parametrize(("ops", "left"), [
    ("set set", "set"), ("set delete", "delete"), ("set delete set", "set"), ("set touch", "set touch"),
    ("set touch touch", "set touch"), ("set touch set", "set"), ("set touch delete", "delete"),
    ("set touch set touch", "set touch"),
])  # fmt: skip
def test_a_write_outdates_all_earlier_events_of_a_key_and_a_touch_only_touches(
    harness: ConflationHarness, ops: str, left: str
) -> None:
    """A touch has no value: it cannot stand in for the write that had one."""
    harness.follow("a")
    for op in ops.split():
        harness.do("w", op, key="k", **{"set": {"value": 1}, "touch": {"ttl": 9}, "delete": {}}[op])
    harness.wait()
    assert [line["type"] for line in harness.take("a")] == [*left.split(), "mark"]


def test_an_entry_of_another_namespace_is_another_entry(harness: ConflationHarness) -> None:
    harness.follow("a", ns="*")
    harness.write("k")
    harness.do("w", "set", key="k", ns="other", value=1)
    harness.wait()
    assert [line["ns"] for line in harness.take("a")[:-1]] == ["default", "other"]


def test_prev_is_the_entry_before_the_event_not_the_one_delivered_before(harness: ConflationHarness) -> None:
    harness.follow("a", prev=True)
    for value in range(3):
        harness.do("w", "set", key="k", value=value)
    harness.wait()
    line, _ = harness.take("a")
    assert (line["value"], line["prev"]["value"]) == (2, 1)


def test_conflated_and_plain_subscriptions_are_two_interests(harness: ConflationHarness) -> None:
    whole, conflated = harness.subscribe("a"), harness.follow("a", types=None)
    assert whole != conflated
    harness.write("k", "k")
    assert {line["sub"] for line in harness.take("a")} == {whole}
    harness.wait()
    assert {line["sub"] for line in harness.take("a")} == {conflated}


def test_only_what_is_delivered_is_encoded_and_once_for_all(
    harness: ConflationHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = []
    event_body = encoding.event_body

    def counted(event: Event, values: bool, prev: bool) -> bytes:
        encoded.append(event.rev)
        return event_body(event, values, prev)

    monkeypatch.setattr(encoding, "event_body", counted)
    for session in "ab":
        harness.follow(session)
    harness.write("x", "y", "x", "y")
    harness.wait()
    assert encoded == [6, 7]
    (one, *_), (two, *_) = (harness.connections[name]._lines for name in "ab")
    assert one[0] is two[0]


# --- when ---


def test_a_delivery_comes_an_interval_after_the_first_event_in_it(harness: ConflationHarness) -> None:
    harness.follow("a")
    harness.wait(100.0)
    harness.write("x")
    harness.wait(4.0)
    harness.write("y")
    assert harness.take("a") == []
    harness.wait(1.0)
    assert harness.said("a") == [("set", "x", 4), ("set", "y", 5), ("mark", None, 5)]
    harness.write("z")
    harness.wait(4.9)
    assert harness.take("a") == []
    harness.wait(0.1)
    assert harness.said("a") == [("set", "z", 6), ("mark", None, 6)]


def test_without_events_nothing_is_delivered(harness: ConflationHarness) -> None:
    harness.follow("a", patterns=["x"])
    harness.write("y")
    assert harness.fanout.next_delivery_at() is None
    harness.wait()
    assert harness.take("a") == []


def test_each_interest_has_its_own_interval(harness: ConflationHarness) -> None:
    harness.follow("a", conflate=9.0)
    harness.follow("b", conflate=2.0)
    harness.write("x")
    harness.wait(2.0)
    assert (len(harness.take("a")), len(harness.take("b"))) == (0, 2)
    harness.wait(7.0)
    assert (len(harness.take("a")), len(harness.take("b"))) == (2, 0)


def test_events_beyond_the_bound_are_delivered_early_at_the_end_of_the_turn() -> None:
    harness = ConflationHarness(Bounds(conflated=2_000))
    harness.follow("a")
    collected = 0
    for number in range(100):
        harness.decide("w", "set", key=str(number), value="x" * 20)
        if number % 2:
            harness.release()
            (feed,) = harness.fanout._feeds.values()
            assert feed.holds_back or harness.connections["a"]._lines
            collected = max(collected, sum(line["type"] == "set" for line in harness.take("a")))
    harness.wait()
    assert harness.take("a")[-1]["rev"] == 103
    assert 2 < collected < 12


def test_of_keys_written_many_times_only_the_latest_events_are_kept_in_memory() -> None:
    harness = ConflationHarness(Bounds(conflated=20_000))
    harness.follow("a")
    for _ in range(300):
        harness.write("x", "y")
    assert harness.take("a") == []
    harness.wait()
    assert [line["rev"] for line in harness.take("a")] == [602, 603, 603]


def test_a_turn_of_the_loop_makes_as_many_deliveries_as_it_has_time_for() -> None:
    harness = ConflationHarness(Bounds(slice=3))
    for number in range(10):
        harness.follow("a", patterns=["x", f"{number}"])
    harness.write("x")
    harness.machine_harness.now += SECONDS
    made = []
    while harness.fanout.next_delivery_at() is not None:
        harness.fanout.conflate(harness.machine_harness.now)
        made.append(len([line for line in harness.take("a") if line["type"] == "set"]))
    assert made == [3, 3, 3, 1]


class Handle:
    """The handle of a call that a loop will make."""

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
    harness = ConflationHarness(loop=timer)
    harness.follow("a", conflate=9.0)
    harness.follow("b", conflate=4.0, patterns=["y"])
    harness.follow("b", conflate=20.0)
    assert timer.standing() == []
    harness.write("x")
    assert timer.standing() == [9.0]
    harness.machine_harness.now += 1.0
    harness.write("y")
    assert timer.standing() == [4.0]
    harness.machine_harness.now += 3.5
    timer.ring()
    assert timer.standing() == [0.5], "it rang early"
    harness.machine_harness.now += 0.5
    timer.ring()
    assert (len(harness.take("a")), len(harness.take("b"))) == (0, 2)
    assert timer.standing() == [4.0]
    harness.machine_harness.now += 4.0
    timer.ring()
    assert (len(harness.take("a")), len(harness.take("b"))) == (3, 0)
    harness.do("b", "bye")
    harness.machine_harness.now += 11.0
    timer.ring()
    assert timer.standing() == []


# --- the chain ---


def test_the_lines_of_a_delivery_are_chained_and_the_first_to_the_mark_before(harness: ConflationHarness) -> None:
    harness.follow("a")
    harness.write("x", "y", "x")
    harness.do("w", "publish", channel="c", data=1)
    harness.wait()
    assert brief(harness.take("a")) == [("set", 5, 3), ("set", 6, 5), ("message", 7, 6), ("mark", 7, None)]
    harness.do("w", "set", key="other", ns="other", value=1)
    harness.write("x", "y")
    harness.wait()
    assert brief(harness.take("a")) == [("set", 9, 7), ("set", 10, 9), ("mark", 10, None)]


def test_the_remaining_events_of_one_revision_share_their_after(harness: ConflationHarness) -> None:
    harness.follow("a")
    harness.write("w", "x", "y", "z")
    harness.do("w", "clear", pattern="*", confirm=True)
    harness.write("y")
    harness.wait()
    lines = [(line["type"], line.get("key"), line.get("after"), line.get("more", False)) for line in harness.take("a")]
    assert lines == [
        ("delete", "w", 3, True), ("delete", "x", 3, True), ("delete", "z", 3, False),
        ("set", "y", 8, False), ("mark", None, None, False),
    ]  # fmt: skip


def test_without_echo_own_events_are_left_out_and_only_the_last_mark_stands_for_them(
    harness: ConflationHarness,
) -> None:
    harness.follow("a", echo=False)
    harness.follow("b")
    harness.write("x", "y")
    harness.do("a", "set", key="x", value="own")
    harness.do("a", "set", key="z", value="own")
    harness.write("u")
    harness.wait()
    assert brief(harness.take("b")) == [("set", 5, 3), ("set", 6, 5), ("set", 7, 6), ("set", 8, 7), ("mark", 8, None)]
    heard = [line for line in brief(harness.take("a")) if line[0] != "reply"]
    assert heard == [("set", 5, 3), ("set", 8, 5), ("mark", 8, None)], "x is one's own by now"


# --- joining and leaving ---


def test_a_cursor_that_joins_between_deliveries_gets_the_later_events(harness: ConflationHarness) -> None:
    harness.follow("a")
    harness.write("x", "y")
    harness.follow("b")
    harness.write("z", "x")
    harness.wait()
    assert brief(harness.take("a")) == [("set", 5, 3), ("set", 6, 5), ("set", 7, 6), ("mark", 7, None)]
    assert brief(harness.take("b")) == [("set", 6, 5), ("set", 7, 6), ("mark", 7, None)], "its cursor is at 5"
    harness.write("y")
    harness.wait()
    assert brief(harness.take("a")) == brief(harness.take("b")) == [("set", 8, 7), ("mark", 8, None)]


def test_a_snapshot_comes_before_the_events_after_it(harness: ConflationHarness) -> None:
    harness.write("x", "y")
    harness.do("a", "subscribe", patterns=["*"], conflate=SECONDS, snapshot=True)
    harness.write("x", "x")
    first = brief(harness.take("a"))
    assert first == [
        ("reply", 5), ("set", 4, 0), ("set", 5, 0), ("synced", 5, None), ("set", 7, 5), ("mark", 7, None),
    ]  # fmt: skip
    harness.write("y", "y")
    harness.wait()
    assert brief(harness.take("a")) == [("set", 9, 7), ("mark", 9, None)]


def test_a_replay_is_delivered_in_slices_of_the_latest_events_each_with_a_mark() -> None:
    harness = ConflationHarness(Bounds(catchup_events=4))
    harness.write("x", "y", "x", "y", "x", "x")
    harness.do("a", "subscribe", patterns=["*"], conflate=SECONDS, since=HERE)
    assert brief(harness.take("a"))[1:] == [
        ("set", 6, 3), ("set", 7, 6), ("mark", 7, None), ("set", 9, 7), ("mark", 9, None),
    ]  # fmt: skip
    harness.write("z")
    harness.wait()
    assert brief(harness.take("a")) == [("set", 10, 9), ("mark", 10, None)]


def test_a_slice_of_the_log_in_which_nothing_matched_has_no_mark() -> None:
    harness = ConflationHarness(Bounds(catchup_events=2))
    harness.write("x", "x", "x", "x", "y")
    harness.do("a", "subscribe", patterns=["y"], conflate=SECONDS, since=HERE)
    assert brief(harness.take("a"))[1:] == [("set", 8, 3), ("mark", 8, None)]


def test_catchup_leaves_out_own_events_and_the_events_they_outdate(harness: ConflationHarness) -> None:
    harness.write("x", "y")
    harness.do("a", "set", key="x", value="own")
    harness.do("a", "subscribe", patterns=["*"], conflate=SECONDS, echo=False, since=HERE)
    assert brief(harness.take("a"))[2:] == [("set", 5, 3), ("mark", 6, None)]


def test_a_reader_that_stops_catches_up_from_the_log_without_a_gap() -> None:
    harness = ConflationHarness(Bounds(unsent=500, frame=400))
    harness.follow("a")
    for number in range(10):
        harness.write(*(f"{number}{letter}" for letter in "uvwxyz"), "again")
        harness.wait()
    connection = harness.connections["a"]
    assert connection.unsent_bytes < 3_000
    cursor, keys = 3, set()
    for line in harness.take("a"):
        assert line.get("after", cursor) <= cursor
        cursor = line["rev"]
        keys.add(line.get("key"))
    assert (cursor, len(keys)) == (73, 62)
    harness.write("x")
    harness.wait()
    assert brief(harness.take("a")) == [("set", 74, 73), ("mark", 74, None)]


def test_a_cursor_that_falls_behind_between_deliveries_gets_the_undelivered_events() -> None:
    """Another subscription of the same connection overflows it while this one collects."""
    harness = ConflationHarness(Bounds(unsent=400, frame=300))
    quiet = harness.follow("a", patterns=["q"])
    harness.subscribe("a", patterns=["loud"])
    harness.write("q", "q")
    for _ in range(20):
        harness.do("w", "publish", channel="loud", data="x" * 40)
    assert harness.fanout.next_delivery_at() is None, "no cursor is live"
    told = [line for line in harness.take("a") if line["sub"] == quiet]
    assert brief(told) == [("set", 5, 3), ("mark", 25, None)]


def test_a_cursor_of_a_quiet_interest_is_not_lost_when_it_falls_behind() -> None:
    """The cursor has every event there was, however far back its last line is."""
    harness = ConflationHarness(Bounds(unsent=400, frame=300), Limits(log_events=10))
    quiet = harness.follow("a", patterns=["q"])
    harness.subscribe("a", patterns=["loud"])
    for number in range(40):
        if number == 35:
            harness.write("q")
        harness.do("w", "publish", channel="loud" if number > 35 else "other", data="x" * 120)
    lines = harness.take("a")
    assert "lost" not in [line["type"] for line in lines]
    assert brief([line for line in lines if line["sub"] == quiet]) == [("set", 39, 3), ("mark", 44, None)]


def test_a_takeover_reads_collected_events_from_the_log(harness: ConflationHarness) -> None:
    sub = harness.follow("a")
    harness.write("x", "y", "x")
    harness.connect("a")
    harness.machine_harness.return_to("a", cursors={sub: 3})
    harness._collect("a")
    harness.release()
    assert brief(harness.take("a"))[1:] == [("set", 5, 3), ("set", 6, 5), ("mark", 6, None)]
    assert harness.fanout.next_delivery_at() is None
    harness.write("x")
    harness.wait()
    assert brief(harness.take("a")) == [("set", 7, 6), ("mark", 7, None)]


@pytest.mark.parametrize("end", ["unsubscribe", "bye", "leave"])
def test_collected_events_are_dropped_when_the_last_subscriber_leaves(harness: ConflationHarness, end: str) -> None:
    def leave(session: str) -> None:
        if end == "leave":
            harness.fanout.leave(harness.connections[session])
        else:
            harness.do(session, end, **({"sub": sub} if end == "unsubscribe" else {}))

    sub = harness.follow("a")
    harness.follow("b")
    harness.write("x")
    leave("a")
    assert harness.fanout.next_delivery_at() is not None
    leave("b")
    assert harness.fanout.next_delivery_at() is None
    harness.wait()
    assert not [line for session in "ab" for line in harness.take(session) if "type" in line]


def test_a_repeated_subscription_starts_over(harness: ConflationHarness) -> None:
    harness.follow("a")
    harness.write("x")
    harness.follow("a")
    harness.write("y")
    harness.wait()
    assert brief(harness.take("a")) == [("set", 5, 4), ("mark", 5, None)]


# --- marks of an idle connection ---


def test_marks_leave_out_subscriptions_with_undelivered_events(harness: ConflationHarness) -> None:
    conflated, whole = harness.follow("a", patterns=["x"]), harness.subscribe("a", patterns=["y"])
    harness.follow("b", patterns=["z"])
    harness.write("x", "other")
    harness.fanout.mark_idle()
    assert harness.take("a") == [{"type": "mark", "rev": 5, "sub": whole}]
    assert harness.take("b") == [{"type": "mark", "rev": 5}]
    harness.wait()
    assert [(line["sub"], line["type"]) for line in harness.take("a")] == [(conflated, "set"), (conflated, "mark")]
    harness.fanout.mark_idle()
    assert harness.take("a") == [{"type": "mark", "rev": 5}]


def test_there_is_no_mark_while_all_subscriptions_have_undelivered_events(harness: ConflationHarness) -> None:
    harness.follow("a")
    harness.write("x")
    harness.fanout.mark_idle()
    assert harness.take("a") == []


# --- what is collected ---


def test_outdated_events_free_their_bytes() -> None:
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
