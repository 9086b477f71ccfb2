"""A local copy of the entries that match a pattern, updated by a subscription (protocol 5).

Rules:

1. **A mirror never shows part of a state.** A snapshot is collected aside and shown when it is complete; until then
   the former state is shown, and ``synced`` is false. The changes of one revision are shown together; in a conflated
   mirror, the changes of one delivery.
2. **Read only.** Write through the hub; the mirror follows.
3. **Every read is safe from any thread:** it uses one dict, which is replaced or changed by a single step.

`Replica` takes the events of the subscription, `MirrorView` is the part that a program sees. The asyncio and the
blocking client add their ways to wait for a change.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, Mapping, Sequence, ValuesView
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET

from waggle.core.subscription import START, Subscription
from waggle.wire.errors import BadRequest
from waggle.wire.messages import Entry, Event, EventType, Since

__all__ = ["MirrorView", "Replica", "mirroring"]

T = TypeVar("T")

TYPES: tuple[EventType, ...] = ("set", "delete", "expire", "evict", "touch")


class Replica:
    """The entries after all events so far. A sink that is never full: it keeps the state and not the events."""

    full = False
    empty = True

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.point = START
        self.synced = False
        self.changes = 0
        """The number of times that ``entries`` has changed."""
        self._gathered: dict[str, Entry] = {}

    def put(self, events: Sequence[Event], size: int, point: Since | None) -> None:
        """Apply events; the events of a snapshot are collected until ``synced``."""
        if events[0].snapshot:
            _apply(self._gathered, events[0])
            return
        if events[0].type == "synced":
            self.entries, self._gathered, self.synced = self._gathered, {}, True
        elif len(events) == 1:
            _apply(self.entries, events[0])
        else:
            entries = dict(self.entries)
            for event in events:
                _apply(entries, event)
            self.entries = entries
        self.point = point or START
        self.changes += 1

    def reset(self, reason: str) -> None:
        """Start to collect a new snapshot."""
        self._gathered, self.synced = {}, False


def _apply(entries: dict[str, Entry], event: Event) -> None:
    """Apply one event to the entries."""
    match event.type:
        case "set":
            entries[event.key] = _entry(event)
        case "delete" | "expire" | "evict":
            entries.pop(event.key, None)
        case "touch" if event.key in entries:
            expires_at = None if event.expires_at is UNSET else event.expires_at
            entries[event.key] = msgspec.structs.replace(entries[event.key], expires_at=expires_at)
        case _:
            pass


def _entry(event: Event) -> Entry:
    """Return the entry that a ``set`` event describes."""
    return Entry(
        key=event.key,
        ns=event.ns,
        rev=event.rev,
        version=0 if event.version is UNSET else event.version,
        kind="persistent" if event.kind is UNSET else event.kind,
        created_at=event.at if event.created_at is UNSET else event.created_at,
        updated_at=event.at,
        expires_at=None if event.expires_at is UNSET else event.expires_at,
        by=event.by,
        meta=None if event.meta is UNSET else event.meta,
        value=event.value,
    )


def mirroring(pattern: str, ns: str | None, conflate: float | None = None) -> tuple[Replica, Subscription]:
    """Return a replica and the subscription that feeds it. Raises BadRequest for more than one namespace."""
    if ns == "*":
        raise BadRequest("A mirror shows one namespace, because keys repeat in others: make one mirror for each.")
    replica = Replica()
    return replica, Subscription([pattern], replica, ns=ns, types=TYPES, snapshot=True, conflate=conflate)


class MirrorView(Mapping[str, Entry]):
    """The entries by key, read only. An iteration covers the keys that existed when it began."""

    def __init__(self, replica: Replica) -> None:
        self.replica = replica

    def __getitem__(self, key: str) -> Entry:
        return self.replica.entries[key]

    def __len__(self) -> int:
        return len(self.replica.entries)

    def __iter__(self) -> Iterator[str]:
        return iter(self.snapshot())

    def __contains__(self, key: object) -> bool:
        return key in self.replica.entries

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)} entries, {'in step' if self.synced else 'being filled'}>"

    def items(self) -> ItemsView[str, Entry]:
        """Return keys and entries of this moment."""
        return self.snapshot().items()

    def values(self) -> ValuesView[Entry]:
        """Return the entries of this moment."""
        return self.snapshot().values()

    def value(self, key: str, default: T | None = None) -> Any | T | None:
        """Return the value under ``key``, or ``default`` if the key is absent."""
        entry = self.replica.entries.get(key)
        return default if entry is None else entry.value

    def snapshot(self) -> dict[str, Entry]:
        """Return a copy of all entries."""
        return dict(self.replica.entries)

    @property
    def synced(self) -> bool:
        """Return whether the mirror is up to date; False while a new snapshot arrives and the former state is
        shown."""
        return self.replica.synced

    @property
    def rev(self) -> int:
        """Return the revision that the mirror shows: every write up to it that matches is included."""
        return self.replica.point.rev

    @property
    def changes(self) -> int:
        """Return the number of changes since the mirror began."""
        return self.replica.changes
