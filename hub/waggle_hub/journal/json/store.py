"""The store in one JSON document: for small hubs whose data a person reads, compares and edits by hand.

Rules:
1. Each write makes the document anew and puts it in place as a whole (`files`). That costs as much as all data, so
   there may be `MAX_ENTRIES` entries, which is checked before anything changes.
2. A write that failed never comes back: if its document may be in place already, the one before is put there again.
3. `backup` reads what is in place: it may run in another thread, beside writes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from waggle_hub.journal.files import Files, Places, explained, forget, partial, probe, settle, write_partial
from waggle_hub.journal.interface import StoreError
from waggle_hub.state.persistence.records import Record, StoredState, WriteBatch

from .file_format import MIGRATIONS, Lines, Migration, lines_of

MAX_ENTRIES = 10_000
"""Entries of a document: with small values 3 MB, and 15 ms for each write."""


class DocumentStore:
    """All data in one document, and in memory."""

    def __init__(self, path: Path, files: Files | None = None, migrations: Sequence[Migration] = MIGRATIONS) -> None:
        self.path = path
        self._files = Files() if files is None else files
        self._migrations = migrations
        self._lines: Lines | None = None
        self._places: Places | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def load(self, progress: Callable[[int, int], None]) -> StoredState | None:
        lines = self._read()
        progress(len(lines.entries), len(lines.entries))
        return lines.kept()

    def records(self) -> list[Record]:
        return self._read().all_records()

    def write(self, changes: WriteBatch) -> None:
        before = self._read()
        after = before.after(changes)
        self._check_size(after)
        self.check_place()
        with explained(self.path, "written"):
            prepared = write_partial(self._files, self.path, self._text(after))
            try:
                settle(self._files, prepared, self.path)
            except OSError:
                with suppress(OSError):
                    settle(self._files, write_partial(self._files, self.path, self._text(before)), self.path)
                raise
        self._lines = after

    def check_place(self) -> None:
        if self._places is not None:
            with explained(self.path, "used"):
                self._places.check()

    def probe(self) -> None:
        self.check_place()
        with explained(self.path, "written"):
            probe(self._files, self.path.parent, len(self._text(self._read())))

    def backup(self, path: Path) -> None:
        with explained(path, "written"):
            text = self._files.read(self.path)
            lines_of(text, self.path, self._migrations)
            settle(self._files, write_partial(self._files, path, text), path)

    def close(self) -> None:
        pass

    def _read(self) -> Lines:
        """Return the content of the document, read once."""
        if self._lines is None:
            with explained(self.path, "read"):
                self._places = Places(self._files, self.path.parent)  # the document itself is replaced by each write
                forget(self._files, partial(self.path))
                try:
                    text = self._files.read(self.path)
                except FileNotFoundError:
                    self._lines = Lines()
                else:
                    lines = lines_of(text, self.path, self._migrations)
                    self._check_size(lines)
                    self._lines = lines
        return self._lines

    def _text(self, lines: Lines) -> bytes:
        return lines.text(len(self._migrations) + 1)

    def _check_size(self, lines: Lines) -> None:
        if len(lines.entries) > MAX_ENTRIES:
            raise StoreError(
                f"{self.path} would have {len(lines.entries):,} entries, and a JSON document may have {MAX_ENTRIES:,}: "
                "keep the data in SQLite, which has room for millions"
            )
