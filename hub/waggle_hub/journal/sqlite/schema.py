"""The database of the SQLite store: its tables and formats, how it is opened, and how damage is found.

Rules:
1. A file is read through a connection that cannot write, until it is known to be ours, whole, and of a format that
   this hub knows. Another file is not touched.
2. A new file is one of format 0; each migration makes the next format of it, in one transaction.
3. SQLite finds pages and trees that do not fit together (`integrity_check`). It does not find a changed byte in a
   row, so each row has a checksum (`rows`), nor a log that breaks off early (`wal_check`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from waggle_hub.journal.files import damaged, foreign, newer

from .wal_check import log_of, rot_in

Migration = Callable[[sqlite3.Connection], None]

_MAGIC = b"SQLite format 3\0"
_APPLICATION = 0x57414747
"""WAGG: says in the file's header whose it is (`PRAGMA application_id`)."""

_ENTRY_COLUMNS = """
    ns TEXT NOT NULL,
    key TEXT NOT NULL,
    rev INTEGER NOT NULL,
    version INTEGER NOT NULL,
    kind TEXT NOT NULL,
    created_at NOT NULL,  -- instants are Unix seconds
    updated_at NOT NULL,
    expires_at,
    by TEXT NOT NULL,
    meta TEXT,  -- JSON
    created_rev INTEGER NOT NULL,
    owner TEXT,  -- the session that an ephemeral entry is tied to
    value NOT NULL,  -- JSON text; if it is long, a zstd frame of that
    crc INTEGER NOT NULL
"""

_TABLES = (
    f"CREATE TABLE entries ({_ENTRY_COLUMNS}, PRIMARY KEY (ns, key)) WITHOUT ROWID",
    f"CREATE TABLE earlier ({_ENTRY_COLUMNS}, PRIMARY KEY (ns, key, version)) WITHOUT ROWID",
    """CREATE TABLE commits (
    rev INTEGER PRIMARY KEY,  -- of the last commit
    commits NOT NULL,  -- what one transaction added to the log: JSON text, or a zstd frame of that
    crc INTEGER NOT NULL
)""",
    """CREATE TABLE records (
    kind TEXT NOT NULL,
    name NOT NULL,  -- the parts of the name, numbers as numbers; '' for none
    rest NOT NULL,
    record TEXT NOT NULL,
    crc INTEGER NOT NULL,
    PRIMARY KEY (kind, name, rest)
) WITHOUT ROWID""",
)


def _create(db: sqlite3.Connection) -> None:
    for table in _TABLES:
        db.execute(table)


MIGRATIONS: tuple[Migration, ...] = (_create,)
"""The first makes format 1 of an empty file, each other the next format of the one before."""


def begun(path: Path) -> bool:
    """Return whether there is a database. Raises StoreError for another file, or if the database is gone and its
    log is not."""
    if path.exists() and path.stat().st_size:
        with path.open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                raise foreign(path)
        return True
    if log_of(path).exists() and log_of(path).stat().st_size:
        raise damaged(path, "it is missing or empty, and its log is not")
    return False


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a connection that changes nothing, not even when it is closed."""
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    try:
        db.execute("PRAGMA cell_size_check = ON")
        yield db
    finally:
        db.close()


def writing(path: Path, migrations: Sequence[Migration]) -> sqlite3.Connection:
    """Open the connection that writes, to a file of the newest format."""
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        found = identify(db, path, len(migrations))
        _prepare(db)
        if found < len(migrations):
            _migrate(db, found, migrations)
    except BaseException:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection) -> None:
    for pragma in (
        "page_size = 4096",  # as of file systems: a small change rewrites little
        "journal_mode = WAL",  # one sync for a transaction, and readers beside the writer
        "synchronous = FULL",  # each transaction is on disk when it ends
        "fullfsync = ON",  # on macOS only this goes through to the disk
        "wal_autocheckpoint = 1000",  # 4 MiB: copying it to its place holds up one write, by some 10 ms
        "journal_size_limit = 67108864",  # what one big transaction needed is given back
        "cache_size = -32768",  # 32 MiB: the inner pages of a million entries
        "temp_store = MEMORY",  # no other files
        "cell_size_check = ON",  # damage is found when a page is read, not when it is used
    ):
        db.execute(f"PRAGMA {pragma}").fetchall()


def _migrate(db: sqlite3.Connection, found: int, migrations: Sequence[Migration]) -> None:
    db.execute("BEGIN IMMEDIATE")
    try:
        for migration in migrations[found:]:
            migration(db)
        db.execute(f"PRAGMA application_id = {_APPLICATION}")
        db.execute(f"PRAGMA user_version = {len(migrations)}")
        db.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise


def identify(db: sqlite3.Connection, path: Path, newest: int) -> int:
    """Return the format of a file, 0 if it is empty. Raises StoreError if it is foreign, or newer than the newest
    known."""
    try:
        application = _number(db, "PRAGMA application_id")
        format = _number(db, "PRAGMA user_version")
        tables = _number(db, "SELECT count(*) FROM sqlite_schema")
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_NOTADB:
            raise
        raise foreign(path) from error
    if application == 0 and tables == 0:
        return 0
    if application != _APPLICATION:
        raise foreign(path)
    if not 0 < format <= newest:
        raise newer(path, format, newest)
    return format


def check(db: sqlite3.Connection, path: Path) -> None:
    """Raise StoreError unless pages, trees and log are whole. Takes 0.3 s for a million small entries."""
    db.execute("BEGIN")  # keeps the index of the log for the look at it
    (wrong, *_), *_ = db.execute("PRAGMA integrity_check(1)").fetchall()
    if wrong != "ok":
        raise damaged(path, wrong)
    if rot := rot_in(path, _number(db, "PRAGMA page_size")):
        raise damaged(log_of(path), rot)
    db.execute("COMMIT")


def check_tables(db: sqlite3.Connection, path: Path, migrations: Sequence[Migration]) -> None:
    """Raise StoreError unless the tables are those of the newest format."""
    with sqlite3.connect(":memory:") as blank:
        for migration in migrations:
            migration(blank)
        expected = blank.execute("SELECT name, sql FROM sqlite_schema").fetchall()
    blank.close()
    found = dict(db.execute("SELECT name, sql FROM sqlite_schema"))
    for name, sql in expected:
        if found.get(name) != sql:
            raise damaged(path, f"the table {name} is not what it should be")


def _number(db: sqlite3.Connection, query: str) -> int:
    (number,) = db.execute(query).fetchone()
    assert isinstance(number, int)
    return number
