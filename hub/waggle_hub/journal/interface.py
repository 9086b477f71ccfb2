"""What the engine asks of a journal, and a journal of the store below it.

The engine hands over what a turn has changed and goes on deciding. When the journal calls `done(None)`, everything up
to and with that turn is as safe as the journal's mode promises, and may be seen. Calls of `done` come in the order of
the writes, on the event loop's thread, at once or later.

`done(error)` says that this turn is not kept, and nothing that was written after it. Such changes must never be seen,
and the machine already holds them: the engine asks what is kept (`recall`) and goes back to that. From then on, until
`JournalListener.on_recovery`, the journal keeps in memory what it is given, says `done(None)` at once, and tries again
and again to write it; the engine sees to it that this is nothing that had to be on disk before it was seen.

A journal that lets things be seen before they are safe (`relaxed`) says by `JournalListener.on_failure` that it has
fallen behind.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, Self

from waggle_hub.state.persistence.records import Record, StoredState, WriteBatch

Done = Callable[[Exception | None], None]


class JournalListener(Protocol):
    """The part of the engine that a journal tells of failure and recovery, on the loop's thread."""

    def on_failure(self, error: Exception) -> None:
        """Refuse what has to survive: writing has failed after something was seen."""

    def on_recovery(self) -> None:
        """Accept what has to survive again: everything has been written after a failure."""


class Journal(Protocol):
    """A place where changes survive."""

    durability: str
    """The name of what it promises, as `hello` shows it: memory, relaxed or full."""
    keeps: bool
    """Whether anything survives: if not, nobody needs to say what has changed."""

    def write(self, changes: WriteBatch, done: Done) -> None:
        """Keep these changes, then call `done` once. A turn that changed nothing comes with no changes."""

    def recall(self) -> list[Record]:
        """After `done(error)`: forget what was not written, and give the records as they are kept. StoreError if they
        cannot be read."""

    def settle(self, done: Callable[[], None]) -> None:
        """Call `done` on the loop's thread once everything that was handed over before has been tried to write."""

    def stop(self) -> None:
        """Let go. What was handed over before is written first."""


OpenJournal = Callable[[JournalListener], Journal]
"""Opens the journal of an engine, which tells this listener of failure and recovery."""


class StoreError(Exception):
    """A store cannot do what it was asked; the text says why, and what to do about it."""


class Store(Protocol):
    """A place on disk, used by one thread at a time. What it raises is a StoreError or an OSError."""

    def load(self, progress: Callable[[int, int], None]) -> StoredState | None:
        """Everything that is kept, None if nothing is. `progress` hears of how many entries have been read, and
        how many there are. StoreError if the data is damaged, or of a newer format."""

    def write(self, changes: WriteBatch) -> None:
        """Keep all of these changes or none. They are on disk, synced, when this returns."""

    def records(self) -> list[Record]:
        """The records as they are kept."""

    def probe(self) -> None:
        """Find out whether there is room again, by writing something of some size and removing it."""

    def backup(self, path: Path) -> None:
        """Put a copy of what is kept at this path, which does not exist: whole and synced when this returns. This may
        be called in another thread, beside the calls of the one that uses the store."""

    def close(self) -> None:
        """Let go of the files."""

    def __enter__(self) -> Self:
        """It, to be closed at the end of the block."""

    def __exit__(self, *_: object) -> None: ...
