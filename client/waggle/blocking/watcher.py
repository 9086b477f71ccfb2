"""Watchers without ``await``: what ``hub.watch`` gives."""

from __future__ import annotations

from collections import deque
from typing import Self

from waggle.api import watcher
from waggle.blocking.loop_thread import LoopThread
from waggle.blocking.twin import Closing, Twin
from waggle.wire.messages import Event, Since

__all__ = ["Watcher"]

MAX_BATCH_EVENTS = 1000
"""Events that come over at a time: a hop between threads for each event would leave a tenth of the speed."""


class Watcher(Closing, Twin[watcher.Watcher], watcher.Position):
    """The events of one ``hub.watch``: iterate over it, inside ``with`` or without. See `waggle.Watcher`."""

    def __init__(self, twin: watcher.Watcher, thread: LoopThread) -> None:
        super().__init__(twin, thread)
        self._events: deque[tuple[Event, Since]] = deque()
        self._point: Since | None = None

    @property
    def since(self) -> Since:
        """Return the position of this consumer, behind the last event that it got: another consumer can continue
        there."""
        if self._events and self._point is not None:
            return self._point  # the twin is ahead of us by the rest of the batch
        return self._thread.call(lambda: self._twin.since)

    def __enter__(self) -> Self:
        self._thread.run(self._twin.__aenter__())
        return self

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        if not self._events:
            self._events.extend(self._thread.run(self._twin.batch(MAX_BATCH_EVENTS)))
        if not self._events:
            raise StopIteration
        event, self._point = self._events.popleft()
        return event

    def close(self) -> None:
        """Unsubscribe; no event comes any more."""
        if not self._thread.stopped:
            self._thread.run(self._twin.close())
