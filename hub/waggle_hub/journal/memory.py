"""The journal of a hub that keeps everything in memory (`--memory`): nothing survives, so everything may be seen at
once.
"""

from __future__ import annotations

from collections.abc import Callable

from waggle_hub.state.persistence.records import Record, WriteBatch

from .interface import Done, JournalListener


class NullJournal:
    """A journal that keeps nothing and never fails, so its listener is never called."""

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
