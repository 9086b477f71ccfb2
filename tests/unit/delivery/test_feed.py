"""Feeds and connections: encoded once, written once, bounded always."""

from __future__ import annotations

import asyncio
import json
from itertools import count
from typing import Any

import pytest

from waggle.wire.patterns import compile_pattern
from waggle_hub.delivery import encoding
from waggle_hub.delivery.connection import Connection, TaskConnection
from waggle_hub.delivery.fanout import Fanout
from waggle_hub.delivery.feed import pack_lines
from waggle_hub.delivery.frame import Payload
from waggle_hub.settings import Bounds
from waggle_hub.state.effects import OpenCursor
from waggle_hub.state.interests import Interest, Scope
from waggle_hub.state.log import Commit, Event, Log
from waggle_hub.state.store.entry import Entry

TYPES = frozenset({"set"})


class FeedHarness:
    """A fan-out with connections whose lines are taken out by hand."""

    def __init__(self, bounds: Bounds | None = None) -> None:
        self.bounds = bounds or Bounds()
        self.log = Log(0, max_events=1_000, max_bytes=10_000_000)
        self.fanout = Fanout(self.bounds, self.log, lambda: 0.0, self, timer=count().__next__)
        self.interests: dict[Scope, Interest] = {}
        self.lost: list[str] = []

    def on_log_truncated(self, session: str, sub: int) -> None:
        self.lost.append(session)

    def on_synced(self, session: str, sub: int, rev: int) -> None:
        pass

    def interest(self, pattern: str, *, values: bool = True, prev: bool = False) -> Interest:
        scope = Scope("default", (pattern,), TYPES, values, prev)
        made = Interest(len(self.interests) + 1, scope, (compile_pattern(pattern),))
        return self.interests.setdefault(scope, made)

    def join(self, session: str, interest: Interest, *, echo: bool = True) -> Connection:
        connection = self.fanout.connections.get(session) or Connection(self.bounds)
        connection.session = session
        self.fanout.connections[session] = connection
        self.fanout.release([OpenCursor(session, interest, echo, self.fanout.rev)])
        return connection

    def set(self, key: str, value: str = "1", origin: str | None = None) -> Commit:
        rev = self.log.rev + 1
        entry = Entry(key, "default", value.encode(), rev, 1, "persistent", 1.0, 1.0, None, "a", None)
        event = Event(type="set", rev=rev, ns="default", key=key, at=1.0, by="a", origin=origin, entry=entry)
        return self.log.append((event,))

    def refill(self, connection: Connection) -> None:
        """The next slice for this connection."""
        self.fanout.ready(connection)
        self.fanout.catch_up()


def lines(connection: Connection) -> list[dict[str, Any]]:
    """Everything that waits."""
    found: list[dict[str, Any]] = []
    while (text := connection.take()) is not None:
        found += [json.loads(line) for line in str(text).split("\n")]
    return found


class Counter:
    """Counts the calls of a function that it stands in for."""

    def __init__(self, function: Any) -> None:
        self.calls = 0
        self._function = function

    def __call__(self, *args: Any) -> Any:
        self.calls += 1
        return self._function(*args)


def test_an_event_is_encoded_once_however_many_follow_it(monkeypatch: pytest.MonkeyPatch) -> None:
    bodies, heads = Counter(encoding.event_body), Counter(encoding.event_line)
    monkeypatch.setattr("waggle_hub.delivery.encoding.event_body", bodies)
    monkeypatch.setattr("waggle_hub.delivery.encoding.event_line", heads)
    harness = FeedHarness()
    same, other, bare = harness.interest("*"), harness.interest("k*"), harness.interest("*", values=False)
    for number in range(50):
        for interest in (same, other, bare):
            harness.join(f"s{number}", interest)
    harness.fanout.release([harness.set("k")])
    assert bodies.calls == 2, "once with values, once without"
    assert heads.calls == 3, "once for each interest"


def test_an_interest_without_live_subscribers_is_not_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    bodies = Counter(encoding.event_body)
    monkeypatch.setattr("waggle_hub.delivery.encoding.event_body", bodies)
    harness = FeedHarness()
    harness.fanout.leave(harness.join("s", harness.interest("*")))
    harness.fanout.release([harness.set("k")])
    assert bodies.calls == 0


def test_all_subscribers_of_an_interest_get_the_same_text() -> None:
    harness = FeedHarness()
    one, two = (harness.join(name, harness.interest("*")) for name in ("one", "two"))
    harness.fanout.release([harness.set("a"), harness.set("b")])
    first, second = one.take(), two.take()
    assert first is second


def test_the_chain_goes_from_event_to_event_of_the_same_interest() -> None:
    harness = FeedHarness()
    connection = harness.join("s", harness.interest("a*"))
    harness.fanout.release([harness.set("a1"), harness.set("b"), harness.set("a2")])
    assert [(line["rev"], line["after"]) for line in lines(connection)] == [(1, 0), (3, 1)]


def test_own_events_are_replaced_by_marks_without_echo() -> None:
    harness = FeedHarness()
    connection = harness.join("s", harness.interest("*"), echo=False)
    harness.fanout.release(
        [harness.set("mine", origin="s"), harness.set("theirs", origin="t"), harness.set("mine", origin="s")]
    )
    assert [line["type"] for line in lines(connection)] == ["mark", "set", "mark"]


def test_a_connection_that_does_not_read_falls_behind_and_catches_up_without_a_gap() -> None:
    harness = FeedHarness(Bounds(unsent=2_000, frame=1_000))
    slow, quick = (harness.join(name, harness.interest("*")) for name in ("slow", "quick"))
    for _ in range(40):
        harness.fanout.release([harness.set("k", json.dumps("x" * 100))])
        lines(quick)
    assert slow.behind
    assert slow.unsent_bytes < 4_000, "what waits is bounded"
    assert not quick.behind
    got = lines(slow)
    while slow.behind:
        harness.refill(slow)
        got += lines(slow)
    assert [line["rev"] for line in got if line["type"] == "set"] == list(range(1, 41))
    assert got[-1] == {"type": "mark", "rev": 40, "sub": 1}


def test_a_cursor_behind_the_log_is_lost_and_a_fourth_loss_closes_the_connection() -> None:
    harness = FeedHarness(Bounds(unsent=100))
    harness.log._max_events = 5
    connection = harness.join("s", harness.interest("*"))
    for attempt in range(4):
        for _ in range(20):
            harness.fanout.release([harness.set("k", json.dumps("x" * 100))])
        if attempt:
            connection.start_catchup(next(iter(harness.fanout._cursors["s"].values())))
        lines(connection)
        harness.refill(connection)
        harness.fanout._cursors["s"][1].rev = 0
        if attempt < 3:
            assert harness.lost == ["s"] * (attempt + 1)
            assert connection.closing is None
    assert connection.closing is not None
    assert connection.closing[0] == 4001


def test_long_payloads_are_cut_between_lines() -> None:
    def cut_up(*lines: bytes) -> list[str]:
        return [str(text) for text in pack_lines(list(lines), 100)]

    assert cut_up(b"a" * 60, b"b" * 60, b"c" * 10) == ["a" * 60, "b" * 60 + "\n" + "c" * 10]
    assert cut_up(b"a" * 500) == ["a" * 500]
    assert cut_up() == []


def test_reserved_replies_congest_a_connection_until_they_are_read() -> None:
    connection = Connection(Bounds(unsent=100))
    connection.reserve_reply(150)
    assert connection.congested
    connection.queue_reply(Payload(b"x" * 150))
    connection.take()
    assert not connection.congested


async def test_a_connection_sends_all_queued_lines_in_one_write_and_ends_when_closed() -> None:
    connection = TaskConnection(Bounds())
    sent: list[str] = []

    async def send(text: Payload) -> None:
        sent.append(str(text))

    for number in range(10):
        connection.queue_events(Payload(b"%d" % number))
    connection.close(1000, flush=True)
    connection.queue_events(Payload(b"too late"))
    await asyncio.wait_for(connection.write(send, lambda connection: None), 5)
    assert sent == ["\n".join(map(str, range(10)))]
