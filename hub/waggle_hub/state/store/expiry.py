"""Deadlines: an index of items in the order in which they fall due.

The head is the next item to fall due, so one timer at the head is enough: nothing is scanned and nothing is sampled.
There are two such indexes, one of entries and one of everything else (`timers`).

The order is by deadline, then by a number that tells apart items that fall due in the same millisecond (the revision of
an entry, the serial of anything else). So a hundred thousand keys that are due at one instant still cost a logarithm
each to remove. Both are read from the item whenever two are compared: the index holds one reference for each item, and
nothing else.

Why not `sortedcontainers.SortedKeyList`: it keeps the sort key of each item in a second list, which costs 64 bytes more
for each key with a ttl. The machine needs four operations only (load, add, remove, head).
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort_right
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")
SortKey = tuple[float, int]
"""A deadline, and the number that tells apart items with the same deadline."""

MAX_PART_ITEMS = 1_024
"""Items in one part: inserting into a longer list would move too much memory."""


def deadline_after(now: float, ttl: float) -> float:
    """Return the instant `ttl` seconds after `now`, rounded up to a whole millisecond; always later than `now`."""
    return max(math.ceil((now + ttl) * 1000.0), math.floor(now * 1000.0) + 1) / 1000.0


class Deadlines(Generic[T]):
    """An ordered index of items that have a deadline. The sort key of an item must not change while the item is in."""

    def __init__(self, key: Callable[[T], SortKey], max_part_items: int = MAX_PART_ITEMS) -> None:
        self._key = key
        self._max_part_items = max_part_items
        self._parts: list[list[T]] = []
        """The items in order, cut into lists of bounded length; none is empty."""
        self._ends: list[SortKey] = []
        """The sort key of the last item of each part."""

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def __iter__(self) -> Iterator[T]:
        return (item for part in self._parts for item in part)

    def load(self, items: list[T]) -> None:
        """Put all of these into an empty index."""
        assert not self._parts
        items = sorted(items, key=self._key)
        # Parts start half full, so that the first inserts after a start do not split all of them.
        size = max(1, self._max_part_items // 2)
        self._parts = [items[start : start + size] for start in range(0, len(items), size)]
        self._ends = [self._key(part[-1]) for part in self._parts]

    def add(self, item: T) -> None:
        """Insert an item that is not in."""
        key = self._key(item)
        if not self._parts:
            self._parts.append([])
            self._ends.append(key)
        number = min(bisect_left(self._ends, key), len(self._parts) - 1)
        part = self._parts[number]
        insort_right(part, item, key=self._key)
        if key > self._ends[number]:
            self._ends[number] = key
        if len(part) > self._max_part_items:
            half = len(part) // 2
            self._parts[number : number + 1] = [part[:half], part[half:]]
            self._ends.insert(number, self._key(part[half - 1]))

    def remove(self, item: T) -> None:
        """Remove an item; ValueError if it is not in."""
        key = self._key(item)
        # Items with equal sort keys may reach over the end of a part into the next one: look at all such parts.
        last = min(bisect_right(self._ends, key) + 1, len(self._parts))
        for number in range(bisect_left(self._ends, key), last):
            part = self._parts[number]
            index = bisect_left(part, key, key=self._key)
            while index < len(part) and self._key(part[index]) == key:
                if part[index] is item:
                    self._delete(number, index)
                    return
                index += 1
        raise ValueError(f"{item!r} is not in the index")

    def head(self) -> T | None:
        """Return the item that falls due first."""
        return self._parts[0][0] if self._parts else None

    def _delete(self, number: int, index: int) -> None:
        part = self._parts[number]
        del part[index]
        if not part:
            del self._parts[number], self._ends[number]
        elif index == len(part):
            self._ends[number] = self._key(part[-1])

    def check(self, expected: list[T]) -> None:
        """Assert that exactly the expected items are in, in order."""
        keys = [self._key(item) for item in self]
        assert keys == sorted(keys)
        assert self._ends == [self._key(part[-1]) for part in self._parts]
        assert all(len(part) <= self._max_part_items for part in self._parts)
        assert len(keys) == len(expected)
        assert {id(item) for item in self} == {id(item) for item in expected}
