"""Locks for asyncio: the result of ``hub.lock``. `waggle.api.leased` renews a lock and handles its loss."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from types import TracebackType
from typing import Any, Self

from waggle.api.leased import Leased, task_owner
from waggle.wire.errors import BadRequest, Disconnected, TimedOut
from waggle.wire.messages import Lock as LockCommand

__all__ = ["Lock", "lock_of"]


def lock_of(
    names: tuple[str, ...], pattern: str | Iterable[str] | None, ns: str | None, shared: bool, ttl: float,
    wait: float | None,
) -> LockCommand:  # fmt: skip
    """Return the command. Raises BadRequest unless there are either names or patterns."""
    if bool(names) == (pattern is not None):
        raise BadRequest("lock takes names, or pattern=: one of the two", field="names")
    patterns = [pattern] if isinstance(pattern, str) else None if pattern is None else list(pattern)
    return LockCommand(
        id=0,
        names=list(names) or None,
        patterns=patterns,
        ns=ns,
        mode="shared" if shared else "exclusive",
        ttl=ttl,
        wait=wait,
    )


class Lock(Leased):
    """A lock: enter it as a block, or ``lock = await hub.lock(...)`` and `release`.

    The lock renews itself. If it is lost all the same, the task that entered the block is cancelled, and the block
    raises LockLost, which gives the reason. Without a block nothing is cancelled: read `lost`, or call `check`.
    """

    _command: LockCommand

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names that are locked."""
        return tuple(self._command.names or ())

    @property
    def patterns(self) -> tuple[str, ...]:
        """Return the patterns that are locked."""
        return tuple(self._command.patterns or ())

    async def acquire(self) -> Self:
        """Acquire the lock.

        Raises Locked, TimedOut (with `details["holders"]`) or Deadlock, and LockLost if the program was suspended
        until the lock was over. A caller that is cancelled holds nothing.
        """
        return await self.acquire_as(task_owner())

    async def renew(self, ttl: float | None = None) -> float:
        """Renew the lock now, and from now on for ``ttl`` seconds each time; return the deadline. Raises LockLost."""
        return await self._renew(ttl)

    async def release(self) -> None:
        """Release the lock; a second call does nothing. Raises LockLost if it was lost before."""
        await self._unlock()

    async def acquire_as(self, owner: str) -> Self:
        """Acquire the lock for an owner that is not this task: the blocking client names its thread."""
        self._command.task = owner
        await self._take()
        self.start_renewing()
        return self

    async def _end(self, error: BaseException | None) -> None:
        try:
            await self._unlock()
        except (TimedOut, Disconnected):
            pass  # the `unlock` is sent when the hub is back, or the lock ends by itself

    def __await__(self) -> Generator[Any, None, Self]:
        return self.acquire().__await__()

    async def __aenter__(self) -> Self:
        await self.acquire()
        self._enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.end_block(error)
