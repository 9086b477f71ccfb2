"""Backups: copies of the data of a hub, made while it runs.

Rules:
1. One backup is written at a time, in a thread of its own: neither the loop nor the journal waits for it.
2. A backup contains everything decided before it was asked for. So a request that comes while one is being written is
   answered by the next one, and all requests that come meanwhile share it.
3. An error is the reply of the requests. A backup that the schedule makes (`repeat`) logs it, and is tried again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from waggle.wire import messages as m
from waggle.wire.errors import Unavailable, WaggleError

from .engine.background import Settled
from .journal.interface import StoreError

logger = logging.getLogger("waggle_hub")

RETRY_AFTER_S: Final = 60.0
"""Seconds after which a scheduled backup that failed is tried again; sooner if the next one is due."""


class Backups:
    """The backups of one data directory. `copy` writes one and returns its path; it is called in a thread."""

    def __init__(self, copy: Callable[[], Path]) -> None:
        self._copy = copy
        self._writing = asyncio.Lock()
        self._next: asyncio.Task[m.BackedUp] | None = None
        """The backup that is waiting to be written. Requests may still join it."""

    async def make(self, settled: Settled) -> m.BackedUp:
        """Make a backup of all that is decided by now. Raises Unavailable, with the reason, if it cannot be written."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_task(self._make(settled))
        return await asyncio.shield(self._next)  # a request that is cancelled must not cancel it for the others

    async def repeat(self, every_s: float, newest_at: float, settled: Settled) -> None:
        """Make a backup every so many seconds, for ever. The newest there is was made at the unix time `newest_at`."""
        pause = newest_at + every_s - time.time()
        while True:
            await asyncio.sleep(max(pause, 0.0))
            try:
                await self.make(settled)
                pause = every_s
            except WaggleError as error:
                logger.error("the backup that is due was not made, and will be tried again: %s", error)
                pause = min(every_s, RETRY_AFTER_S)

    async def close(self) -> None:
        """Wait for the backup that is being written; one that has not begun is not made."""
        if self._next is not None:
            self._next.cancel()
        async with self._writing:
            pass

    async def _make(self, settled: Settled) -> m.BackedUp:
        async with self._writing:
            self._next = None  # from here on it is too late to join: something may be decided that is not in it
            started = time.monotonic()
            try:
                rev = await settled()
                path = await asyncio.to_thread(self._copy)
                size = path.stat().st_size
            except (StoreError, OSError) as error:
                raise Unavailable(f"no backup was made: {error}", retry_after=RETRY_AFTER_S) from None
            return m.BackedUp(str(path.resolve()), size, rev, round(time.monotonic() - started, 3))
