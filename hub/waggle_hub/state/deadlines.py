"""Deadlines: things in the order in which their time comes.

The head is the next to fall due, so one timer at the head is enough and nothing is ever scanned or sampled. Two lists
exist: one of entries, one of the rest (sessions now). Each thing stands in its list exactly while it has a deadline.

The order is one integer: the deadline in whole milliseconds above a number that tells apart what falls due in the
same millisecond (the revision of an entry, the serial of a session). So a hundred thousand keys due at one instant
still cost a logarithm each to take out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from sortedcontainers import SortedKeyList

T = TypeVar("T")


def deadline_after(now: float, ttl: float) -> float:
    """The instant `ttl` seconds after `now`, up to the next whole millisecond: never earlier, and never now itself."""
    return max(math.ceil((now + ttl) * 1000.0), math.floor(now * 1000.0) + 1) / 1000.0


def place(deadline: float, serial: int) -> int:
    """Where something with this deadline stands among all others."""
    return (round(deadline * 1000.0) << 53) | serial


class Deadlines(Generic[T]):
    """An ordered index of things that have a deadline."""

    def __init__(self, place_of: Callable[[T], int]) -> None:
        self._items: SortedKeyList = SortedKeyList(key=place_of)

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[T]:
        return iter(self._items)

    def add(self, item: T) -> None:
        self._items.add(item)

    def remove(self, item: T) -> None:
        """Take out an item that is in; ValueError if it is not."""
        self._items.remove(item)

    def head(self) -> T | None:
        """The item whose time comes first."""
        return self._items[0] if self._items else None

    def check(self, expected: list[T]) -> None:
        """Assert that exactly the expected items are in, in order."""
        self._items._check()
        assert len(self._items) == len(expected)
        assert {id(item) for item in self._items} == {id(item) for item in expected}
