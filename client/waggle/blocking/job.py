"""Work with one winner, without ``await``: what ``hub.take`` and ``hub.work`` give."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Self, TypeVar

from waggle.api import job
from waggle.blocking.leased import Leased
from waggle.blocking.loop_thread import LoopThread
from waggle.blocking.twin import Twin, blocking
from waggle.wire.messages import Entry

__all__ = ["Job", "Work", "taken"]

T = TypeVar("T")


class Job(Leased[job.Job]):
    """An entry that was taken: ``job = hub.take(...)``, or ``with hub.take(...) as job``. See `waggle.Job`."""

    @property
    def entry(self) -> Entry:
        """Return the entry, as it was when it was taken."""
        return self._twin.entry

    @property
    def key(self) -> str:
        """Return the key of the entry."""
        return self._twin.key

    @property
    def value(self) -> Any:
        """Return the value of the entry."""
        return self._twin.value

    @property
    def delivery(self) -> int:
        """Return how often this entry was taken, this time included."""
        return self._twin.delivery

    done = blocking(job.Job.done)
    give_back = blocking(job.Job.give_back)
    extend = blocking(job.Job.extend)

    def __enter__(self) -> Self:
        self._thread.call(self._twin.start_renewing)
        return self


def taken(twin: job.Job, thread: LoopThread) -> Job:
    """Take the entry now, and return the job."""
    held = Job(twin, thread)
    held._begin(twin.take())
    return held


class Work(Twin[job.Work]):
    """One job after another: ``for job in hub.work("job:*")``. See `waggle.Work`."""

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Job:
        following = self._thread.run(_next(self._twin.__anext__()))
        if following is None:
            raise StopIteration
        return Job(following, self._thread)


async def _next(following: Coroutine[Any, Any, T]) -> T | None:
    """Return the next item, or None at the end: StopAsyncIteration cannot be raised into another thread."""
    try:
        return await following
    except StopAsyncIteration:
        return None
