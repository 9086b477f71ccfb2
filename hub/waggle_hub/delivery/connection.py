"""A connection: the lines that wait to be sent to one agent, and how much of that is too much (G12).

Its door reads commands from the socket and runs `write`; everybody else puts lines in. Lines leave in the order in
which they came, all that wait in one write, cut near `bounds.frame`.

Bounds: events beyond `bounds.unsent` make fan-out move this connection's cursors behind. They are refilled when
everything has left, which `write` tells fan-out. Replies that are decided but not sent count as `owed`: beyond the
same bound the door reads no further command.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from ..settings import Bounds

if TYPE_CHECKING:
    from .feed import Cursor


class Connection:
    """What one agent's door and delivery share. `session` is set once hello has been decided."""

    def __init__(self, bounds: Bounds, abort: Callable[[], None] | None = None) -> None:
        self.bounds = bounds
        self._abort = abort
        self.session: str | None = None
        self.replaced = False
        """Whether its session has been taken over by another connection."""
        self.gone = False
        """Whether it speaks for nobody any more, nor ever will."""
        self.behind: dict[Cursor, None] = {}
        """Cursors to be refilled, in the order in which they fell behind."""
        self.lost: dict[Cursor, None] = {}
        """Cursors that have fallen out of the log, until the machine has begun them again."""
        self.unsent = 0
        """Bytes of events that wait."""
        self.owed = 0
        """Bytes of replies that are decided and have not left."""
        self.sends = 0
        """Writes so far."""
        self.closing: tuple[int, str] | None = None
        self._lines: deque[tuple[str, int, bool]] = deque()
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def __repr__(self) -> str:
        return f"<Connection of {self.session}: {self.unsent} B of events, {self.owed} B of replies>"

    def owe(self, size: int) -> None:
        """A reply of this size has been decided."""
        self.owed += size
        if self.owed > self.bounds.unsent:
            self._room.clear()

    def put_reply(self, text: str) -> None:
        """A reply that was owed may leave now."""
        self._put(text, len(text), False)

    def put_events(self, text: str) -> None:
        """One or more lines, that are no replies, may leave now."""
        self.unsent += len(text)
        self._put(text, len(text), True)

    def fall_behind(self, cursor: Cursor) -> None:
        """Refill this cursor when everything that waits has left."""
        self.behind[cursor] = None
        self._wake.set()

    def close(self, code: int, reason: str = "", *, flush: bool = False) -> None:
        """Close with this code: at once, or when everything that waits has left. A stuck socket is cut."""
        if self.closing is None:
            self.closing = (code, reason)
            if self._abort is not None:
                asyncio.get_running_loop().call_later(self.bounds.close_wait, self._abort)
        if not flush:
            self._lines.clear()
        self.behind.clear()
        self._wake.set()
        self._room.set()

    @property
    def idle(self) -> bool:
        """Whether its agent has been told everything."""
        return not self._lines and not self.behind and not self.lost

    @property
    def ready(self) -> bool:
        """Whether the next slice of a refill may come: it is behind, and everything that waited has left."""
        return bool(self.behind) and not self._lines

    @property
    def congested(self) -> bool:
        """Whether its agent should read replies before it is heard again."""
        return not self._room.is_set()

    async def room(self) -> None:
        """Wait until there is room for more replies, or the connection closes."""
        await self._room.wait()

    async def write(self, send: Callable[[str], Awaitable[None]], ready: Callable[[Connection], None]) -> None:
        """Send what waits, as it comes, until the connection closes; then return. `ready` hears of it each time that
        everything has left and more can be had from a refill."""
        while True:
            text = self._take()
            if text is not None:
                self.sends += 1
                await send(text)
            elif self.closing is not None:
                return
            else:
                self._wake.clear()
                if self.ready:
                    ready(self)
                await self._wake.wait()

    def _put(self, text: str, size: int, event: bool) -> None:
        if self.closing is None:
            self._lines.append((text, size, event))
            self._wake.set()

    def _take(self) -> str | None:
        """Everything that waits, up to the bound of a frame, as one text."""
        lines = self._lines
        if not lines:
            return None
        texts: list[str] = []
        size = 0
        while lines and (not texts or size + lines[0][1] <= self.bounds.frame):
            text, length, event = lines.popleft()
            texts.append(text)
            size += length
            if event:
                self.unsent -= length
            else:
                self.owed -= length
        if self.owed <= self.bounds.unsent:
            self._room.set()
        return texts[0] if len(texts) == 1 else "\n".join(texts)
