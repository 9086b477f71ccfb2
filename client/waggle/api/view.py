"""Typed views for asyncio: the methods of a `Hub`, with values converted by a `TypedCodec` (`waggle.api.typed` has
the rules).

`waggle.blocking.view` has the same methods in the same order.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from waggle.api.compare_and_set import Keep
from waggle.api.typed import TYPES, TypedCodec, TypedEntry, TypedEvent, TypedMirrorView, TypedUpdated
from waggle.api.watcher import Mirror, Watcher
from waggle.core.lease import Guarding
from waggle.wire.messages import Entry, EventType, Kind, Since, Written

if TYPE_CHECKING:
    from waggle.api.hub import Hub

__all__ = ["TypedMirror", "TypedWatcher", "View"]

T = TypeVar("T")

TypedEntries = list[TypedEntry[T]]
Decision = Callable[[T | None], T | Keep | Awaitable[T | Keep]]


class View(Generic[T]):
    """The entries under a prefix, with values of type T: the result of ``hub.view``.

    Keys are relative to the view, without its prefix. A stored value that is no T raises Mismatch where its
    ``value`` is read; the entry or event itself arrives all the same. A value that is no T is not written.
    """

    def __init__(self, hub: Hub, codec: TypedCodec[T]) -> None:
        self._hub, self._codec = hub, codec

    async def set(
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
        return await self._hub.set(
            self._codec.key(key),
            self._codec.plain(key, value),
            ns=self._codec.ns,
            ttl=ttl,
            keep_ttl=keep_ttl,
            if_rev=if_rev,
            kind=kind,
            ephemeral=ephemeral,
            meta=meta,
            guard=guard,
        )

    async def get(self, key: str) -> TypedEntry[T] | None:
        """Return the entry, or None if it is absent."""
        entry = await self._hub.get(self._codec.key(key), ns=self._codec.ns)
        return None if entry is None else self._codec.entry(entry)

    async def delete(self, key: str, *, if_rev: int | None = None, guard: Guarding | None = None) -> bool:
        """Delete an entry, as `Hub.delete`, and return whether it was there."""
        return await self._hub.delete(self._codec.key(key), ns=self._codec.ns, if_rev=if_rev, guard=guard)

    async def touch(self, key: str, ttl: float | None, *, guard: Guarding | None = None) -> float | None:
        """Set a new deadline of an entry, as `Hub.touch`."""
        return await self._hub.touch(self._codec.key(key), ttl, ns=self._codec.ns, guard=guard)

    async def update(
        self, key: str, fn: Decision[T], *, ttl: float | None = None, guard: Guarding | None = None
    ) -> TypedUpdated[T]:
        """Change a value by a function, as `Hub.update`.

        The function gets a T, or None if the key is absent, and returns a T or KEEP. Raises Mismatch if the stored
        value or the result is no T.
        """

        async def change(plain: Any) -> Any:
            value: Any = fn(self._codec.value(key, plain))
            if inspect.isawaitable(value):
                value = await value
            return self._codec.decided(key, value)

        key_in_hub = self._codec.key(key)
        updated = await self._hub.update(key_in_hub, change, ns=self._codec.ns, ttl=ttl, guard=guard)
        return self._codec.updated(key, updated)

    async def list(self, pattern: str = "*", *, limit: int | None = None) -> TypedEntries[T]:
        """Return the entries that match, in key order: all of them, or the first ``limit``."""
        entries = await self._hub.list(self._codec.pattern(pattern), ns=self._codec.ns, limit=limit)
        return [self._codec.entry(entry) for entry in entries]

    def typed(self, entry: Entry) -> TypedEntry[T]:
        """Return an entry from elsewhere, such as ``conflict.current`` or one of ``hub.history``, as an entry of
        this view."""
        return self._codec.entry(entry)

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
        """Return the events of everything that matches any pattern (all, if none is given), as `Hub.watch`."""
        watcher = self._hub.watch(
            *(self._codec.pattern(pattern) for pattern in patterns or ("*",)),
            ns=self._codec.ns,
            types=types,
            prev=prev,
            snapshot=snapshot,
            since=since,
            echo=echo,
            conflate=conflate,
        )
        return TypedWatcher(watcher, self._codec)

    def mirror(self, pattern: str = "*", *, conflate: float | None = None) -> TypedMirror[T]:
        """Keep a local copy of the entries that match, as `Hub.mirror`."""
        mirror = self._hub.mirror(self._codec.pattern(pattern), ns=self._codec.ns, conflate=conflate)
        return TypedMirror(mirror, self._codec)


class TypedWatcher(Generic[T]):
    """The events of one ``view.watch``: iterate over it, inside a block or without. See `waggle.Watcher`."""

    def __init__(self, watcher: Watcher, codec: TypedCodec[T]) -> None:
        self.watcher, self.codec = watcher, codec

    @property
    def since(self) -> Since:
        """Return the position of this consumer, behind the last event that it got: another consumer can continue
        there."""
        return self.watcher.since

    async def __aenter__(self) -> Self:
        await self.watcher.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> TypedEvent[T]:
        return self.codec.event(await anext(self.watcher))

    async def close(self) -> None:
        """Unsubscribe; no event comes any more."""
        await self.watcher.close()


class TypedMirror(TypedMirrorView[T]):
    """The entries that match a pattern, by key, updated by the hub; entering it fills it."""

    def __init__(self, mirror: Mirror, codec: TypedCodec[T]) -> None:
        super().__init__(mirror, codec)
        self.mirror, self.codec = mirror, codec

    async def __aenter__(self) -> Self:
        await self.mirror.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def changed(self, *, timeout: float | None = None) -> None:
        """Wait for the next change, at most ``timeout`` seconds. Raises TimedOut, or Disconnected for good."""
        await self.mirror.changed(timeout=timeout)

    async def until(self, condition: Callable[[TypedMirrorView[T]], object], *, timeout: float | None = None) -> None:
        """Wait until ``condition(mirror)`` is true, called now and after each change. Raises as `changed`."""
        await self.mirror.until(lambda _: condition(self), timeout=timeout)

    async def close(self) -> None:
        """Stop following the hub; the entries stay as they are."""
        await self.mirror.close()
