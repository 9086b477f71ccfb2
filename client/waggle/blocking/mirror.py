"""Mirrors without ``await``: what ``hub.mirror`` gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from waggle.api import watcher
from waggle.api.mirror import MirrorView
from waggle.blocking.loop_thread import LoopThread
from waggle.blocking.twin import Closing, Twin, blocking

__all__ = ["Mirror"]


class Mirror(Closing, Twin[watcher.Mirror], MirrorView):
    """The entries that match a pattern, by key, updated by the hub; entering it fills it."""

    def __init__(self, twin: watcher.Mirror, thread: LoopThread) -> None:
        Twin.__init__(self, twin, thread)
        MirrorView.__init__(self, twin.replica)

    def __enter__(self) -> Self:
        self._thread.run(self._twin.__aenter__())
        return self

    changed = blocking(watcher.Mirror.changed)

    def until(self, condition: Callable[[MirrorView], object], *, timeout: float | None = None) -> None:
        """Wait until ``condition(mirror)`` is true, called now and after each change. Raises as `changed`.

        ``condition`` is called in the hub's thread: it must not call the hub.
        """
        self._thread.run(self._twin.until(lambda _: condition(self), timeout=timeout))

    def close(self) -> None:
        """Stop following the hub; the entries stay as they are."""
        if not self._thread.stopped:
            self._thread.run(self._twin.close())
