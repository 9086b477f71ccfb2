"""Typed views without ``await``: the same methods in the same order as `waggle.api.view`, over a blocking `Hub`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from waggle.api.compare_and_set import Keep
from waggle.api.typed import TYPES, TypedCodec, TypedEntry, TypedEvent, TypedMirrorView, TypedUpdated
from waggle.core.lease import Guarding
from waggle.wire.messages import Entry, EventType, Kind, Since, Written

if TYPE_CHECKING:
    from waggle.blocking.hub import Hub, Mirror, Watcher

__all__ = ["TypedMirror", "TypedWatcher", "View"]

T = TypeVar("T")

TypedEntries = list[TypedEntry[T]]
Decision = Callable[[T | None], T | Keep]


class View(Generic[T]):
    """The entries under a prefix, their values as T: what ``hub.view`` gives.

    Keys are those within the view, without its prefix. A stored value that is no T raises Mismatch where its ``value``
    is read; the entry or event itself comes all the same. A value that is no T is not written.
    """

    def __init__(self, hub: Hub, lens: TypedCodec[T]) -> None:
        self._hub, self._lens = hub, lens

    def set(
        self,
        key: str,
        value: T,
        *,
        ttl: float | None = None,
        keep_ttl: bool = False,
        if_rev: int | None = None,
        kind: Kind = "persistent",
        ephemeral: bool = False,
        meta: dict[str, Any] | None = None,
        guard: Guarding | None = None,
    ) -> Written:
        """Write an entry, as `Hub.set`. Raises Mismatch if ``value`` could not be read as a T."""
        return self._hub.set(
            self._lens.key(key),
            self._lens.plain(key, value),
            ns=self._lens.ns,
            ttl=ttl,
            keep_ttl=keep_ttl,
            if_rev=if_rev,
            kind=kind,
            ephemeral=ephemeral,
            meta=meta,
            guard=guard,
        )

    def get(self, key: str) -> TypedEntry[T] | None:
        """The entry, or None if it is absent."""
        entry = self._hub.get(self._lens.key(key), ns=self._lens.ns)
        return None if entry is None else self._lens.entry(entry)

    def delete(self, key: str, *, if_rev: int | None = None, guard: Guarding | None = None) -> bool:
        """Delete an entry, as `Hub.delete`; False if there was none."""
        return self._hub.delete(self._lens.key(key), ns=self._lens.ns, if_rev=if_rev, guard=guard)

    def touch(self, key: str, ttl: float | None, *, guard: Guarding | None = None) -> float | None:
        """Give an entry a new deadline, as `Hub.touch`."""
        return self._hub.touch(self._lens.key(key), ttl, ns=self._lens.ns, guard=guard)

    def update(
        self, key: str, fn: Decision[T], *, ttl: float | None = None, guard: Guarding | None = None
    ) -> TypedUpdated[T]:
        """Change a value by a function of it, as `Hub.update`: given a T, or None if the key is absent, it returns a T
        or KEEP. Raises Mismatch if what is stored is no T, or what it returned is none."""

        def change(plain: Any) -> Any:
            value: Any = fn(self._lens.value(key, plain))
            return value if inspect.iscoroutine(value) else self._lens.decided(key, value)

        key_in_hub = self._lens.key(key)
        updated = self._hub.update(key_in_hub, change, ns=self._lens.ns, ttl=ttl, guard=guard)
        return self._lens.updated(key, updated)

    def list(self, pattern: str = "*", *, limit: int | None = None) -> TypedEntries[T]:
        """The entries that match, in key order: all of them, or the first ``limit``."""
        entries = self._hub.list(self._lens.pattern(pattern), ns=self._lens.ns, limit=limit)
        return [self._lens.entry(entry) for entry in entries]

    def typed(self, entry: Entry) -> TypedEntry[T]:
        """An entry that was had elsewhere, ``conflict.current`` or one of ``hub.history``, as one of this view."""
        return self._lens.entry(entry)

    def watch(
        self,
        *patterns: str,
        types: Iterable[EventType] = TYPES,
        prev: bool = False,
        snapshot: bool = False,
        since: Since | tuple[str, int] | None = None,
        echo: bool = True,
        conflate: float | None = None,
    ) -> TypedWatcher[T]:
        """The events of what matches any pattern (all, if none is given), as `Hub.watch`."""
        watcher = self._hub.watch(
            *(self._lens.pattern(pattern) for pattern in patterns or ("*",)),
            ns=self._lens.ns,
            types=types,
            prev=prev,
            snapshot=snapshot,
            since=since,
            echo=echo,
            conflate=conflate,
        )
        return TypedWatcher(watcher, self._lens)

    def mirror(self, pattern: str = "*", *, conflate: float | None = None) -> TypedMirror[T]:
        """A local copy of the entries that match, kept in step, as `Hub.mirror`."""
        mirror = self._hub.mirror(self._lens.pattern(pattern), ns=self._lens.ns, conflate=conflate)
        return TypedMirror(mirror, self._lens)


class TypedWatcher(Generic[T]):
    """The events of one ``view.watch``: iterate over it, inside ``with`` or without. See `waggle.api.view`."""

    def __init__(self, watcher: Watcher, lens: TypedCodec[T]) -> None:
        self._watcher, self._lens = watcher, lens

    @property
    def since(self) -> Since:
        """How far this consumer has come, the event it was given last included: where another may go on."""
        return self._watcher.since

    def __enter__(self) -> Self:
        self._watcher.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> TypedEvent[T]:
        return self._lens.event(next(self._watcher))

    def close(self) -> None:
        """Unsubscribe; nothing comes any more."""
        self._watcher.close()


class TypedMirror(TypedMirrorView[T]):
    """The entries that match a pattern, by key, kept in step with the hub; enter it to fill it."""

    def __init__(self, mirror: Mirror, lens: TypedCodec[T]) -> None:
        super().__init__(mirror, lens)
        self._mirror = mirror

    def __enter__(self) -> Self:
        self._mirror.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def changed(self, *, timeout: float | None = None) -> None:
        """Wait for the next change, at most ``timeout`` seconds. Raises TimedOut, or Disconnected for good."""
        self._mirror.changed(timeout=timeout)

    def until(self, condition: Callable[[TypedMirrorView[T]], object], *, timeout: float | None = None) -> None:
        """Wait until ``condition(mirror)`` is true, asked now and after each change. Raises as `changed`."""
        self._mirror.until(lambda _: condition(self), timeout=timeout)

    def close(self) -> None:
        """Follow no more; what it holds stays."""
        self._mirror.close()
