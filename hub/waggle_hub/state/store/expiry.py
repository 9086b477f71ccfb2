"""Deadlines: things in the order in which their time comes.

The head is the next to fall due, so one timer at the head is enough and nothing is ever scanned or sampled. Two lists
exist: one of entries, one of the rest (`Timers`: sessions in their grace, locks, waiting commands). Each thing stands
in its list exactly while it has a deadline.

The order is that of the deadline, then of a number that tells apart what falls due in the same millisecond (the
revision of an entry, the serial of the rest). So a hundred thousand keys due at one instant still cost a logarithm
each to take out. Both are read from the thing when they are compared: of a thing the index keeps one reference, and
nothing else.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort_right
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Generic, TypeVar

T = TypeVar("T")
Place = tuple[float, int]
"""A deadline, and the number."""

PART = 1_024
"""Things that lie together at most: a longer list would be long to insert into."""


def deadline_after(now: float, ttl: float) -> float:
    """The instant `ttl` seconds after `now`, up to the next whole millisecond: never earlier, and never now itself."""
    return max(math.ceil((now + ttl) * 1000.0), math.floor(now * 1000.0) + 1) / 1000.0


class Deadlines(Generic[T]):
    """An ordered index of things that have a deadline. The place of a thing stays the same while it is in."""

    def __init__(self, place_of: Callable[[T], Place], part: int = PART) -> None:
        self._place_of = place_of
        self._most = part
        self._parts: list[list[T]] = []
        self._ends: list[Place] = []
        """The place of the last thing of each part."""

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def __iter__(self) -> Iterator[T]:
        return (item for part in self._parts for item in part)

    def load(self, items: list[T]) -> None:
        """Put all of these into an empty list."""
        assert not self._parts
        items = sorted(items, key=self._place_of)
        size = max(1, self._most // 2)
        self._parts = [items[start : start + size] for start in range(0, len(items), size)]
        self._ends = [self._place_of(part[-1]) for part in self._parts]

    def add(self, item: T) -> None:
        place = self._place_of(item)
        if not self._parts:
            self._parts.append([])
            self._ends.append(place)
        number = min(bisect_left(self._ends, place), len(self._parts) - 1)
        part = self._parts[number]
        insort_right(part, item, key=self._place_of)
        if place > self._ends[number]:
            self._ends[number] = place
        if len(part) > self._most:
            half = len(part) // 2
            self._parts[number : number + 1] = [part[:half], part[half:]]
            self._ends.insert(number, self._place_of(part[half - 1]))

    def remove(self, item: T) -> None:
        """Take out an item that is in; ValueError if it is not."""
        place = self._place_of(item)
        last = min(bisect_right(self._ends, place) + 1, len(self._parts))
        for number in range(bisect_left(self._ends, place), last):
            part = self._parts[number]
            index = bisect_left(part, place, key=self._place_of)
            while index < len(part) and self._place_of(part[index]) == place:
                if part[index] is item:
                    self._take_out(number, index)
                    return
                index += 1
        raise ValueError(f"{item!r} is not in")

    def head(self) -> T | None:
        """The item whose time comes first."""
        return self._parts[0][0] if self._parts else None

    def _take_out(self, number: int, index: int) -> None:
        part = self._parts[number]
        del part[index]
        if not part:
            del self._parts[number], self._ends[number]
        elif index == len(part):
            self._ends[number] = self._place_of(part[-1])

    def check(self, expected: list[T]) -> None:
        """Assert that exactly the expected items are in, in order."""
        places = [self._place_of(item) for item in self]
        assert places == sorted(places)
        assert self._ends == [self._place_of(part[-1]) for part in self._parts]
        assert all(len(part) <= self._most for part in self._parts)
        assert len(places) == len(expected)
        assert {id(item) for item in self} == {id(item) for item in expected}


class Timed:
    """What has a deadline at times and is no entry. Its serial tells its age: lower came first."""

    __slots__ = ("deadline", "serial")

    def __init__(self, serial: int) -> None:
        self.serial = serial
        self.deadline: float | None = None


class Timers:
    """The deadlines of everything but entries, and the serials."""

    def __init__(self, after: int = 0) -> None:
        self._list: Deadlines[Timed] = Deadlines(attrgetter("deadline", "serial"))
        self._serial = after

    def next_serial(self) -> int:
        """A number above all that were given before."""
        self._serial += 1
        return self._serial

    @property
    def last_serial(self) -> int:
        """The highest serial that was ever given."""
        return self._serial

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

    def next_due(self, now: float) -> Timed | None:
        """The head, if its time has come."""
        head = self._list.head()
        return head if head is not None and head.deadline is not None and head.deadline <= now else None

    def check(self, expected: list[Timed]) -> None:
        """Assert that exactly those of the expected things are in that have a deadline."""
        self._list.check([thing for thing in expected if thing.deadline is not None])
