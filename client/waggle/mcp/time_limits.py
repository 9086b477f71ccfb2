"""Time limits of tool calls, and progress messages meanwhile.

Rules:

1. **Shorter than the client's own limit,** since a client that gives up shows its model an error, and may take the
   server for dead. `KNOWN_LIMITS_S` has the limits of clients; a configured limit goes first.
2. **Ten seconds of silence at most.** Then a progress message says what is waited for, and who holds it.
3. **No grant is left behind.** If the client cancels the call, what it was about to be granted is given back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from waggle.wire.errors import WaggleError

__all__ = ["DEFAULT_LIMIT_S", "KNOWN_LIMITS_S", "PROGRESS_EVERY_S", "Say", "TimeLimit", "cancel_and_undo", "limit_of"]

PROGRESS_EVERY_S = 10.0
"""Seconds from one word of progress to the next."""
DEFAULT_LIMIT_S = 55.0
"""Seconds, for clients of which nothing is known: many give up after 60."""
KNOWN_LIMITS_S = {"claude-code": 240.0}
"""By the name that a client gives itself. Claude Code has cut calls short of six minutes, whatever was configured."""

Tell = Callable[[float, float, str], Awaitable[None]]
Say = Callable[[], Awaitable[str]]
Undo = Callable[[Any], Awaitable[object]]

_undoing: set[asyncio.Task[object]] = set()


def limit_of(configured: float | None, program: str | None) -> float:
    """Return the seconds that a call of this client may take."""
    return configured if configured is not None else KNOWN_LIMITS_S.get(program or "", DEFAULT_LIMIT_S)


class TimeLimit:
    """The time limit of one call."""

    def __init__(self, limit: float, tell: Tell, every: float = PROGRESS_EVERY_S) -> None:
        self.limit, self._tell, self._every = limit, tell, every

    def cap(self, wanted: float) -> float:
        """Return ``wanted`` seconds, capped at the client's limit."""
        return max(0.0, min(wanted, self.limit))

    async def wait_for(
        self, work: Awaitable[Any], seconds: float, say: Say, undo: Undo | None = None, *, leave: bool = False
    ) -> asyncio.Task[Any]:
        """Wait for ``work`` and return it, done. The client gets ``say`` as progress meanwhile.

        With ``leave``, return it after that many seconds in any case. If this call is cancelled, the work is
        cancelled, and ``undo`` is given its result if it has one.
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
            cancel_and_undo(task, undo)
            raise


def cancel_and_undo(work: asyncio.Task[Any], undo: Undo | None) -> None:
    """Cancel the work; if it has a result all the same, give that to ``undo``."""
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
    """Await the undoing, ignoring errors: what is given back may be gone already."""
    try:
        await work
    except WaggleError:
        pass
