"""The dirty set: the items of the state whose stored records are out of date.

Code that changes a persisted item marks it here in the same step. `collect` then makes one record of each marked item,
as it is by then, however often it changed. Changes of entries are not marked: the commits tell of them.
"""

from __future__ import annotations

from typing import Protocol

from .records import Key, Record


class Recorded(Protocol):
    """An item of the state that has a stored record."""

    @property
    def record_name(self) -> Key:
        """The name of its record. It never changes."""

    def record(self) -> Record:
        """Return the stored form of the item as it is now."""


class DirtySet:
    """The items and records marked since the last `collect`."""

    def __init__(self) -> None:
        self._items: dict[Key, Recorded | Record | None] = {}

    def mark(self, item: Recorded) -> None:
        """Mark an item that is new or has changed."""
        self._items[item.record_name] = item

    def mark_removed(self, item: Recorded) -> None:
        """Mark an item that has ended: its record is to be deleted."""
        self._items[item.record_name] = None

    def put(self, record: Record) -> None:
        """Mark a record that has no item of its own, to be written as it is."""
        self._items[record.name] = record

    def remove(self, name: Key) -> None:
        """Mark a record, by its name, to be deleted."""
        self._items[name] = None

    def collect(self) -> dict[Key, Record | None]:
        """Return the records of all that was marked, None for those to be deleted; then start anew."""
        items, self._items = self._items, {}
        return {
            name: item if item is None or isinstance(item, Record) else item.record() for name, item in items.items()
        }

    def discard(self) -> None:
        """Forget all marks: nothing of them is to be written."""
        self._items.clear()
