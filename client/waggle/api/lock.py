"""Locks for asyncio: what ``hub.lock`` gives. What keeps one, and what its loss does, is `waggle.api.leased`'s."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from types import TracebackType
from typing import Any, Self

from waggle.api.leased import Leased, strand
from waggle.wire.errors import BadRequest, Disconnected, TimedOut
from waggle.wire.messages import Lock as LockCommand

__all__ = ["Lock", "lock_of"]


def lock_of(
    names: tuple[str, ...], pattern: str | Iterable[str] | None, ns: str | None, shared: bool, ttl: float,
    wait: float | None,
) -> LockCommand:  # fmt: skip
    """The command. Raises BadRequest unless there are names or patterns."""
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
    """A lock: ``async with hub.lock(...) as lock``, or ``lock = await hub.lock(...)`` and `release`.

    It renews itself. Should it be lost all the same, the task that entered the block is cancelled, and the block raises
    LockLost, which says why. Without a block nothing is cancelled: ask `lost`, or `check`.
    """

    _command: LockCommand

    @property
    def names(self) -> tuple[str, ...]:
        """The names that are locked."""
        return tuple(self._command.names or ())

    @property
    def patterns(self) -> tuple[str, ...]:
        """The patterns that are locked."""
        return tuple(self._command.patterns or ())

    async def acquire(self) -> Self:
        """Lock. Raises Locked, TimedOut (with `details["holders"]`), Deadlock; LockLost if the program stood still
        until the lock was over. A caller that is cancelled holds nothing."""
        return await self.acquire_as(strand())

    async def renew(self, ttl: float | None = None) -> float:
        """Renew it now, and from now on for ``ttl`` seconds at a time; gives the deadline. Raises LockLost."""
        return await self._renew(ttl)

    async def release(self) -> None:
        """Let it go; nothing happens the second time. Raises LockLost if it was not held to the end."""
        await self._let_go()

    async def acquire_as(self, owner: str) -> Self:
        """Acquire the lock for an owner that is not this task: the blocking client names its thread."""
        self._command.task = owner
        await self._take()
        self.start_renewing()
        return self

    async def _end(self, error: BaseException | None) -> None:
        try:
            await self._let_go()
        except (TimedOut, Disconnected):
            pass  # the hub is away: it hears of it when it is back, or the lock ends by itself

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
