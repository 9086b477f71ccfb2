"""The refill queue: however many are behind, a turn of the loop has so much of it, and all get their next slice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from itertools import count
from typing import Any

import pytest
import pytest_asyncio

from tests.unit.delivery.fanout_harness import FanoutHarness
from waggle_hub.delivery.catchup import snapshot_slice
from waggle_hub.delivery.catchup_queue import CatchupQueue
from waggle_hub.delivery.connection import Connection
from waggle_hub.delivery.feed import Cursor, Feed
from waggle_hub.delivery.frame import Payload
from waggle_hub.settings import Bounds
from waggle_hub.state.interests import Interest, Scope

SCOPE = Scope("default", ("*",), frozenset({"set"}), True, False)


class Reader(Connection):
    """A connection with so many slices behind; one tells it something, or nothing."""

    def __init__(self, name: str, slices: int, *, told: bool) -> None:
        super().__init__(Bounds())
        self.name = name
        self.slices = slices
        self.told = told
        self.start_catchup(Cursor(name, Feed(Interest(1, SCOPE, ()), 0), True, 0, None))


class Line:
    """A queue, and the names of the connections that were served."""

    def __init__(self, slices_a_turn: int) -> None:
        self.served: list[str] = []
        self.due: list[Callable[[], None]] = []
        self.queue = CatchupQueue(self.refill, slices_a_turn, count().__next__, self.due.append)

    def refill(self, connection: Connection) -> None:
        assert isinstance(connection, Reader)
        self.served.append(connection.name)
        connection.slices -= 1
        if not connection.slices:
            connection.behind.clear()
        if connection.told:
            connection.queue_events(Payload(b"slice"))

    def turn(self) -> str:
        """Run a turn of the loop, and return the names served in it."""
        due = self.due.copy()
        self.due.clear()
        for step in due:
            step()
        served, self.served = self.served, []
        return "".join(served)


def test_slices_beyond_the_time_of_a_turn_follow_in_the_next() -> None:
    line = Line(slices_a_turn=3)
    for name in "abcdefgh":
        line.queue.add(Reader(name, 1, told=True))
    assert [line.turn() for _ in range(4)] == ["abc", "def", "gh", ""]


def test_each_turn_serves_one_slice_however_long_it_takes() -> None:
    line = Line(slices_a_turn=0)
    for name in "ab":
        line.queue.add(Reader(name, 1, told=True))
    assert [line.turn() for _ in range(3)] == ["a", "b", ""]


def test_slices_are_served_round_robin() -> None:
    line = Line(slices_a_turn=2)
    for name in "abc":
        line.queue.add(Reader(name, 3, told=False))
    assert "".join(line.turn() for _ in range(6)) == "abcabcabc"


def test_a_connection_gets_its_next_slice_when_the_last_has_left() -> None:
    line = Line(slices_a_turn=10)
    slow, quick = Reader("s", 3, told=True), Reader("q", 3, told=True)
    for reader in (slow, quick):
        line.queue.add(reader)
    assert line.turn() == "sq"
    for _ in range(2):
        quick.take()
        line.queue.add(quick)
        assert line.turn() == "q"
    slow.take()
    line.queue.add(slow)
    assert line.turn() == "s"


def test_a_connection_added_twice_is_queued_once() -> None:
    line = Line(slices_a_turn=10)
    reader = Reader("a", 2, told=True)
    line.queue.add(reader)
    line.queue.add(reader)
    assert len(line.due) == 1
    assert line.turn() == "a"


@pytest.mark.parametrize("happens", ["closed", "caught up", "lines wait"])
def test_a_connection_that_is_no_longer_ready_leaves_the_queue(happens: str) -> None:
    line = Line(slices_a_turn=10)
    gone, other = Reader("g", 1, told=True), Reader("o", 1, told=True)
    for reader in (gone, other):
        line.queue.add(reader)
    if happens == "closed":
        gone.closing = (1000, "")
        gone.behind.clear()
    elif happens == "caught up":
        gone.behind.clear()
    else:
        gone.queue_reply(Payload(b"x"))
    assert [line.turn(), line.turn()] == ["o", ""]
    assert not line.due


def test_a_fault_in_one_slice_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line(slices_a_turn=10)
    for name in "ab":
        line.queue.add(Reader(name, 1, told=True))
    with monkeypatch.context() as broken:
        broken.setattr(line.queue, "_catch_up", lambda connection: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            line.turn()
    assert line.turn() == "b"


# --- with writers, on a loop ---


class Crowd:
    """Agents that read as fast as they can, beside a fan-out whose slices are counted."""

    def __init__(self, agents: int, keys: int) -> None:
        self.post = FanoutHarness(Bounds(slice=4, catchup_keys=10))
        self.post.open_session("writer", *(f"r{number}" for number in range(agents)))
        for key in range(keys):
            self.post.do("writer", "set", key=str(key), value=key)
        fanout = self.post.make_fanout(asyncio.get_running_loop())
        fanout.connections, fanout.rev = self.post.fanout.connections, self.post.fanout.rev
        self.post.fanout = fanout
        self.readers = [name for name in self.post.connections if name != "writer"]
        self.heard: dict[str, list[dict[str, Any]]] = {name: [] for name in self.readers}
        self.writers = [asyncio.create_task(self._write(name)) for name in self.readers]

    async def _write(self, name: str) -> None:
        async def send(text: Payload) -> None:
            self.heard[name] += [json.loads(line) for line in str(text).split("\n")]

        await self.post.connections[name].write(send, self.post.fanout.ready)

    def waits(self) -> bool:
        """Return whether a reader has not caught up."""
        return any(not lines or lines[-1].get("type") != "mark" for lines in self.heard.values())


@pytest_asyncio.fixture
async def crowd() -> AsyncIterator[Crowd]:
    crowd = Crowd(agents=30, keys=100)
    yield crowd
    for writer in crowd.writers:
        writer.cancel()
    await asyncio.gather(*crowd.writers, return_exceptions=True)


async def test_however_many_connections_catch_up_a_turn_has_a_limited_number_of_slices(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    slices = 0

    def counted(*args: Any, **fields: Any) -> Any:
        nonlocal slices
        slices += 1
        return snapshot_slice(*args, **fields)

    monkeypatch.setattr("waggle_hub.delivery.fanout.snapshot_slice", counted)
    for name in crowd.readers:
        crowd.post.decide(name, "subscribe", patterns=["*"], snapshot=True)
    crowd.post.release()
    turns = []
    while crowd.waits():
        before = slices
        await asyncio.sleep(0)
        turns.append(slices - before)
    assert max(turns) == 4, "of four units of time, each slice takes one"
    assert sum(turns) == 30 * 10
    for lines in crowd.heard.values():
        assert sorted(int(line["key"]) for line in lines if line.get("snapshot")) == list(range(100))


async def test_a_connection_that_closes_while_queued_delays_no_other(crowd: Crowd) -> None:
    for name in crowd.readers:
        crowd.post.decide(name, "subscribe", patterns=["*"], snapshot=True)
    crowd.post.release()
    for _ in range(5):
        await asyncio.sleep(0)
    gone, ended, unsubscribed, *others = crowd.readers
    crowd.post.fanout.leave(crowd.post.connections[gone])
    crowd.post.decide(ended, "bye")
    crowd.post.decide(unsubscribed, "unsubscribe", sub=1)
    crowd.post.release()
    crowd.heard = {name: crowd.heard[name] for name in others}
    while crowd.waits():
        await asyncio.sleep(0)
    assert len(crowd.post.machine_harness.machine.state.snapshots) == 0
    assert crowd.post.connections[ended].closing == (1000, "bye")
