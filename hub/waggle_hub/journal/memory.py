"""No journal: nothing survives the process, so everything may be seen at once (`--memory`)."""

from __future__ import annotations

from collections.abc import Callable

from waggle_hub.state.persistence.records import Record, WriteBatch

from .interface import Done


def _nobody(*_: object) -> None:
    pass


class NullJournal:
    """Keeps nothing, and never fails."""

    durability = "memory"
    keeps = False
    on_failure: Callable[[Exception], None] = staticmethod(_nobody)
    on_recovery: Callable[[], None] = staticmethod(_nobody)

    def write(self, changes: WriteBatch, done: Done) -> None:
        done(None)

    def settle(self, done: Callable[[], None]) -> None:
        done()

    def stop(self) -> None:
        pass

    def recall(self) -> list[Record]:
        raise AssertionError("it never fails")
