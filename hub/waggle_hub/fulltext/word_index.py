"""The word index: the words of all entries, in an SQLite database of its own (FTS5).

Rules:
1. It can be built anew from the entries at any time, and is never kept: it is in memory, or in a file without a
   name, so that nothing of it is left however the hub ends.
2. The words of an entry are those of its key, and of all text in its value and its meta, names of members included.
   Numbers, true, false and null are no words. A word is a run of letters and digits, without case and accents.
3. The namespace is a word, too, in a column of its own: entries of other namespaces cost a search nothing.
4. Changes are applied by the triggers of a view, many in one statement, for the reason given in
   `journal.sqlite.rows`.
5. The text of a search is never read as a query: each word is quoted.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Sequence
from functools import cache
from itertools import chain, repeat
from pathlib import Path
from typing import Final

from waggle.wire.patterns import Pattern
from waggle_hub.state.effects import Word
from waggle_hub.state.store.entry import Entry

Change = tuple[str, str, Entry | None]
"""Namespace, key, and the entry that is there now."""
ScoredKey = tuple[str, float]
"""A key that was found, and its score."""

_TOKENIZER: Final = "unicode61 remove_diacritics 2"
_KEY_WEIGHT: Final = 4.0
"""A word in the key says more of an entry than one in its value."""
_ROWS_PER_STATEMENT: Final = 1_024
"""Changes in one statement: SQLite takes 32,766 values."""
_STEPS_BETWEEN_CHECKS: Final = 200_000
"""Steps of SQLite between two looks at the clock: a few milliseconds."""
_ROWS_PER_READ: Final = 500
"""Rows that are read at a time."""

_SCHEMA = (
    "CREATE TABLE entries (id INTEGER PRIMARY KEY, ns TEXT, key TEXT, text TEXT, UNIQUE (ns, key))",
    f"""CREATE VIRTUAL TABLE words USING fts5
        (ns, key, text, content = 'entries', content_rowid = 'id', tokenize = '{_TOKENIZER}')""",
    "CREATE VIEW change AS SELECT '' AS ns, '' AS key, '' AS text",
    """CREATE TRIGGER put INSTEAD OF INSERT ON change WHEN new.ns IS NOT NULL BEGIN
        INSERT INTO words (words, rowid, ns, key, text)
            SELECT 'delete', id, ns, key, text FROM entries WHERE ns = new.ns AND key = new.key;
        DELETE FROM entries WHERE ns = new.ns AND key = new.key;
        INSERT INTO entries (ns, key, text) SELECT new.ns, new.key, new.text WHERE new.text IS NOT NULL;
        INSERT INTO words (rowid, ns, key, text)
            SELECT id, ns, key, text FROM entries WHERE ns = new.ns AND key = new.key;
    END""",
)
_FIND = f"""
    SELECT key, -score FROM
        (SELECT rowid AS id, bm25(words, 0.0, {_KEY_WEIGHT}, 1.0) AS score
            FROM words WHERE words MATCH ? ORDER BY score, id LIMIT ?)
        CROSS JOIN entries USING (id)
"""

_string = re.compile(rb'"([^"\\]*(?:\\.[^"\\]*)*)"?').findall
_escape = re.compile(rb"\\(?:u[0-9a-fA-F]{4}|.)").sub


class TooSlow(Exception):
    """A search whose words stand in too many entries to be ranked in time."""


class Words:
    """The index. `path` is where its file is made, None for memory; `most` is how many bytes of a value are read,
    and `seconds` how long a search may take. Raises sqlite3.Error, after which the index is useless."""

    def __init__(self, path: Path | None, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self._until = 0.0
        if path is not None:
            path.unlink(missing_ok=True)
        self._db = sqlite3.connect(":memory:" if path is None else path, isolation_level=None, check_same_thread=False)
        try:
            for pragma in ("journal_mode = OFF", "synchronous = OFF", "temp_store = MEMORY", "cache_size = -16384"):
                self._db.execute(f"PRAGMA {pragma}").fetchall()
            for part in _SCHEMA:
                self._db.execute(part)
        except BaseException:
            self._db.close()
            raise
        finally:
            if path is not None:
                path.unlink(missing_ok=True)

    def put(self, changes: Sequence[Change]) -> None:
        """Apply changes, in this order."""
        if not changes:
            return
        self._db.execute("BEGIN")
        for first in range(0, len(changes), _ROWS_PER_STATEMENT):
            rows = [self._row(*change) for change in changes[first : first + _ROWS_PER_STATEMENT]]
            size = 1 << max(len(rows) - 1, 7).bit_length()
            filled = chain(rows, repeat((None, None, None), size - len(rows)))
            self._db.execute(_insert(size), list(chain.from_iterable(filled)))
        self._db.execute("COMMIT")

    def find(self, ns: str, pattern: Pattern, words: Sequence[Word], most: int) -> list[ScoredKey]:
        """Return the keys of a namespace with all of these words, the best first, at most so many. Raises TooSlow."""
        everything = pattern.only_prefix and not pattern.prefix
        self._until = time.monotonic() + self._seconds
        self._db.set_progress_handler(lambda: time.monotonic() > self._until, _STEPS_BETWEEN_CHECKS)
        found: list[ScoredKey] = []
        try:
            rows = self._db.execute(_FIND, (_query(ns, words), most if everything else -1))
            while len(found) < most and (some := rows.fetchmany(_ROWS_PER_READ)):
                found += [place for place in some if everything or pattern.match(place[0])]
                if time.monotonic() > self._until:
                    raise TooSlow
            rows.close()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                raise TooSlow from None
            raise
        finally:
            self._db.set_progress_handler(None, 0)
        return found[:most]

    def interrupt(self) -> None:
        """Interrupt the present call, from another thread."""
        self._db.interrupt()

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def _row(self, ns: str, key: str, entry: Entry | None) -> tuple[str, str, str | None]:
        return _token(ns), key, None if entry is None else text_of(entry, self._most)


def text_of(entry: Entry, most: int) -> str:
    """Return all text in the value and the meta of an entry; of each, the text in its first `most` bytes."""
    parts = _string(entry.value[:most])
    if entry.meta is not None:
        parts += _string(entry.meta[:most])
    text = b" ".join(parts)
    if b"\\" in text:  # quotes, backslashes and control characters: between words, all of them
        text = _escape(b" ", text)
    return text.decode(errors="ignore")


def _query(ns: str, words: Sequence[Word]) -> str:
    wanted = " ".join('"' + word.text.replace('"', '""') + '"' + ("*" if word.open else "") for word in words)
    return f'ns : "{_token(ns)}" AND {{key text}} : ({wanted})'


def _token(ns: str) -> str:
    """Return a namespace as one word, its case kept."""
    return ns.encode().hex()


@cache
def _insert(rows: int) -> str:
    return f"INSERT INTO change VALUES {', '.join(['(?, ?, ?)'] * rows)}"
