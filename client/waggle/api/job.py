"""Work with one winner, for asyncio: the results of ``hub.take`` and ``hub.work`` (protocol 7).

A job is an entry under a lease. When it is done, it is deleted. When it is given back, lost, or its worker is gone,
the next worker takes it. So each job is done at least once, and by one worker at a time. Its effects outside of the
hub must be safe to repeat, or check the token.
"""

from __future__ import annotations

from collections.abc import Generator
from types import TracebackType
from typing import Any, Self

from waggle.api.leased import Leased
from waggle.transport.driver import SessionDriver
from waggle.wire.errors import BadRequest, LockLost, NotHolder, TimedOut
from waggle.wire.messages import Delete, Deleted, Entry, Guard, Take, Taken

__all__ = ["Job", "Work", "take_of"]


def take_of(
    patterns: tuple[str, ...], ns: str | None, lease: float, timeout: float | None, max_deliveries: int | None
) -> Take:
    """Return the command. Raises BadRequest without a pattern."""
    if not patterns:
        raise BadRequest('Say what to take: a pattern such as "job:*".', field="patterns")
    return Take(id=0, patterns=list(patterns), ns=ns, lease=lease, timeout=timeout, max_deliveries=max_deliveries)


class Job(Leased):
    """An entry that was taken: ``job = await hub.take(...)``, or enter the result as a block.

    Within a block the lease renews itself. The end of the block finishes the job: it is done, or given back if an
    exception leaves the block. If the lease is lost, the task is cancelled, and the block raises LockLost. Taking
    raises LockLost if the program was suspended until the lease was over.
    """

    @property
    def entry(self) -> Entry:
        """Return the entry, as it was when it was taken."""
        grant = self._grant
        assert isinstance(grant, Taken)
        return grant.entry

    @property
    def key(self) -> str:
        """Return the key of the entry."""
        return self.entry.key

    @property
    def value(self) -> Any:
        """Return the value of the entry."""
        return self.entry.value

    @property
    def delivery(self) -> int:
        """Return how often this entry was taken, this time included."""
        grant = self._grant
        assert isinstance(grant, Taken)
        return grant.delivery

    async def done(self) -> bool:
        """Delete the entry and end the lease. Return False if the job was finished before. Raises LockLost."""
        if not self._open:
            return False
        self.check()
        delete = Delete(id=0, key=self.key, ns=self.entry.ns, guard=Guard(self.token))
        try:
            deleted = (await self._driver.request(delete, Deleted)).deleted
        except NotHolder:
            self._driver.release_now(self._held_lease, "not_holder")
            self.check()
            raise
        self._close()
        self._driver.mark_ended(self._held_lease)
        return deleted

    async def give_back(self) -> None:
        """Let another worker take the entry; does nothing if the job was finished before. Raises LockLost."""
        await self._unlock()

    async def extend(self, lease: float | None = None) -> float:
        """Renew the lease now, and from now on for ``lease`` seconds each time; return the deadline. Raises
        LockLost."""
        return await self._renew(lease)

    async def _end(self, error: BaseException | None) -> None:
        if error is None:
            await self.done()
        else:
            try:
                await self.give_back()
            except TimedOut:
                pass  # the `unlock` is sent when the hub is back

    def __await__(self) -> Generator[Any, None, Self]:
        return self.take().__await__()

    async def take(self) -> Self:
        """Take the entry now, and return the job."""
        await self._take()
        return self

    async def __aenter__(self) -> Self:
        if not self._open:
            await self._take()
        self.start_renewing()
        self._enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.end_block(error)


class Work:
    """An iterator over jobs: ``async for job in hub.work("job:*")``.

    The lease of a job renews itself until the next job is requested, or the job object is garbage collected. Finish
    each job, best by a block around the work; a job that is not finished comes again when its lease is over.
    """

    def __init__(self, driver: SessionDriver, command: Take) -> None:
        self._driver, self._command = driver, command
        self._job: Job | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Job:
        if self._job is not None:
            self._job._stop_renewing()
            self._job = None
        while True:
            job = Job(self._driver, self._command)
            try:
                await job._take()
            except LockLost:
                continue  # this program was suspended until the lease was over: take another job
            except TimedOut as error:
                if error.details.get("unanswered"):
                    raise
                raise StopAsyncIteration from None
            job.start_renewing()
            self._job = job
            return job
