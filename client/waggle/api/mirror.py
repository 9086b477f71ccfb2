"""A local copy of the entries that match a pattern, kept in step by a subscription (protocol 5).

The rules:

1. **Never part of a state.** A snapshot is gathered aside and shown at once when it is complete; until then the
   former state is shown, and ``synced`` is false. The changes of one revision are shown together, and so are those
   of one delivery, where the mirror is conflated.
2. **Read only.** Write through the hub; the mirror follows.
3. **Safe to read from any thread:** every read is of one dict that is replaced or changed by a single step.

`Replica` is where a subscription's events go; `MirrorView` is what a program sees of it. How to wait for a change
is the shells' part.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, Mapping, Sequence, ValuesView
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET

from waggle.core.subscription import NOWHERE, Subscription
from waggle.wire.errors import BadRequest
from waggle.wire.messages import Entry, Event, EventType, Since

__all__ = ["MirrorView", "Replica", "mirroring"]

T = TypeVar("T")

TYPES: tuple[EventType, ...] = ("set", "delete", "expire", "evict", "touch")


class Replica:
    """The entries as the events say; a sink that is never full, since it keeps the state and not the events."""

    full = False
    empty = True

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.point = NOWHERE
        self.synced = False
        self.changes = 0
        """How often ``entries`` has changed."""
        self._gathered: dict[str, Entry] = {}

    def put(self, events: Sequence[Event], size: int, point: Since | None) -> None:
        """Follow the events; a snapshot is gathered until ``synced``."""
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
        self.point = point or NOWHERE
        self.changes += 1

    def replaced(self, reason: str) -> None:
        """Begin to gather afresh."""
        self._gathered, self.synced = {}, False


def _apply(entries: dict[str, Entry], event: Event) -> None:
    """What one event does to the entries."""
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
    """The entry that a ``set`` leaves."""
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
    """A replica and the subscription that feeds it. Raises BadRequest for more than one namespace."""
    if ns == "*":
        raise BadRequest("A mirror is of one namespace, since keys repeat in others: make one for each.")
    replica = Replica()
    return replica, Subscription([pattern], replica, ns=ns, types=TYPES, snapshot=True, conflate=conflate)


class MirrorView(Mapping[str, Entry]):
    """The entries by key, read only. Iterating goes over the keys as they were when it began."""

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
        """Keys and entries, as they are now."""
        return self.snapshot().items()

    def values(self) -> ValuesView[Entry]:
        """The entries, as they are now."""
        return self.snapshot().values()

    def value(self, key: str, default: T | None = None) -> Any | T | None:
        """The value under ``key``, or ``default`` if it is absent."""
        entry = self.replica.entries.get(key)
        return default if entry is None else entry.value

    def snapshot(self) -> dict[str, Entry]:
        """A copy of everything as it is now."""
        return dict(self.replica.entries)

    @property
    def synced(self) -> bool:
        """False while a fresh snapshot is on its way and the former state is shown."""
        return self.replica.synced

    @property
    def rev(self) -> int:
        """The revision that the entries show: whatever was written up to there, and matches, is in them."""
        return self.replica.point.rev

    @property
    def changes(self) -> int:
        """How often the entries have changed since the mirror began."""
        return self.replica.changes
