"""A connection: the lines that wait to be sent to one agent, and how much of that is too much (G12).

Everybody puts lines in, and its door reads commands from the socket. Lines leave in the order in which they came, all
that wait in one frame, cut near `bounds.frame`. There are two ways out, and each sets `wake`:

* It has a `socket`, that takes frames at once (`edge.lane`). Fan-out calls `flush` at the end of the turn.
* Its door runs `write`, a task.

(The connection of callers, `edge.callers`, takes each reply as it is put.)

Bounds: events beyond `bounds.unsent` make fan-out move this connection's cursors behind. They are refilled when
everything has left. Replies that are decided but not sent count as `owed`: beyond the same bound the door reads no
further command.
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
    """Where a connection can write without waiting. What is written after the socket has gone is dropped."""

    def write(self, frame: bytes) -> None:
        """Send a frame. If that is as much as the socket can hold, it says so by `Connection.pause`."""

    def close(self, code: int, reason: str) -> None:
        """Say goodbye, after what was written; once is enough."""


class Connection:
    """What one agent's door and delivery share. `session` is set once hello has been decided."""

    is_virtual = False
    """Whether it is that of callers, who have no socket of their own."""

    def __init__(self, bounds: Bounds, abort: Callable[[], None] | None = None) -> None:
        self.bounds = bounds
        self._abort = abort
        self.session: str | None = None
        self.replaced = False
        """Whether its session has been taken over by another connection."""
        self.closed = False
        """Whether it speaks for nobody any more, nor ever will."""
        self.behind: dict[Cursor, None] = {}
        """Cursors to be refilled, in the order in which they fell behind."""
        self.lost: dict[Cursor, None] = {}
        """Cursors that have fallen out of the log, until the machine has begun them again."""
        self.unsent_bytes = 0
        """Bytes of events that wait."""
        self.reserved_bytes = 0
        """Bytes of replies that are decided and have not left."""
        self.sends = 0
        """Frames so far."""
        self.closing: tuple[int, str] | None = None
        self.wake: Callable[[Connection], None] = _nobody
        """Called when there is something to do: lines wait, a refill may come, or it is to close."""
        self.on_room: Callable[[], None] = _nothing
        """Called when it is no longer congested."""
        self.socket: Socket | None = None
        self.paused = False
        """Whether the socket holds as much as it can."""
        self._lines: deque[tuple[Payload, int, bool]] = deque()

    def __repr__(self) -> str:
        return f"<Connection of {self.session}: {self.unsent_bytes} B of events, {self.reserved_bytes} B of replies>"

    def reserve_reply(self, size: int) -> None:
        """A reply of this size has been decided."""
        self.reserved_bytes += size

    def queue_reply(self, text: Payload) -> None:
        """A reply that was owed may leave now."""
        self._put(text, False)

    def queue_events(self, text: Payload) -> None:
        """One or more lines, that are no replies, may leave now."""
        self.unsent_bytes += len(text)
        self._put(text, True)

    def start_catchup(self, cursor: Cursor) -> None:
        """Refill this cursor when everything that waits has left."""
        self.behind[cursor] = None
        self.wake(self)

    def close(self, code: int, reason: str = "", *, flush: bool = False) -> None:
        """Close with this code: at once, or when everything that waits has left. A stuck socket is cut."""
        if self.closing is None:
            self.closing = (code, reason)
            if self._abort is not None:
                asyncio.get_running_loop().call_later(self.bounds.close_wait, self._abort)
        if not flush:
            self._lines.clear()
        self.behind.clear()
        self.wake(self)
        self.on_room()

    @property
    def idle(self) -> bool:
        """Whether its agent has been told everything."""
        return not self._lines and not self.behind and not self.lost

    @property
    def ready(self) -> bool:
        """Whether the next slice of a refill may come: it is behind, and everything that waited has left."""
        return bool(self.behind) and not self._lines and not self.paused

    @property
    def congested(self) -> bool:
        """Whether its agent should read replies before it is heard again."""
        return self.reserved_bytes > self.bounds.unsent and self.closing is None

    def take(self) -> Payload | None:
        """Everything that waits, up to the bound of a frame; a text that waits alone is taken as it is."""
        lines = self._lines
        if not lines:
            return None
        congested = self.congested
        text, size, event = lines.popleft()
        self._subtract(size, event)
        if lines and size + lines[0][1] <= self.bounds.frame:
            texts = [text.data]
            while lines and size + lines[0][1] <= self.bounds.frame:
                text, length, event = lines.popleft()
                self._subtract(length, event)
                texts.append(text.data)
                size += length
            text = Payload(b"\n".join(texts))
        if congested and not self.congested:
            self.on_room()
        return text

    def _put(self, text: Payload, event: bool) -> None:
        if self.closing is None:
            self._lines.append((text, len(text), event))
            self.wake(self)

    def _subtract(self, size: int, event: bool) -> None:
        if event:
            self.unsent_bytes -= size
        else:
            self.reserved_bytes -= size

    # --- to a socket that takes frames at once ---

    def flush(self) -> None:
        """Write what waits until the socket holds as much as it can; if that was all, close if it is time to."""
        assert self.socket is not None
        while not self.paused and (text := self.take()) is not None:
            self.sends += 1
            self.socket.write(text.frame)
        if self.closing is not None and not self._lines:
            self.socket.close(*self.closing)

    def pause(self) -> None:
        """The socket holds as much as it can. It tells nobody that there is room who has not been told this first, so
        writing stops for no other reason."""
        self.paused = True

    def resume(self) -> None:
        """The socket takes frames again, or has gone."""
        self.paused = False
        self.wake(self)

    # --- to a door that waits for each message to be sent ---

    async def write(self, send: Callable[[Payload], Awaitable[None]], ready: Callable[[Connection], None]) -> None:
        """Send what waits, as it comes, until the connection closes; then return. `ready` hears of it each time that
        everything has left and more can be had from a refill."""
        woken = asyncio.Event()
        self.wake = lambda connection: woken.set()
        while True:
            text = self.take()
            if text is not None:
                self.sends += 1
                await send(text)
            elif self.closing is not None:
                return
            else:
                woken.clear()
                if self.ready:
                    ready(self)
                await woken.wait()

    async def room(self) -> None:
        """Wait until it is no longer congested."""
        room = asyncio.Event()
        self.on_room = room.set
        if self.congested:
            await room.wait()


def _nobody(connection: Connection) -> None:
    """Nobody has come to write yet; what waits is found when somebody does."""


def _nothing() -> None:
    """Nobody waits for room."""
