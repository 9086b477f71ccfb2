"""Leader election without ``await``: what ``hub.elect`` gives."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from waggle.api import election
from waggle.api.election import Leader
from waggle.blocking.lock import Lock
from waggle.blocking.loop_thread import LoopThread
from waggle.blocking.twin import Twin, blocking, giving

__all__ = ["Election", "Leaders"]


class Leaders(Twin[election.Leaders]):
    """The leader, again and again: what ``election.observe`` gives."""

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Leader | None:
        return self._thread.run(self._twin.__anext__())

    def close(self) -> None:
        """Stop following the election."""
        if not self._thread.stopped:
            self._thread.run(self._twin.close())


class Election(Twin[election.Election]):
    """An election: ``with hub.elect("planner") as term`` waits to lead, and leads within the block.

    See `waggle.Election`.
    """

    def __init__(self, twin: election.Election, thread: LoopThread) -> None:
        super().__init__(twin, thread)
        self._term = Lock(twin.term, thread)

    leader = blocking(election.Election.leader)
    observe = giving(election.Election.observe, Leaders)

    def __enter__(self) -> Lock:
        return self._term.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._term.__exit__(kind, error, trace)
