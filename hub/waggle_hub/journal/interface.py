"""The interface of a journal, and of the store below it.

The engine hands over what a turn of the event loop has changed and goes on deciding. When the journal calls
`done(None)`, everything up to that turn, included, is as safe as the journal's mode promises, and may be seen. Calls
of `done` come in the order of the writes, on the event loop's thread, at once or later.

`done(error)` says that this turn, and every later one, is not kept. Such changes must never be seen, but the machine
already holds them: the engine asks what is kept (`recall`) and rolls back to that. From then on, until
`JournalListener.on_recovery`, the journal keeps in memory what it is given, calls `done(None)` at once, and tries
again and again to write it; the engine makes sure that none of it had to be on disk before it was seen.

A journal that lets changes be seen before they are safe (`relaxed`) calls `JournalListener.on_failure` when it has
fallen behind.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, Self

from waggle_hub.state.persistence.records import Record, StoredState, WriteBatch

Done = Callable[[Exception | None], None]


class JournalListener(Protocol):
    """The part of the engine that a journal calls on failure and recovery, on the event loop's thread."""

    def on_failure(self, error: Exception) -> None:
        """Refuse commands whose effect must survive: writing has failed after something was seen."""

    def on_recovery(self) -> None:
        """Accept them again: everything is written after a failure."""


class Journal(Protocol):
    """A place where changes survive."""

    durability: str
    """The name of what it promises, as `hello` shows it: memory, relaxed or full."""
    keeps: bool
    """Whether anything survives: if not, nobody needs to say what has changed."""

    def write(self, changes: WriteBatch, done: Done) -> None:
        """Write these changes, then call `done` once. A turn without changes is passed as no changes."""

    def recall(self) -> list[Record]:
        """After `done(error)`: return the records that are on disk; what was not written is dropped already. Raises
        StoreError if they cannot be read."""

    def settle(self, done: Callable[[], None]) -> None:
        """Call `done` on the event loop's thread once every write handed over before was tried."""

    def stop(self) -> None:
        """Write what was handed over, and release the store."""


OpenJournal = Callable[[JournalListener], Journal]
"""Opens the journal of an engine, which tells this listener of failure and recovery."""


class StoreError(Exception):
    """An error of a store; its text says why, and what to do about it."""


class Store(Protocol):
    """A place on disk, used by one thread at a time. Raises StoreError or OSError."""

    def load(self, progress: Callable[[int, int], None]) -> StoredState | None:
        """Return everything that is kept, None if there is nothing. `progress` gets the number of entries read and
        their total. Raises StoreError if the data is damaged, or of a newer format."""

    def write(self, changes: WriteBatch) -> None:
        """Write all of these changes or none. They are on disk, synced, when this returns."""

    def records(self) -> list[Record]:
        """Return the records as they are kept."""

    def check_place(self) -> None:
        """Raise StoreError if the files were removed, moved or replaced while the store is open."""

    def probe(self) -> None:
        """Raise unless the files are in their place and there is room: write something of some size and remove it."""

    def backup(self, path: Path) -> None:
        """Write a copy of what is kept to this path, which does not exist: whole and synced when this returns. May
        run in another thread, beside calls of the store's own thread."""

    def close(self) -> None:
        """Close the files."""

    def __enter__(self) -> Self:
        """Return the store, to be closed at the end of the block."""

    def __exit__(self, *_: object) -> None: ...
