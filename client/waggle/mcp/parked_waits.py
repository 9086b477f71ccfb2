"""Parked waits: waits that go on between two calls of a tool, so that a bounded call keeps its place in a queue.

Rules:

1. **The time of a call ends, the wait does not:** the command goes on waiting in the hub, in its place, and the
   model gets a cursor with which its next call continues it.
2. **For `PARKED_FOR_S` seconds, and no longer.** A wait that no call returns for is cancelled; a grant that came
   meanwhile is given back, to the next in the queue.
3. **A call for the same thing continues the wait,** with the cursor or without: else the agent would wait behind
   itself.
4. **A cursor belongs to its owner,** and is good for one call. There are at most `MAX_PARKED_OF_OWNER` for one
   owner: the oldest goes first.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from waggle.mcp.time_limits import cancel_and_undo

__all__ = ["MAX_PARKED_OF_OWNER", "PARKED_FOR_S", "Parked", "Parking"]

PARKED_FOR_S = 30.0
"""Seconds that a model has to come back: while it thinks, others wait for what it may have been granted."""
MAX_PARKED_OF_OWNER = 20
"""Waits of one owner: a window that runs many tasks at once has about as many."""

Undo = Callable[[Any], Awaitable[object]]
Owner = tuple[str, str]


class Parked(NamedTuple):
    """A wait that goes on: its names, the command in words, the task that waits, and how to undo a grant that is
    not wanted."""

    what: tuple[str, ...]
    words: str
    work: asyncio.Task[Any]
    undo: Undo


class Parking:
    """All parked waits."""

    def __init__(self, linger: float = PARKED_FOR_S) -> None:
        self.linger = linger
        self._parked: dict[Owner, dict[str, tuple[Parked, asyncio.TimerHandle]]] = {}

    def park(self, owner: Owner, parked: Parked) -> str:
        """Park a wait and return its cursor."""
        own = self._parked.setdefault(owner, {})
        if len(own) >= MAX_PARKED_OF_OWNER:
            self._over(owner, next(iter(own)))
        cursor = secrets.token_hex(6)
        parked.work.add_done_callback(_retrieve_exception)
        timer = asyncio.get_running_loop().call_later(self.linger, self._over, owner, cursor)
        self._parked.setdefault(owner, {})[cursor] = (parked, timer)
        return cursor

    def resume(self, owner: Owner, cursor: str) -> Parked | None:
        """Return the wait of a cursor to its owner; None if its time is over."""
        found = self._pop(owner, cursor)
        if found is None:
            return None
        found[1].cancel()
        return found[0]

    def find(self, owner: Owner, words: str) -> Parked | None:
        """Return the oldest parked wait of the owner for the very same command."""
        own = self._parked.get(owner, {})
        cursor = next((cursor for cursor, (parked, _) in own.items() if parked.words == words), None)
        return None if cursor is None else self.resume(owner, cursor)

    def _over(self, owner: Owner, cursor: str) -> None:
        found = self._pop(owner, cursor)
        if found is not None:
            found[1].cancel()
            cancel_and_undo(found[0].work, found[0].undo)

    def _pop(self, owner: Owner, cursor: str) -> tuple[Parked, asyncio.TimerHandle] | None:
        own = self._parked.get(owner, {})
        found = own.pop(cursor, None)
        if not own:
            self._parked.pop(owner, None)
        return found


def _retrieve_exception(done: asyncio.Task[Any]) -> None:
    """Retrieve the exception, so that asyncio does not log "exception was never retrieved"."""
    if not done.cancelled():
        done.exception()
