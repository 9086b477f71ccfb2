"""Deadlines: things in the order in which their time comes.

The head is the next to fall due, so one timer at the head is enough and nothing is ever scanned or sampled. Two lists
exist: one of entries, one of the rest (`Timers`: sessions in their grace, locks, waiting commands). Each thing stands
in its list exactly while it has a deadline.

The order is one integer: the deadline in whole milliseconds above a number that tells apart what falls due in the
same millisecond (the revision of an entry, the serial of the rest). So a hundred thousand keys due at one instant
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

    def load(self, items: list[T]) -> None:
        """Put all of these into an empty list."""
        self._items.update(items)

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


class Timed:
    """What has a deadline at times and is no entry. Its serial tells its age: lower came first."""

    __slots__ = ("deadline", "serial")

    def __init__(self, serial: int) -> None:
        self.serial = serial
        self.deadline: float | None = None


def _place_of(thing: Timed) -> int:
    assert thing.deadline is not None
    return place(thing.deadline, thing.serial)


class Timers:
    """The deadlines of everything but entries, and the serials."""

    def __init__(self, after: int = 0) -> None:
        self._list: Deadlines[Timed] = Deadlines(_place_of)
        self._serial = after

    def serial(self) -> int:
        """A number above all that were given before."""
        self._serial += 1
        return self._serial

    @property
    def last(self) -> int:
        """The highest serial that was ever given."""
        return self._serial

    def begin_after(self, last: int) -> None:
        """Give no serial up to this one."""
        self._serial = max(self._serial, last)

    def set(self, thing: Timed, deadline: float | None) -> None:
        """Give a thing a new deadline, or none."""
        if thing.deadline is not None:
            self._list.remove(thing)
        thing.deadline = deadline
        if deadline is not None:
            self._list.add(thing)

    def head(self) -> Timed | None:
        """The thing whose time comes first."""
        return self._list.head()

    def due(self, now: float) -> Timed | None:
        """The head, if its time has come."""
        head = self._list.head()
        return head if head is not None and head.deadline is not None and head.deadline <= now else None

    def check(self, expected: list[Timed]) -> None:
        """Assert that exactly those of the expected things are in that have a deadline."""
        self._list.check([thing for thing in expected if thing.deadline is not None])
