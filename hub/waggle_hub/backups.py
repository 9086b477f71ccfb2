"""Backups: copies of what is kept, made while the hub goes on.

Rules:
1. One at a time, each in a thread of its own: neither the loop nor the journal waits for it.
2. Everything decided before a backup was asked for is in it. So who asks while one is being written is answered by the
   next one, and all who ask meanwhile by the same.
3. What goes wrong is told to who asked. What nobody asked for (`repeat`) is logged, and tried again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from waggle.wire import messages as m
from waggle.wire.errors import Unavailable, WaggleError

from .journal.interface import StoreError

log = logging.getLogger("waggle_hub")

RETRY: Final = 60.0
"""Seconds after which a backup that was due and failed is tried again; sooner if the next one is."""


class Backups:
    """`settled` waits until everything decided is on disk, and gives its revision; `copy` writes a backup."""

    def __init__(self, settled: Callable[[], Awaitable[int]], copy: Callable[[], Path]) -> None:
        self._settled = settled
        self._copy = copy
        self._one = asyncio.Lock()
        self._next: asyncio.Task[m.BackedUp] | None = None
        """The one that is not being written yet."""

    async def make(self) -> m.BackedUp:
        """Make a backup. Unavailable, with the reason, if that cannot be."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_task(self._make())
        return await asyncio.shield(self._next)

    async def repeat(self, every: float, newest: float) -> None:
        """Make one every so many seconds, for ever; the newest there is was made at this instant."""
        pause = newest + every - time.time()
        while True:
            await asyncio.sleep(max(pause, 0.0))
            try:
                await self.make()
                pause = every
            except WaggleError as error:
                log.error("the backup that is due was not made, and will be tried again: %s", error)
                pause = min(every, RETRY)

    async def close(self) -> None:
        """Wait until none is being written; one that has not begun is not made."""
        if self._next is not None:
            self._next.cancel()
        async with self._one:
            pass

    async def _make(self) -> m.BackedUp:
        async with self._one:
            self._next = None
            began = time.monotonic()
            try:
                rev = await self._settled()
                path = await asyncio.to_thread(self._copy)
                size = path.stat().st_size
            except (StoreError, OSError) as error:
                raise Unavailable(f"no backup was made: {error}", retry_after=RETRY) from None
            return m.BackedUp(str(path.resolve()), size, rev, round(time.monotonic() - began, 3))
