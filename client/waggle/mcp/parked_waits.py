"""What is still waited for between two calls of a tool, so that a bounded call does not lose its place in a queue.

The rules:

1. **The time of a call is over, the wait is not:** the command goes on waiting in the hub, in its place, and the model
   has a cursor by which its next call goes on with it.
2. **For `LINGER` seconds, and no longer.** If nobody comes back it is cancelled; what was granted meanwhile is given
   back, to the next in the queue.
3. **Who asks for the same again goes on with it,** cursor or not: else it would stand in the queue behind itself.
4. **A cursor is its owner's,** and good for one call. There are at most `MOST` of one owner: the oldest goes first.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from waggle.mcp.time_limits import undone

__all__ = ["LINGER", "MOST", "Parked", "Parking"]

LINGER = 30.0
"""Seconds that a model has to come back: while it thinks, others wait for what it may have been granted."""
MOST = 20
"""Waits of one owner: a window that runs many tasks at once has about as many."""

Undo = Callable[[Any], Awaitable[object]]
Owner = tuple[str, str]


class Parked(NamedTuple):
    """A wait that goes on: for which names, what was asked in so many words, the work that waits, and what to do with
    a grant that nobody wants."""

    what: tuple[str, ...]
    words: str
    work: asyncio.Task[Any]
    undo: Undo


class Parking:
    """All that is left waiting."""

    def __init__(self, linger: float = LINGER) -> None:
        self.linger = linger
        self._parked: dict[Owner, dict[str, tuple[Parked, asyncio.TimerHandle]]] = {}

    def leave(self, owner: Owner, parked: Parked) -> str:
        """Leave it waiting; gives the cursor that leads back."""
        own = self._parked.setdefault(owner, {})
        if len(own) >= MOST:
            self._over(owner, next(iter(own)))
        cursor = secrets.token_hex(6)
        parked.work.add_done_callback(_looked_at)
        timer = asyncio.get_running_loop().call_later(self.linger, self._over, owner, cursor)
        self._parked.setdefault(owner, {})[cursor] = (parked, timer)
        return cursor

    def back(self, owner: Owner, cursor: str) -> Parked | None:
        """What was left there, which is the caller's again; None if its time is over."""
        found = self._pop(owner, cursor)
        if found is None:
            return None
        found[1].cancel()
        return found[0]

    def again(self, owner: Owner, words: str) -> Parked | None:
        """What was left waiting for the very same, the oldest of it."""
        own = self._parked.get(owner, {})
        cursor = next((cursor for cursor, (parked, _) in own.items() if parked.words == words), None)
        return None if cursor is None else self.back(owner, cursor)

    def _over(self, owner: Owner, cursor: str) -> None:
        found = self._pop(owner, cursor)
        if found is not None:
            found[1].cancel()
            undone(found[0].work, found[0].undo)

    def _pop(self, owner: Owner, cursor: str) -> tuple[Parked, asyncio.TimerHandle] | None:
        own = self._parked.get(owner, {})
        found = own.pop(cursor, None)
        if not own:
            self._parked.pop(owner, None)
        return found


def _looked_at(done: asyncio.Task[Any]) -> None:
    """An error that nobody comes back for is nobody's business."""
    if not done.cancelled():
        done.exception()
