"""Typed views without ``await``: what ``hub.view`` gives."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Generic, Self, TypeVar

from waggle.api import view
from waggle.api.compare_and_set import Keep
from waggle.api.typed import TypedEvent, TypedMirrorView, TypedUpdated
from waggle.blocking.loop_thread import LoopThread
from waggle.blocking.mirror import Mirror
from waggle.blocking.twin import Closing, Twin, blocking, documented_as, giving, like
from waggle.blocking.watcher import Watcher
from waggle.core.lease import Guarding
from waggle.wire.messages import Since

__all__ = ["TypedMirror", "TypedWatcher", "View"]

T = TypeVar("T")

Decision = Callable[[T | None], T | Keep]


class TypedWatcher(Closing, Generic[T]):
    """The events of one ``view.watch``: iterate over it, inside ``with`` or without. See `waggle.TypedWatcher`."""

    def __init__(self, twin: view.TypedWatcher[T], thread: LoopThread) -> None:
        self._watcher, self._codec = Watcher(twin.watcher, thread), twin.codec

    @property
    def since(self) -> Since:
        """Return the position of this consumer, behind the last event that it got: another consumer can continue
        there."""
        return self._watcher.since

    def __enter__(self) -> Self:
        self._watcher.__enter__()
        return self

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> TypedEvent[T]:
        return self._codec.event(next(self._watcher))

    def close(self) -> None:
        """Unsubscribe; no event comes any more."""
        self._watcher.close()


class TypedMirror(Closing, TypedMirrorView[T]):
    """The entries that match a pattern, by key, updated by the hub; entering it fills it."""

    def __init__(self, twin: view.TypedMirror[T], thread: LoopThread) -> None:
        self._mirror = Mirror(twin.mirror, thread)
        super().__init__(self._mirror, twin.codec)

    def __enter__(self) -> Self:
        self._mirror.__enter__()
        return self

    def changed(self, *, timeout: float | None = None) -> None:
        """Wait for the next change, at most ``timeout`` seconds. Raises TimedOut, or Disconnected for good."""
        self._mirror.changed(timeout=timeout)

    def until(self, condition: Callable[[TypedMirrorView[T]], object], *, timeout: float | None = None) -> None:
        """Wait until ``condition(mirror)`` is true, called now and after each change. Raises as `changed`."""
        self._mirror.until(lambda _: condition(self), timeout=timeout)

    def close(self) -> None:
        """Stop following the hub; the entries stay as they are."""
        self._mirror.close()


class View(Twin[view.View[T]], Generic[T]):
    """The entries under a prefix, their values as T: what ``hub.view`` gives. See `waggle.View`."""

    set = blocking(view.View[T].set)
    get = blocking(view.View[T].get)
    delete = blocking(view.View[T].delete)
    touch = blocking(view.View[T].touch)

    @documented_as(view.View[T].update)
    def update(
        self, key: str, fn: Decision[T], *, ttl: float | None = None, guard: Guarding | None = None
    ) -> TypedUpdated[T]:
        def work(in_caller: Callable[[Any], Any]) -> Coroutine[Any, Any, TypedUpdated[T]]:
            return self._twin.update(key, in_caller, ttl=ttl, guard=guard)

        return self._thread.run_with_function(fn, work)

    list = blocking(view.View[T].list)

    @like(view.View[T].typed)
    def typed(self, entry: Any) -> Any:
        return self._twin.typed(entry)

    watch = giving(view.View[T].watch, TypedWatcher)
    mirror = giving(view.View[T].mirror, TypedMirror)
