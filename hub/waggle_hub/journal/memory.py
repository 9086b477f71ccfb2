"""No journal: nothing survives the process, so everything may be seen at once (`--memory`)."""

from __future__ import annotations

from collections.abc import Callable

from waggle_hub.state.persistence.records import Record, WriteBatch

from .interface import Done, JournalListener


class NullJournal:
    """A journal that keeps nothing and never fails, so its listener hears nothing."""

    durability = "memory"
    keeps = False

    def __init__(self, listener: JournalListener) -> None:
        pass

    def write(self, changes: WriteBatch, done: Done) -> None:
        done(None)

    def settle(self, done: Callable[[], None]) -> None:
        done()

    def stop(self) -> None:
        pass

    def recall(self) -> list[Record]:
        raise AssertionError("it never fails")
