"""A connection: the outbox of one agent, and the count of what waits in it (G12).

Rules:
1. Lines leave in the order in which they were queued. All that wait leave in one frame, cut near `bounds.frame`.
2. A line leaves in one of three ways. With a `socket`, which takes frames at once (`edge.server.fast_path`), fan-out
   calls `flush` at the end of the turn. A `TaskConnection` has a task that runs `write`. The connection of HTTP
   callers (`edge.http.calls`) takes each reply when it is woken.
3. Events beyond `bounds.unsent` bytes make fan-out move the cursors of the connection to catch-up: the next slice is
   read from the log when everything that waited has left.
4. Replies that are decided but not sent count as `reserved_bytes`. Beyond the same bound the connection is congested,
   and no further command is read from it (back pressure).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

from waggle_hub.settings import Bounds

from .frame import Payload

if TYPE_CHECKING:
    from .feed import Cursor


class Socket(Protocol):
    """The write side of a socket that never waits. Frames written after the socket has closed are dropped."""

    def write(self, frame: bytes) -> None:
        """Send a frame. When its buffer is full the socket calls `Connection.pause`."""

    def close(self, code: int, reason: str) -> None:
        """Send a close frame after what was written. A second call does nothing."""


def _no_writer(connection: Connection) -> None:
    """Default `wake`: no writer is attached. The owner of the connection takes the lines by hand."""


def _no_reader() -> None:
    """Default `on_room`: no reader waits for room."""


class Connection:
    """The outbox of one agent.

    `wake` is called when a writer has something to do: lines wait, a slice of catch-up may come, or the connection is
    to close. `on_room` is called when the connection is no longer congested. `abort` cuts a socket that is stuck.
    """

    is_virtual = False
    """Whether the connection belongs to callers over HTTP, which have no socket of their own."""

    def __init__(
        self,
        bounds: Bounds,
        *,
        socket: Socket | None = None,
        wake: Callable[[Connection], None] = _no_writer,
        on_room: Callable[[], None] = _no_reader,
        abort: Callable[[], None] | None = None,
    ) -> None:
        self.bounds = bounds
        self.session: str | None = None
        """The id of the session, once hello has been decided."""
        self.replaced = False
        """Whether another connection has taken the session over."""
        self.closed = False
        """Whether the connection has left fan-out for good."""
        self.behind: dict[Cursor, None] = {}
        """Cursors that catch up, in the order in which they fell behind."""
        self.lost: dict[Cursor, None] = {}
        """Cursors that have fallen out of the log, until the machine has begun them again."""
        self.unsent_bytes = 0
        """Bytes of events that wait."""
        self.reserved_bytes = 0
        """Bytes of replies that are decided and have not left."""
        self.sends = 0
        """Number of frames sent."""
        self.closing: tuple[int, str] | None = None
        """Code and reason of the close, once it has been asked for."""
        self.paused = False
        """Whether the buffer of the socket is full."""
        self._socket = socket
        self._wake = wake
        self._on_room = on_room
        self._abort = abort
        self._lines: deque[tuple[Payload, int, bool]] = deque()
        """Each payload with its size, and whether it counts as events."""

    def __repr__(self) -> str:
        return f"<Connection of {self.session}: {self.unsent_bytes} B of events, {self.reserved_bytes} B of replies>"

    def reserve_reply(self, size: int) -> None:
        """Count a reply of this size, which has been decided. A negative size takes back one that will not leave."""
        self.reserved_bytes += size

    def queue_reply(self, text: Payload) -> None:
        """Queue a reply whose size has been reserved: it may leave now."""
        self._queue(text, False)

    def queue_events(self, text: Payload) -> None:
        """Queue one or more lines that are no replies: they may leave now."""
        # Counted here, where fan-out looks: it moves the cursors to catch-up when this grows too large.
        self.unsent_bytes += len(text)
        self._queue(text, True)

    def start_catchup(self, cursor: Cursor) -> None:
        """Let this cursor catch up once everything that waits has left."""
        # A connection with nothing to send would otherwise not be asked for its next slice.
        self.behind[cursor] = None
        self._wake(self)

    def close(self, code: int, reason: str = "", *, flush: bool = False) -> None:
        """Close with this code: at once, or with `flush` when everything that waits has left."""
        if self.closing is None:  # the first reason stands
            self.closing = (code, reason)
            if self._abort is not None:
                # An agent that reads nothing more would keep the socket open for as long as TCP retries.
                asyncio.get_running_loop().call_later(self.bounds.close_wait, self._abort)
        # Without `flush` the agent is told nothing more: it reads what it lacks from the log after a reconnect.
        if not flush:
            self._lines.clear()
        # No further slice: it would be made for a socket that is about to close.
        self.behind.clear()
        self._wake(self)
        self._on_room()  # a reader that waits for room must see the close

    @property
    def idle(self) -> bool:
        """Whether the agent has been sent everything."""
        return not self._lines and not self.behind and not self.lost

    @property
    def ready(self) -> bool:
        """Whether the next slice of catch-up may come: a cursor is behind, and everything that waited has left."""
        return bool(self.behind) and not self._lines and not self.paused

    @property
    def congested(self) -> bool:
        """Whether the agent has to read replies before its next command is read."""
        return self.reserved_bytes > self.bounds.unsent and self.closing is None

    def take(self) -> Payload | None:
        """Remove and return what waits, up to the bound of a frame; None if nothing waits."""
        lines = self._lines
        if not lines:
            return None
        # Remembered before lines are taken: `on_room` is called once, when the bound is crossed.
        congested = self.congested
        text, size, is_event = lines.popleft()
        self._subtract(size, is_event)
        # A payload that waits alone is returned as it is: its frame was made once for all connections that get it.
        if lines and size + lines[0][1] <= self.bounds.frame:
            texts = [text.data]
            while lines and size + lines[0][1] <= self.bounds.frame:
                text, length, is_event = lines.popleft()
                self._subtract(length, is_event)
                texts.append(text.data)
                size += length
            text = Payload(b"\n".join(texts))
        if congested and not self.congested:
            self._on_room()
        return text

    def _queue(self, text: Payload, is_event: bool) -> None:
        # After the close nothing may follow the last line, which can be the reply to `bye`.
        if self.closing is None:
            self._lines.append((text, len(text), is_event))
            self._wake(self)

    def _subtract(self, size: int, is_event: bool) -> None:
        if is_event:
            self.unsent_bytes -= size
        else:
            self.reserved_bytes -= size

    # --- with a socket that takes frames at once ---

    def flush(self) -> None:
        """Write what waits until the socket is full. If everything has left, close if that was asked for."""
        assert self._socket is not None
        # The socket pauses the connection from inside of `write` when its buffer is full.
        while not self.paused and (text := self.take()) is not None:
            self.sends += 1
            self._socket.write(text.frame)
        # Only when everything has left: the close frame comes after the last line.
        if self.closing is not None and not self._lines:
            self._socket.close(*self.closing)

    def pause(self) -> None:
        """Stop writing until `resume`: the buffer of the socket is full (asyncio's `pause_writing`)."""
        self.paused = True

    def resume(self) -> None:
        """Write again: the socket has room, or has closed and drops what is written."""
        self.paused = False
        self._wake(self)


class TaskConnection(Connection):
    """A connection whose lines are sent by a task: for transports where each send is awaited."""

    def __init__(self, bounds: Bounds, abort: Callable[[], None] | None = None) -> None:
        # Before `super().__init__`, which is given both.
        self._woken = asyncio.Event()
        self._has_room = asyncio.Event()
        super().__init__(bounds, wake=lambda _: self._woken.set(), on_room=self._has_room.set, abort=abort)

    async def write(self, send: Callable[[Payload], Awaitable[None]], ready: Callable[[Connection], None]) -> None:
        """Send what waits, as it comes, until the connection closes.

        `ready` is called each time that everything has left and a slice of catch-up may come.
        """
        while True:
            text = self.take()
            if text is not None:
                self.sends += 1
                await send(text)
            elif self.closing is not None:
                return
            else:
                # Cleared before `ready`, which may queue a slice and wake the task at once.
                self._woken.clear()
                if self.ready:
                    ready(self)
                await self._woken.wait()

    async def room(self) -> None:
        """Wait until the connection is not congested."""
        # A call of `on_room` from an earlier time may have set it.
        self._has_room.clear()
        if self.congested:
            await self._has_room.wait()
