"""A key map: items by key and in key order, which grows without a long pause.

Why not one dict: at 700,000 keys a dict grows for a tenth of a second, and the hub would do nothing else meanwhile.
Here the items are spread over many dicts of a few thousand (*parts*) by linear hashing (Litwin, 1980): whenever the
average part is full, one part is split into two, and only that one. So no single write takes longer than some
milliseconds.

Rules:
1. The part of a key follows from its hash and the number of parts. Parts are split in turn, not when they are full.
2. The order of the parts is never seen from outside: iteration is in key order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from sortedcontainers import SortedList

T = TypeVar("T")

MAX_PART_ITEMS = 2_048
"""Items in a part, on average, before one more part is made."""


class KeyMap(Generic[T]):
    """Items by key. Those given at first must come in key order."""

    __slots__ = ("_keys", "_mask", "_max_part_items", "_parts")

    def __init__(self, items: Iterable[tuple[str, T]] = (), max_part_items: int = MAX_PART_ITEMS) -> None:
        self._max_part_items = max_part_items
        self._parts: list[dict[str, T]] = [{}]
        self._mask = 1
        """The bits of a hash that tell the part; one bit less for parts that do not exist yet."""
        self._keys: SortedList[str] = SortedList()
        self._load(list(items))

    def __len__(self) -> int:
        return len(self._keys)

    def get(self, key: str) -> T | None:
        """Return the item of a key, or None."""
        return self._parts[self._part_of(key)].get(key)

    def put(self, key: str, item: T) -> None:
        """Store an item under a key, in place of any other."""
        part = self._parts[self._part_of(key)]
        if key in part:
            part[key] = item
            return
        part[key] = item
        self._keys.add(key)
        if len(self._keys) > self._max_part_items * len(self._parts):
            self._split()

    def remove(self, key: str) -> None:
        """Remove the item of a key; KeyError if there is none."""
        del self._parts[self._part_of(key)][key]
        self._keys.remove(key)

    def values(self) -> Iterator[T]:
        """Yield all items in key order."""
        return (self._parts[self._part_of(key)][key] for key in self._keys)

    def items_from(self, key: str, *, inclusive: bool) -> Iterator[tuple[str, T]]:
        """Yield keys and items from this key on (or above it), in key order. The map must not change meanwhile."""
        for name in self._keys.irange(minimum=key, inclusive=(inclusive, True)):
            yield name, self._parts[self._part_of(name)][name]

    def _part_of(self, key: str) -> int:
        number = hash(key) & self._mask
        return number if number < len(self._parts) else number & (self._mask >> 1)

    def _split(self) -> None:
        """Add a part, and move to it those items of one older part whose hash now belongs there."""
        new = len(self._parts)
        # The number of the new part without its highest bit: that part has held its items until now.
        older = new & (self._mask >> 1)
        parts: tuple[dict[str, T], dict[str, T]] = ({}, {})
        for key, item in self._parts[older].items():
            parts[hash(key) & self._mask == new][key] = item
        self._parts[older] = parts[0]
        self._parts.append(parts[1])
        if new == self._mask:
            self._mask = 2 * self._mask + 1

    def _load(self, items: list[tuple[str, T]]) -> None:
        parts = max(1, -(-len(items) // self._max_part_items))
        self._parts = [{} for _ in range(parts)]
        self._mask = 2 ** parts.bit_length() - 1
        for key, item in items:
            self._parts[self._part_of(key)][key] = item
        self._keys.update(key for key, _ in items)

    def check(self) -> None:
        """Assert the rules of this module."""
        self._keys._check()
        assert sum(map(len, self._parts)) == len(self._keys)
        assert all(self._part_of(key) == number for number, part in enumerate(self._parts) for key in part)
        assert self._mask // 2 < len(self._parts) <= self._mask
        assert len(self._parts) >= 1
        assert len(self._keys) <= self._max_part_items * len(self._parts)
