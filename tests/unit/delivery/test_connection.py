"""A connection: lines leave in the order in which they came, in few writes, and what waits is counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from waggle_hub.delivery.connection import Connection, TaskConnection
from waggle_hub.delivery.feed import Cursor, Feed
from waggle_hub.delivery.frame import Payload
from waggle_hub.settings import Bounds
from waggle_hub.state.interests import Interest, Scope


class Socket:
    """Where a connection writes; it can be made to take nothing."""

    def __init__(self, connection: TaskConnection) -> None:
        self.connection = connection
        self.sent: list[str] = []
        self.open = asyncio.Event()
        self.open.set()
        self.writer = asyncio.create_task(connection.write(self.send, self.ready))

    async def send(self, text: Payload) -> None:
        await self.open.wait()
        self.sent.append(str(text))

    def ready(self, connection: Connection) -> None:
        """A slice at once: the whole of it for the first that is behind."""
        cursor = next(iter(connection.behind))
        del connection.behind[cursor]
        connection.queue_events(Payload(f"refilled {cursor.session}".encode()))


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def cursor(name: str) -> Cursor:
    scope = Scope("default", ("*",), frozenset({"set"}), True, False)
    return Cursor(name, Feed(Interest(1, scope, ()), 0), True, 0, None)


@pytest_asyncio.fixture
async def socket() -> AsyncIterator[Socket]:
    socket = Socket(TaskConnection(Bounds(frame=50, unsent=100)))
    yield socket
    socket.writer.cancel()
    await asyncio.gather(socket.writer, return_exceptions=True)


async def test_lines_of_one_loop_turn_leave_in_one_write(socket: Socket) -> None:
    connection = socket.connection
    connection.queue_events(Payload(b"one"))
    connection.queue_reply(Payload(b"two"))
    connection.queue_events(Payload(b"three"))
    await turns()
    assert socket.sent == ["one\ntwo\nthree"]
    assert connection.sends == 1
    connection.queue_events(Payload(b"four"))
    await turns()
    assert socket.sent[1:] == ["four"]


async def test_writes_are_cut_at_the_bound_of_a_frame(socket: Socket) -> None:
    for number in range(10):
        socket.connection.queue_events(Payload(b"%d" % number * 20))
    socket.connection.queue_events(Payload(b"x" * 200))
    await turns(20)
    assert [len(text) for text in socket.sent] == [41, 41, 41, 41, 41, 200]


async def test_queued_bytes_are_counted_until_they_leave(socket: Socket) -> None:
    connection = socket.connection
    socket.open.clear()
    connection.queue_events(Payload(b"x" * 10))
    await turns()
    connection.queue_events(Payload(b"x" * 30))
    connection.reserve_reply(7)
    assert (connection.unsent_bytes, connection.reserved_bytes) == (30, 7)
    connection.queue_reply(Payload(b"1234567"))
    socket.open.set()
    await turns()
    assert (connection.unsent_bytes, connection.reserved_bytes) == (0, 0)
    assert connection.idle


async def test_a_congested_connection_has_no_room_until_its_replies_leave(socket: Socket) -> None:
    connection = socket.connection
    socket.open.clear()
    connection.queue_events(Payload(b"first"))
    await turns()
    connection.reserve_reply(101)
    assert connection.congested, "decided is owed, released or not"
    door = asyncio.create_task(connection.room())
    connection.queue_reply(Payload(b"x" * 101))
    await turns()
    assert not door.done()
    socket.open.set()
    await turns()
    assert door.done()
    assert not connection.congested


async def test_slices_come_one_by_one_when_all_other_lines_have_left(socket: Socket) -> None:
    one, two = cursor("one"), cursor("two")
    socket.connection.start_catchup(one)
    socket.connection.start_catchup(two)
    socket.connection.queue_events(Payload(b"before"))
    assert not socket.connection.idle
    await turns(10)
    assert socket.sent == ["before", "refilled one", "refilled two"]


async def test_a_connection_behind_reports_ready_once_and_sleeps_until_it_has_lines() -> None:
    connection = TaskConnection(Bounds())
    ready: list[Connection] = []
    sent: list[str] = []

    async def send(text: Payload) -> None:
        sent.append(str(text))

    connection.start_catchup(cursor("one"))
    connection.queue_events(Payload(b"before"))
    writer = asyncio.create_task(connection.write(send, ready.append))
    await turns(20)
    assert (sent, ready) == (["before"], [connection])
    connection.queue_events(Payload(b"slice"))
    await turns(20)
    assert (sent, ready) == (["before", "slice"], [connection] * 2)
    connection.close(1000)
    await writer


async def test_a_connection_with_queued_lines_is_not_ready() -> None:
    connection = Connection(Bounds())
    assert not connection.ready
    connection.start_catchup(cursor("one"))
    assert connection.ready
    connection.queue_reply(Payload(b"x"))
    assert not connection.ready


async def test_closing_at_once_drops_queued_lines(socket: Socket) -> None:
    socket.connection.queue_events(Payload(b"lost"))
    socket.connection.close(4001, "too slow")
    socket.connection.queue_reply(Payload(b"late"))
    await socket.writer
    assert socket.sent == []
    assert socket.connection.closing == (4001, "too slow")


async def test_closing_with_a_flush_sends_queued_lines_and_no_later_ones(socket: Socket) -> None:
    socket.connection.queue_events(Payload(b"last words"))
    socket.connection.close(1000, "bye", flush=True)
    socket.connection.queue_reply(Payload(b"late"))
    await socket.writer
    assert socket.sent == ["last words"]


async def test_the_first_reason_for_closing_stands(socket: Socket) -> None:
    socket.connection.close(4002, "taken over")
    socket.connection.close(1000)
    assert socket.connection.closing == (4002, "taken over")


async def test_closing_wakes_a_reader_that_waits_for_room(socket: Socket) -> None:
    socket.connection.reserve_reply(1_000)
    door = asyncio.create_task(socket.connection.room())
    await turns()
    socket.connection.close(1000)
    await door


async def test_a_socket_that_is_stuck_is_cut_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    later: list[tuple[float, Any]] = []
    monkeypatch.setattr(loop, "call_later", lambda delay, callback: later.append((delay, callback)))
    cut: list[str] = []
    connection = Connection(Bounds(close_wait=3.0), abort=lambda: cut.append("cut"))
    connection.close(4001)
    connection.close(1000)
    ((delay, callback),) = later
    assert delay == 3.0
    callback()
    assert cut == ["cut"]


async def test_a_send_that_fails_ends_the_writer() -> None:
    connection = TaskConnection(Bounds())

    async def broken(_: Payload) -> None:
        raise OSError("gone")

    connection.queue_events(Payload(b"x"))
    with pytest.raises(OSError, match="gone"):
        await connection.write(broken, lambda connection: None)


# --- a socket that takes frames at once --------------------------------------------------------------------------


class Taker:
    """A socket that takes frames at once; it is full beyond so many bytes, until it is emptied."""

    def __init__(self, bounds: Bounds, holds: int) -> None:
        self.rooms: list[int] = []
        self.connection = Connection(bounds, socket=self, wake=self.woken, on_room=self.has_room)
        self.frames: list[bytes] = []
        self.closed: list[tuple[int, str]] = []
        self.wakes = 0
        self._holds = holds
        self._held = 0

    def woken(self, connection: Connection) -> None:
        self.wakes += 1

    def has_room(self) -> None:
        self.rooms.append(self.connection.reserved_bytes)

    def write(self, frame: bytes) -> None:
        assert not self.closed
        self.frames.append(frame)
        self._held += len(frame)
        if self._held > self._holds:
            self.connection.pause()

    def close(self, code: int, reason: str) -> None:
        self.closed.append((code, reason))

    def empty(self) -> None:
        self._held = 0
        if self.connection.paused:
            self.connection.resume()


def test_a_queued_line_wakes_the_writer_and_a_flush_writes_it() -> None:
    taker = Taker(Bounds(), holds=1000)
    taker.connection.queue_events(Payload(b"one"))
    taker.connection.queue_reply(Payload(b"two"))
    assert taker.wakes == 2
    assert taker.frames == []
    taker.connection.flush()
    assert taker.frames == [Payload(b"one\ntwo").frame]
    assert taker.connection.sends == 1


def test_a_payload_that_waits_alone_leaves_in_its_shared_frame() -> None:
    text = Payload(b"shared")
    takers = [Taker(Bounds(), holds=1000) for _ in range(3)]
    for taker in takers:
        taker.connection.queue_events(text)
        taker.connection.flush()
        assert taker.frames[0] is text.frame


def test_a_full_socket_gets_no_frame_until_it_resumes_and_queued_bytes_are_counted() -> None:
    taker = Taker(Bounds(frame=50), holds=60)
    for _ in range(5):
        taker.connection.queue_events(Payload(b"x" * 40))
    taker.connection.flush()
    assert len(taker.frames) == 2
    assert taker.connection.unsent_bytes == 120
    taker.connection.flush()
    assert len(taker.frames) == 2
    wakes = taker.wakes
    taker.empty()
    assert taker.wakes == wakes + 1
    taker.connection.flush()
    assert (len(taker.frames), taker.connection.unsent_bytes) == (4, 40)


def test_a_connection_is_not_ready_while_its_socket_is_full() -> None:
    taker = Taker(Bounds(), holds=1)
    taker.connection.start_catchup(cursor("one"))
    assert taker.wakes == 1
    assert taker.connection.ready
    taker.connection.queue_events(Payload(b"x"))
    taker.connection.flush()
    assert not taker.connection.ready
    taker.empty()
    assert taker.connection.ready


def test_room_is_reported_when_replies_have_left() -> None:
    taker = Taker(Bounds(unsent=100), holds=1000)
    taker.connection.reserve_reply(101)
    taker.connection.queue_reply(Payload(b"x" * 101))
    assert taker.rooms == []
    taker.connection.flush()
    assert taker.rooms == [0]


async def test_a_socket_is_closed_when_all_lines_have_left() -> None:
    taker = Taker(Bounds(), holds=1)
    taker.connection.queue_events(Payload(b"one"))
    taker.connection.flush()
    taker.connection.queue_events(Payload(b"last words"))
    taker.connection.close(1000, "bye", flush=True)
    taker.connection.flush()
    assert taker.closed == []
    taker.empty()
    taker.connection.flush()
    assert taker.frames[1:] == [Payload(b"last words").frame]
    assert taker.closed == [(1000, "bye")]


async def test_a_full_socket_is_closed_at_once_without_a_flush() -> None:
    taker = Taker(Bounds(), holds=1)
    for _ in range(2):
        taker.connection.queue_events(Payload(b"one"))
        taker.connection.flush()
    taker.connection.close(4001, "too slow")
    taker.connection.flush()
    assert taker.closed == [(4001, "too slow")]
