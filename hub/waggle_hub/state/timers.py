"""Timers: the deadlines of everything but entries (sessions, locks, pending commands), and their serial numbers.

Each item is in the index exactly while it has a deadline. The machine settles what is due before every command, so an
item's deadline never lies in the past while a command is decided.
"""

from __future__ import annotations

from operator import attrgetter

from .store.expiry import Deadlines


class Timed:
    """An item that may have a deadline and is no entry. Its serial tells its age: the lower one is older."""

    __slots__ = ("deadline", "serial")

    def __init__(self, serial: int) -> None:
        self.serial = serial
        self.deadline: float | None = None


class Timers:
    """All items with a deadline, earliest first, and the counter of serials."""

    def __init__(self, last_serial: int = 0) -> None:
        self._deadlines: Deadlines[Timed] = Deadlines(attrgetter("deadline", "serial"))
        self._last_serial = last_serial

    def next_serial(self) -> int:
        """Take the next serial: one above every serial that was ever given."""
        self._last_serial += 1
        return self._last_serial

    @property
    def last_serial(self) -> int:
        """The highest serial that was ever given."""
        return self._last_serial

    def set(self, item: Timed, deadline: float | None) -> None:
        """Give an item a new deadline, or none."""
        # The index finds an item by its deadline, so the item leaves before the deadline changes.
        if item.deadline is not None:
            self._deadlines.remove(item)
        item.deadline = deadline
        if deadline is not None:
            self._deadlines.add(item)

    def head(self) -> Timed | None:
        """Return the item with the earliest deadline."""
        return self._deadlines.head()

    def next_due(self, now: float) -> Timed | None:
        """Return the item with the earliest deadline, if that has passed."""
        head = self._deadlines.head()
        return head if head is not None and head.deadline is not None and head.deadline <= now else None

    def check(self, expected: list[Timed]) -> None:
        """Assert that the index holds exactly those of the expected items that have a deadline."""
        self._deadlines.check([item for item in expected if item.deadline is not None])
