"""Changed: the nouns of the state whose records are out of date.

Whoever changes a noun that must survive marks it here, in the same step; `take` makes the records of all that were
marked, as they are by then. What happens to entries is told by commits and is not marked.
"""

from __future__ import annotations

from typing import Protocol

from .records import Key, Record


class Recorded(Protocol):
    """A noun that has a record."""

    @property
    def record_name(self) -> Key:
        """What names its record; the same as long as it lives."""

    def record(self) -> Record:
        """It, as it stands."""


class DirtySet:
    """What was marked since it was last taken."""

    def __init__(self) -> None:
        self._nouns: dict[Key, Recorded | Record | None] = {}

    def mark(self, noun: Recorded) -> None:
        """It has come, or has changed."""
        self._nouns[noun.record_name] = noun

    def mark_removed(self, noun: Recorded) -> None:
        """It is no more."""
        self._nouns[noun.record_name] = None

    def put(self, record: Record) -> None:
        """This is its record from now on."""
        self._nouns[record.name] = record

    def remove(self, name: Key) -> None:
        """There is no such record any more."""
        self._nouns[name] = None

    def collect(self) -> dict[Key, Record | None]:
        """The records of all that were marked, None of those that are gone."""
        nouns, self._nouns = self._nouns, {}
        return {
            name: noun if noun is None or isinstance(noun, Record) else noun.record() for name, noun in nouns.items()
        }

    def discard(self) -> None:
        """Forget what was marked."""
        self._nouns.clear()
