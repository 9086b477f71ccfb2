"""Work with one winner, for asyncio: what ``hub.take`` and ``hub.work`` give (protocol 7).

A job is an entry under a lease. Done, it is deleted; given back, lost, or left by a worker that is gone, it is for the
next one. So each is done at least once, and by one worker at a time: what it does outside of the hub should bear being
done twice, or check the token.
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
    """The command. Raises BadRequest without a pattern."""
    if not patterns:
        raise BadRequest('Say what to take: a pattern such as "job:*".', field="patterns")
    return Take(id=0, patterns=list(patterns), ns=ns, lease=lease, timeout=timeout, max_deliveries=max_deliveries)


class Job(Leased):
    """An entry that was taken: ``job = await hub.take(...)``, or ``async with hub.take(...) as job``.

    Within a block the lease renews itself, and the end of the block is the end of the job: done, or given back if an
    exception leaves it. Should the lease be lost, the task is cancelled, and the block raises LockLost; so does taking,
    if the program stood still until the lease was over.
    """

    @property
    def entry(self) -> Entry:
        """The entry, as it was when it was taken."""
        grant = self._grant
        assert isinstance(grant, Taken)
        return grant.entry

    @property
    def key(self) -> str:
        """The key of the entry."""
        return self.entry.key

    @property
    def value(self) -> Any:
        """The value of the entry."""
        return self.entry.value

    @property
    def delivery(self) -> int:
        """How often this entry was taken, this time included."""
        grant = self._grant
        assert isinstance(grant, Taken)
        return grant.delivery

    async def done(self) -> bool:
        """Delete the entry, and the lease with it; False if it was finished before. Raises LockLost."""
        if not self._open:
            return False
        self.check()
        delete = Delete(id=0, key=self.key, ns=self.entry.ns, guard=Guard(self.token))
        try:
            deleted = (await self._link.ask(delete, Deleted)).deleted
        except NotHolder:
            self._link.give_up(self._grip, "not_holder")
            self.check()
            raise
        self._close()
        self._link.drop(self._grip)
        return deleted

    async def give_back(self) -> None:
        """Let somebody else take it; nothing happens if it was finished before. Raises LockLost."""
        await self._let_go()

    async def extend(self, lease: float | None = None) -> float:
        """Renew the lease now, and from now on for ``lease`` seconds at a time; gives the deadline. Raises LockLost."""
        return await self._renew(lease)

    async def _end(self, error: BaseException | None) -> None:
        if error is None:
            await self.done()
        else:
            try:
                await self.give_back()
            except TimedOut:
                pass  # the hub hears of it when it is back

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
    """One job after another: ``async for job in hub.work("job:*")``.

    The lease of a job renews itself until the next one is asked for, or nobody has the job any more. Finish each, best
    by ``async with job:`` around what is done with it; one that was not finished comes again when its lease is over.
    """

    def __init__(self, link: SessionDriver, command: Take) -> None:
        self._link, self._command = link, command
        self._job: Job | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Job:
        if self._job is not None:
            self._job._stop_keeping()
            self._job = None
        while True:
            job = Job(self._link, self._command)
            try:
                await job._take()
            except LockLost:
                continue  # it was granted while this program stood still, and its lease was over before that was heard
            except TimedOut as late:
                if late.details.get("unanswered"):
                    raise
                raise StopAsyncIteration from None
            job.start_renewing()
            self._job = job
            return job
