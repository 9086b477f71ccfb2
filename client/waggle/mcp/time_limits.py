"""How long a tool may take, and what it says meanwhile.

The rules:

1. **Shorter than the client's own patience,** since one that gives up shows its model an error, and may take the server
   for dead. What is known of clients is `KNOWN`; a configured limit goes first.
2. **Ten seconds of silence at most.** Then a sentence says what is waited for, and for whom.
3. **Nothing stays granted that nobody knows of.** If the caller goes away, what it was about to be given is given back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from waggle.wire.errors import WaggleError

__all__ = ["EVERY", "KNOWN", "UNKNOWN", "Say", "TimeLimit", "limit_of", "undone"]

EVERY = 10.0
"""Seconds from one word of progress to the next."""
UNKNOWN = 55.0
"""Seconds, for clients of which nothing is known: many give up after 60."""
KNOWN = {"claude-code": 240.0}
"""By the name that a client gives itself. Claude Code has cut calls short of six minutes, whatever was configured."""

Tell = Callable[[float, float, str], Awaitable[None]]
Say = Callable[[], Awaitable[str]]
Undo = Callable[[Any], Awaitable[object]]

_undoing: set[asyncio.Task[object]] = set()


def limit_of(configured: float | None, program: str | None) -> float:
    """Seconds that a call of this client's may take."""
    return configured if configured is not None else KNOWN.get(program or "", UNKNOWN)


class TimeLimit:
    """That of one call."""

    def __init__(self, limit: float, tell: Tell, every: float = EVERY) -> None:
        self.limit, self._tell, self._every = limit, tell, every

    def of(self, wanted: float) -> float:
        """So many of the seconds that are wanted as there may be."""
        return max(0.0, min(wanted, self.limit))

    async def through(
        self, work: Awaitable[Any], seconds: float, say: Say, undo: Undo | None = None, *, leave: bool = False
    ) -> asyncio.Task[Any]:
        """Wait for ``work`` and give it, done; ``say`` is told to the client meanwhile.

        With ``leave`` it is given after so many seconds in any case. Cancelled, the work is, and ``undo`` is given what
        may have come of it all the same.
        """
        task: asyncio.Task[Any] = asyncio.ensure_future(work)
        passed = 0.0
        try:
            while True:
                step = min(self._every, seconds - passed) if leave else self._every
                await asyncio.wait([task], timeout=step)
                passed += step
                if task.done() or (leave and passed >= seconds):
                    return task
                await self._tell(passed, max(seconds, passed), await say())
        except BaseException:
            undone(task, undo)
            raise


def undone(work: asyncio.Task[Any], undo: Undo | None) -> None:
    """Nobody wants it any more: it is cancelled, and what came of it all the same is given to ``undo``."""
    if undo is not None:
        work.add_done_callback(lambda done: _undo(done, undo))
    work.cancel()


def _undo(done: asyncio.Task[Any], undo: Undo) -> None:
    if done.cancelled() or done.exception() is not None:
        return
    undoing = asyncio.ensure_future(_quietly(undo(done.result())))
    _undoing.add(undoing)
    undoing.add_done_callback(_undoing.discard)


async def _quietly(work: Awaitable[object]) -> None:
    """What is given back may be gone already."""
    try:
        await work
    except WaggleError:
        pass
