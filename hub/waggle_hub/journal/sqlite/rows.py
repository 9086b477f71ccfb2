"""Rows of the SQLite store: entries, commits and records in its tables.

Rules:
1. All changes of a transaction are rows of one view, `change`, whose triggers apply each. So a transaction is one
   statement. Each step of a statement releases the interpreter lock and must win it back from the event loop, up to
   5 ms each time: a step for each row took 400 ms for 192 rows beside a busy loop, one step for all takes 7.
2. Each row has a CRC32 of its table and of what is stored of it, verified whenever it is read.
3. Long texts are compressed, if that helps. JSON never begins like a zstd frame, so compressed text can be told
   apart.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from functools import cache
from itertools import chain, islice, repeat
from zlib import crc32

import msgspec
import zstandard

from waggle_hub.journal.serialization import KeptCommit, decoder, encode, kept_commit
from waggle_hub.state.persistence.records import KINDS, EntryId, Key, Record, WriteBatch
from waggle_hub.state.store.entry import Entry

_COMPRESS_FROM_BYTES = 4096
"""Bytes of a text that is compressed: a page. Shorter ones would save little."""
_COMPRESSION_LEVEL = 3
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_SEEDS = {table: crc32(table.encode()) for table in ("entries", "earlier", "commits", "records")}
"""With what the checksums of a table begin: so a page that ended up in another does not match."""
_ROWS_PER_READ = 10_000
"""Entries that are read at a time."""

Row = tuple[object, ...]
"""A row of `change`: what is to be done, and with what."""


_pack = msgspec.msgpack.Encoder().encode
_decode_commits = decoder(list[KeptCommit]).decode
_decode_record = {kind: decoder(record).decode for kind, record in KINDS.items()}


class Damaged(Exception):
    """A row whose content is not what was written."""


# --- writing -----------------------------------------------------------------------------------------------------

_ENTRY = "(new.a, new.b, new.c, new.d, new.e, new.f, new.g, new.h, new.i, new.j, new.k, new.l, new.m, new.n)"
_EFFECTS = (
    f"INSERT OR REPLACE INTO entries VALUES {_ENTRY}",
    "DELETE FROM entries WHERE ns = new.a AND key = new.b",
    f"INSERT OR REPLACE INTO earlier VALUES {_ENTRY}",
    "DELETE FROM earlier WHERE ns = new.a AND key = new.b AND version = new.c",
    "INSERT OR REPLACE INTO records VALUES (new.a, new.b, new.c, new.d, new.e)",
    "DELETE FROM records WHERE kind = new.a AND name = new.b AND rest = new.c",
    "INSERT INTO commits VALUES (new.a, new.b, new.c)",
    "DELETE FROM commits WHERE rev <= new.a",
)
_PUT_ENTRY, _DROP_ENTRY, _PUT_EARLIER, _DROP_EARLIER, _PUT_RECORD, _DROP_RECORD, _ADD_COMMITS, _CUT, _NOTHING = range(9)
_COLUMNS = "what", *"abcdefghijklmn"
_NULLS: Row = (None,) * len(_COLUMNS)


def prepare(db: sqlite3.Connection) -> None:
    """Create the view `change` on this connection."""
    db.execute(f"CREATE TEMP VIEW change AS SELECT {', '.join(f'0 AS {column}' for column in _COLUMNS)}")
    for what, effect in enumerate(_EFFECTS):
        db.execute(
            f"CREATE TEMP TRIGGER effect_{what} INSTEAD OF INSERT ON change WHEN new.what = {what} BEGIN {effect}; END"
        )


def put(db: sqlite3.Connection, rows: list[Row]) -> None:
    """Apply rows, in one step. SQLite keeps a statement for each power of two."""
    size = 1 << max(len(rows) - 1, 7).bit_length()
    filled = chain(rows, repeat(_row(_NOTHING), size - len(rows)))
    db.execute(_insert(size), list(chain.from_iterable(filled)))


@cache
def _insert(rows: int) -> str:
    marks = f"({', '.join('?' * len(_COLUMNS))})"
    return f"INSERT INTO change VALUES {', '.join([marks] * rows)}"


def rows_of(changes: WriteBatch) -> Iterator[Row]:
    """Return the rows that apply these changes."""
    for place, entry in changes.entries.items():
        yield _row(_DROP_ENTRY, *place) if entry is None else (_PUT_ENTRY, *_entry_row("entries", entry))
    for name, entry in changes.earlier.items():
        yield _row(_DROP_EARLIER, *name) if entry is None else (_PUT_EARLIER, *_entry_row("earlier", entry))
    for key, record in changes.records.items():
        yield _row(_DROP_RECORD, *_name(key)) if record is None else _record_row(key, record)
    commits = [kept for commit in changes.commits if (kept := kept_commit(commit)) is not None]
    if commits:
        text = _packed(encode(commits))
        rev = commits[-1].rev
        yield _row(_ADD_COMMITS, rev, _stored(text), _crc("commits", (rev,), text))
    if changes.floor:
        yield _row(_CUT, changes.floor)


def _row(*values: object) -> Row:
    return values + _NULLS[len(values) :]


def _entry_row(table: str, entry: Entry) -> Row:
    meta = None if entry.meta is None else entry.meta.decode()
    facts = (
        entry.ns, entry.key, entry.rev, entry.version, entry.kind, entry.created_at, entry.updated_at,
        entry.expires_at, entry.by, meta, entry.created_rev, entry.owner,
    )  # fmt: skip
    text = _packed(entry.value)
    return (*facts, _stored(text), _crc(table, facts, text))


def _record_row(key: Key, record: Record) -> Row:
    name = _name(key)
    text = encode(record)
    return _row(_PUT_RECORD, *name, text.decode(), _crc("records", name, text))


def _name(key: Key) -> Row:
    """Return a record's kind and the two parts of its name. Numbers stay numbers, so that the newest come last."""
    return (*key, "", "")[:3]


def _packed(text: bytes) -> bytes:
    if len(text) < _COMPRESS_FROM_BYTES:
        return text
    return min(text, zstandard.compress(text, _COMPRESSION_LEVEL), key=len)


def _stored(text: bytes) -> str | bytes:
    """Return text for SQLite where possible, for people who look into the file, and compressed bytes else."""
    return text if text.startswith(_ZSTD_MAGIC) else text.decode()


def _crc(table: str, facts: Row, text: bytes) -> int:
    return crc32(text, crc32(_pack(facts), _SEEDS[table]))


# --- reading -----------------------------------------------------------------------------------------------------

_SELECT = """
    SELECT ns, key, rev, version, kind, created_at, updated_at, expires_at, by, meta, created_rev, owner,
           CAST(value AS BLOB), crc
    FROM"""

Earlier = dict[EntryId, tuple[Entry, ...]]
"""Earlier versions of versioned entries, newest first."""


def read_earlier(db: sqlite3.Connection) -> Earlier:
    """Return all earlier versions. Raises Damaged."""
    earlier: Earlier = {}
    for entry in chain.from_iterable(_entries(db, "earlier", "ORDER BY ns, key, version DESC", {})):
        place = (entry.ns, entry.key)
        earlier[place] = (*earlier.get(place, ()), entry)
    return earlier


def read_entries(db: sqlite3.Connection, earlier: Earlier) -> Iterator[list[Entry]]:
    """Yield all entries in order, some at a time. Raises Damaged."""
    return _entries(db, "entries", "ORDER BY ns, key", earlier)


def _entries(db: sqlite3.Connection, table: str, order: str, earlier: Earlier) -> Iterator[list[Entry]]:
    """Yield the entries of a table. A start spends its time here: 2.5 us for each entry."""
    rows = db.execute(f"{_SELECT} {table} {order}")
    seed = _SEEDS[table]
    common: dict[str, str] = {}
    share = common.setdefault  # what many entries have in common is there once
    before = earlier.get
    while True:
        entries: list[Entry] = []
        add = entries.append
        for ns, key, rev, version, kind, created, updated, expires, by, meta, born, owner, text, crc in islice(
            rows, _ROWS_PER_READ
        ):
            facts = (ns, key, rev, version, kind, created, updated, expires, by, meta, born, owner)
            if crc32(text, crc32(_pack(facts), seed)) != crc:
                raise Damaged(f"the entry {key!r} in namespace {ns}")
            add(
                Entry(
                    key, share(ns, ns), text if text[:4] != _ZSTD_MAGIC else _text(text), rev, version,
                    share(kind, kind), created, updated, expires, share(by, by),
                    None if meta is None else meta.encode(), born, before((ns, key), ()), owner,
                )
            )  # fmt: skip
        if not entries:
            return
        yield entries


def read_commits(db: sqlite3.Connection) -> list[KeptCommit]:
    """Yield the kept commits, oldest first. Raises Damaged."""
    commits: list[KeptCommit] = []
    for rev, text, crc in db.execute("SELECT rev, CAST(commits AS BLOB), crc FROM commits ORDER BY rev"):
        if _crc("commits", (rev,), text) != crc:
            raise Damaged(f"the commits up to revision {rev}")
        commits += _decode_commits(_text(text))
    return commits


def read_records(db: sqlite3.Connection) -> list[Record]:
    """Yield all records. Raises Damaged."""
    records: list[Record] = []
    for kind, name, rest, text, crc in db.execute("SELECT kind, name, rest, CAST(record AS BLOB), crc FROM records"):
        if _crc("records", (kind, name, rest), text) != crc:
            raise Damaged(f"the record {kind} {name} {rest}")
        records.append(_decode_record[kind](text))
    return records


def _text(stored: bytes) -> bytes:
    return zstandard.decompress(stored) if stored.startswith(_ZSTD_MAGIC) else stored
