"""The store in an SQLite database: a file that a person can look into with any tool, also while the hub runs.

Rules:
1. A write is one transaction with one sync. Only a very big one takes more than one statement (`rows`).
2. A transaction that failed never comes back. If its sync failed, its frames are in the write-ahead log, and a crash
   would bring them to life: so a small transaction is written over them.
3. Data read at a start, or copied, is verified as a whole: pages, trees and log (`schema`), and each row.
4. `backup` uses a connection of its own: it may run in another thread, beside writes.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Self

from waggle_hub.journal.files import Files, Places, damaged, explained, forget, partial, probe, settle, sync_path
from waggle_hub.journal.interface import StoreError
from waggle_hub.journal.serialization import commits_with
from waggle_hub.state.persistence.records import Record, StoredState, WriteBatch
from waggle_hub.state.store.entry import Entry

from . import rows
from .schema import MIGRATIONS, Migration, begun, check, check_tables, identify, reading, writing
from .wal_check import index_of, log_of

_ROWS_PER_STATEMENT = 1_024
"""Rows of one statement."""

_REASONS = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_IOERR: "the disk reports an error, or the limit on the size of a file is reached",
    sqlite3.SQLITE_READONLY: "it is read-only",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
    sqlite3.SQLITE_BUSY: "another program has locked it",
}
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)


class SqliteStore:
    """All data in one database, and the two files that SQLite keeps beside it while it is open."""

    def __init__(self, path: Path, migrations: Sequence[Migration] = MIGRATIONS) -> None:
        self.path = path
        self._migrations = migrations
        self._files = Files()
        self._db: sqlite3.Connection | None = None
        self._places: Places | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def load(self, progress: Callable[[int, int], None]) -> StoredState | None:
        with _explained(self.path, "read"):
            if not begun(self.path):
                return None
            with reading(self.path) as db:
                found = identify(db, self.path, len(self._migrations))
                check(db, self.path)
            if found == 0:
                return None
            if found < len(self._migrations):
                self._open()
            with reading(self.path) as db:
                check_tables(db, self.path, self._migrations)
                return _kept(db, progress)

    def records(self) -> list[Record]:
        with _explained(self.path, "read"):
            return rows.read_records(self._open())

    def write(self, changes: WriteBatch) -> None:
        with _explained(self.path, "written"):
            db = self._open()
            try:
                _put(db, rows.rows_of(changes))
            except BaseException:
                with suppress(sqlite3.Error):
                    if db.in_transaction:
                        db.execute("ROLLBACK")
                    self._touch(db)
                raise

    def check_place(self) -> None:
        if self._places is not None:
            with explained(self.path, "used"):
                self._places.check()

    def probe(self) -> None:
        self.check_place()
        with _explained(self.path, "written"):
            probe(self._files, self.path.parent)
            self._touch(self._open())

    def backup(self, path: Path) -> None:
        prepared = partial(path)
        with _explained(path, "written"):
            try:
                self._files.close(self._files.create(prepared))
                with reading(self.path) as db:
                    db.execute("VACUUM INTO ?", (str(prepared),))
                self._verify(prepared)
                sync_path(self._files, prepared)
                settle(self._files, prepared, path)
            except BaseException:
                forget(self._files, prepared)
                raise

    def close(self) -> None:
        db, self._db, self._places = self._db, None, None
        if db is not None:
            db.close()  # which copies everything from the log to its place

    def _open(self) -> sqlite3.Connection:
        """Return the connection that writes."""
        if self._db is None:
            if not begun(self.path):
                self._files.close(self._files.create(self.path))  # for nobody else to read, nor the two beside it
            self._db = writing(self.path, self._migrations)
            rows.prepare(self._db)
            self._places = Places(self._files, self.path.parent, self.path, log_of(self.path), index_of(self.path))
        return self._db

    def _touch(self, db: sqlite3.Connection) -> None:
        """Commit the smallest of transactions, which changes nothing."""
        db.execute(f"PRAGMA user_version = {len(self._migrations)}")

    def _verify(self, path: Path) -> None:
        with reading(path) as db:
            identify(db, path, len(self._migrations))
            check(db, path)
            check_tables(db, path, self._migrations)
            rows.read_earlier(db)
            rows.read_commits(db)
            rows.read_records(db)
            deque(rows.read_entries(db, {}), maxlen=0)


def _put(db: sqlite3.Connection, changes: Iterator[rows.Row]) -> None:
    some = list(islice(changes, _ROWS_PER_STATEMENT))
    if len(some) < _ROWS_PER_STATEMENT:
        if some:
            rows.put(db, some)
        return
    db.execute("BEGIN IMMEDIATE")
    while some:
        rows.put(db, some)
        some = list(islice(changes, _ROWS_PER_STATEMENT))
    db.execute("COMMIT")


def _kept(db: sqlite3.Connection, progress: Callable[[int, int], None]) -> StoredState | None:
    (total,) = db.execute("SELECT count(*) FROM entries").fetchone()
    entries: list[Entry] = []
    for some in rows.read_entries(db, rows.read_earlier(db)):
        entries += some
        progress(len(entries), total)
    commits = commits_with(rows.read_commits(db), entries)
    records = rows.read_records(db)
    return StoredState(entries, commits, records) if entries or commits or records else None


@contextmanager
def _explained(path: Path, doing: str) -> Iterator[None]:
    """Turn an SQLite error of the block into a StoreError in plain words."""
    try:
        with explained(path, doing):
            yield
    except rows.Damaged as error:
        raise damaged(path, f"{error} does not match its checksum") from error
    except UnicodeDecodeError as error:  # in what SQLite says of a name
        raise damaged(path, str(error)) from error
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT if doing == "read" else 0) & 0xFF
        if code in _DAMAGED:
            raise damaged(path, str(error)) from error
        raise StoreError(f"{path} cannot be {doing}: {_REASONS.get(code, 'SQLite fails')} ({error})") from error
