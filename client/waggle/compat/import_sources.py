"""Files of earlier systems, as `import --from` reads them. What becomes of an entry is in `waggle.compat.mapping`.

Files are only read. A database is read as it is when it is opened, whatever is written to it meanwhile.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO

from waggle.cli.transfer.entry_file import FILE_ERRORS, LocatedEntry, ReadEntries
from waggle.compat import mapping
from waggle.wire.errors import BadRequest

__all__ = ["ImportSource", "from_database", "from_json"]

_COLUMNS = ("key", "value", "namespace", "metadata", "expires_at")
_ROWS = f"SELECT {', '.join(_COLUMNS)} FROM memory_entries ORDER BY id"


class ImportSource(StrEnum):
    """An earlier system whose files can be imported."""

    export = "export"
    shared_memory = "shared-memory"
    hive_mind = "hive-mind"
    claude_flow = "claude-flow"


def from_json(seed: ImportSource, file: BinaryIO) -> ReadEntries:
    """Return the entries of a file that is one JSON document. Raises BadRequest."""
    try:
        document = json.load(file)
    except (ValueError, RecursionError) as fault:
        raise BadRequest(f"it is no JSON: {fault}") from None
    lines = _memories(document) if seed is ImportSource.shared_memory else _hive(document)
    return lambda: iter(lines)


@contextmanager
def from_database(path: str) -> Iterator[ReadEntries]:
    """Return the rows of a store in SQLite. Raises BadRequest."""
    try:
        with closing(sqlite3.connect(_uri(Path(path)), uri=True, isolation_level=None)) as db:
            db.text_factory = bytes  # what is no UTF-8 is told as that of its row
            db.execute("BEGIN")
            columns = {_text(column[1]) for column in db.execute("PRAGMA table_info(memory_entries)")}
            if missing := set(_COLUMNS) - columns:
                raise BadRequest(f"it has no table memory_entries with the columns {', '.join(sorted(missing))}")
            yield lambda: _rows(db)
    except sqlite3.Error as error:
        raise BadRequest(f"it cannot be read as an SQLite database: {error}") from None


def _uri(path: Path) -> str:
    """Return the URI by which SQLite opens the file. A closed database in WAL mode is opened as immutable: else
    SQLite would have to write beside it, and leave two files there."""
    with path.open("rb") as file:
        in_wal_mode = file.read(20)[18:] == b"\2\2"
    alone = in_wal_mode and not path.with_name(f"{path.name}-wal").exists()
    return f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if alone else ''}"


def _memories(document: Any) -> list[LocatedEntry]:
    """Return the list of entries: version 1 is a list, version 2 an object that has one."""
    entries = document.get("entries") if isinstance(document, dict) else document
    if not isinstance(entries, list):
        raise BadRequest("it has no list of entries")
    return [_found(f"entry {number}", mapping.memory_line, record) for number, record in enumerate(entries, 1)]


def _hive(document: Any) -> list[LocatedEntry]:
    entries = document.get("entries") if isinstance(document, dict) else None
    metadata = document.get("metadata") if isinstance(document, dict) else None
    if not isinstance(entries, dict) or not isinstance(metadata, dict):
        raise BadRequest("it has no objects entries and metadata")
    return [
        _found(f"entry {key!r}", mapping.hive_line, key, value, metadata.get(key)) for key, value in entries.items()
    ]


def _rows(db: sqlite3.Connection) -> Iterator[LocatedEntry]:
    for number, row in enumerate(db.execute(_ROWS), 1):
        yield _found(f"row {number}", lambda *cells: mapping.flow_line(*map(_text, cells)), *row)


def _text(cell: Any) -> Any:
    return cell.decode() if isinstance(cell, bytes) else cell


def _found(where: str, line_of: Any, *parts: Any) -> LocatedEntry:
    try:
        return where, line_of(*parts)
    except FILE_ERRORS as fault:
        return where, fault
