"""A space: the entries of one namespace, by key and in key order.

Rules:
1. The entries lie in parts of a few thousand, by the hash of their key. Above `part` entries a part on the average one
   part is split into two, and only that one: a dict of 700,000 entries grows for a tenth of a second, in which the hub
   would do nothing else. (Linear hashing: Litwin 1980.)
2. Where an entry lies is seen by nobody: whoever looks at many does so in key order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from sortedcontainers import SortedList

T = TypeVar("T")

PART = 2_048


class KeyMap(Generic[T]):
    """Things by key, from as many as are given, which come in key order."""

    __slots__ = ("_keys", "_mask", "_part", "_parts")

    def __init__(self, things: Iterable[tuple[str, T]] = (), part: int = PART) -> None:
        self._part = part
        self._parts: list[dict[str, T]] = [{}]
        self._mask = 1
        """So much of a hash tells the part, or one bit less where that part is not there yet."""
        self._keys: SortedList[str] = SortedList()
        self._load(list(things))

    def __len__(self) -> int:
        return len(self._keys)

    def get(self, key: str) -> T | None:
        return self._parts[self._place(key)].get(key)

    def put(self, key: str, thing: T) -> None:
        """Let this be what the key has."""
        part = self._parts[self._place(key)]
        if key in part:
            part[key] = thing
            return
        part[key] = thing
        self._keys.add(key)
        if len(self._keys) > self._part * len(self._parts):
            self._split()

    def remove(self, key: str) -> None:
        """Take out what the key has; KeyError if that is nothing."""
        del self._parts[self._place(key)][key]
        self._keys.remove(key)

    def values(self) -> Iterator[T]:
        """All, in key order."""
        return (self._parts[self._place(key)][key] for key in self._keys)

    def items_from(self, key: str, *, inclusive: bool) -> Iterator[tuple[str, T]]:
        """All from this key on, or after it, in key order. The space must not change while this is read."""
        for found in self._keys.irange(minimum=key, inclusive=(inclusive, True)):
            yield found, self._parts[self._place(found)][found]

    def _place(self, key: str) -> int:
        place = hash(key) & self._mask
        return place if place < len(self._parts) else place & (self._mask >> 1)

    def _split(self) -> None:
        """Make one more part, of what is in the one that has had its hashes until now."""
        new = len(self._parts)
        older = new & (self._mask >> 1)
        parts: tuple[dict[str, T], dict[str, T]] = ({}, {})
        for key, thing in self._parts[older].items():
            parts[hash(key) & self._mask == new][key] = thing
        self._parts[older] = parts[0]
        self._parts.append(parts[1])
        if new == self._mask:
            self._mask = 2 * self._mask + 1

    def _load(self, things: list[tuple[str, T]]) -> None:
        parts = max(1, -(-len(things) // self._part))
        self._parts = [{} for _ in range(parts)]
        self._mask = 2 ** parts.bit_length() - 1
        for key, thing in things:
            self._parts[self._place(key)][key] = thing
        self._keys.update(key for key, _ in things)

    def check(self) -> None:
        """Assert the rules of this module."""
        self._keys._check()
        assert sum(map(len, self._parts)) == len(self._keys)
        assert all(self._place(key) == number for number, part in enumerate(self._parts) for key in part)
        assert self._mask // 2 < len(self._parts) <= self._mask
        assert len(self._parts) >= 1
        assert len(self._keys) <= self._part * len(self._parts)
