"""Locks without ``await``: what ``hub.lock`` gives."""

from __future__ import annotations

from typing import Self

from waggle.api import lock
from waggle.blocking.leased import Leased, thread_owner
from waggle.blocking.twin import blocking

__all__ = ["Lock"]


class Lock(Leased[lock.Lock]):
    """A lock: ``with hub.lock(...) as lock``. See `waggle.Lock`; a loss raises LockLost at the end of the block."""

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names that are locked."""
        return self._twin.names

    @property
    def patterns(self) -> tuple[str, ...]:
        """Return the patterns that are locked."""
        return self._twin.patterns

    def acquire(self) -> Self:
        """Acquire the lock. Raises Locked, TimedOut (with `details["holders"]`), Deadlock."""
        self._begin(self._twin.acquire_as(thread_owner()))
        return self

    renew = blocking(lock.Lock.renew)
    release = blocking(lock.Lock.release)

    def __enter__(self) -> Self:
        return self.acquire()
