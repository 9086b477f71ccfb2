"""The index: all memories in an SQLite database in memory, to count, filter, sort and search them quickly.

Rules:
1. It holds no truth: it is made from the hub's changes, and may be dropped at any time. Values in the namespace that
   are no memory are left out, and counted.
2. Nothing here waits for the hub or for anything else: it is called in a thread of its own, one call at a time.
3. A call takes few steps of SQLite, and rows go in and out many at once: each step releases the interpreter lock and
   must win it back from the event loop, up to 5 ms each time.
4. An order is total: by instant, then by id, and by priority before that where asked for. A place in it is a tuple
   of these values, which stays good whatever is written or deleted meanwhile.
5. It is bounded: of a long memory, only as much is kept and searched as is shown among others.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import cache
from itertools import chain, count
from typing import Any, Final, NamedTuple

import msgspec

from waggle.compat.mapping import SETTINGS, Memory, memory_of, most_memories, tags_of
from waggle.compat.shared_memory.memory_rows import RANKS, Order, Place, Shown, place_of, row_of
from waggle.wire.changefeed import Change, Slice
from waggle.wire.json import decode, encode

__all__ = ["MAX_DATABASE_PAGES", "Found", "Index", "Query", "Stats"]

MAX_DATABASE_PAGES: Final = 2**19
"""Pages of 4 KiB that the database may have: 2 GiB, about a million memories."""
_STATEMENT_ROWS: Final = 256
"""Rows in one statement."""
_PAGE_ROWS: Final = 128
"""Memories that are read for one page: more than a reply has room for."""
_MAX_NAME_CHARS: Final = 500
"""Characters of an agent or a tag that is counted by its name: longer ones are counted as others."""
_SCHEMA: Final = (
    """CREATE TABLE memories (n INTEGER PRIMARY KEY, id TEXT UNIQUE, at INTEGER, agent TEXT, rank INTEGER,
        words INTEGER, size INTEGER, rev INTEGER, chars INTEGER, text TEXT, folded TEXT, json TEXT)""",
    "CREATE INDEX by_instant ON memories (at, id)",
    "CREATE INDEX by_agent ON memories (agent, at)",
    "CREATE INDEX by_rank ON memories (rank, at)",
    "CREATE TABLE tags (tag TEXT, n INTEGER, PRIMARY KEY (tag, n)) WITHOUT ROWID",
    "CREATE INDEX tags_of ON tags (n)",
)
_ORDERS: Final[dict[Order, str]] = {
    "chronological": "at, id",
    "reverse": "at DESC, id DESC",
    "priority": "rank, at, id",
}
_memories = msgspec.json.Decoder(list[Shown]).decode


class Query(NamedTuple):
    """A filter: memories for which all given fields hold."""

    agent: str | None = None
    tags: tuple[str, ...] = ()
    priority: str | None = None
    text: str | None = None
    """Stands in the content, the name of the agent, or a tag."""
    case: bool = False
    """Whether its case counts."""


class Found(NamedTuple):
    """A page of matching memories, in order."""

    total: int
    """How many there are, limit or not."""
    left: int
    """How many there are from here on, the last of those that are wanted included."""
    memories: list[Shown]
    """The first of these."""
    last: Place | None
    """Where the last of all that are wanted stands, None if there is none."""


class Stats(NamedTuple):
    """The counts over all memories; of agents and tags the most frequent."""

    total: int
    words: int
    size: int
    priorities: dict[str, int]
    agents: list[tuple[str, int]]
    agents_in_all: int
    tags: list[tuple[str, int]]
    tags_in_all: int
    first: str | None
    """The timestamp of the oldest."""
    latest: str | None


class Index:
    """The index of all memories."""

    def __init__(self) -> None:
        self._db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode = OFF", "page_size = 4096", f"max_page_count = {MAX_DATABASE_PAGES}"):
            self._db.execute(f"PRAGMA {pragma}").fetchall()
        for part in _SCHEMA:
            self._db.execute(part)
        self._settings: bytes | None = None
        self._others: set[str] = set()
        self._numbers = count(1)

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    # --- what is told --------------------------------------------------------------------------------------------

    def put(self, slice: Slice) -> None:
        """Apply a slice of changes."""
        self._db.execute("BEGIN")
        if slice.anew:
            self._settings, self._others = None, set()
            self._db.execute("DELETE FROM memories")
            self._db.execute("DELETE FROM tags")
        latest = {change.key: change for change in slice.changes}
        before = "SELECT n FROM memories WHERE id IN (SELECT value FROM json_each(?))"
        for table in ("tags", "memories"):
            self._db.execute(f"DELETE FROM {table} WHERE n IN ({before})", (encode(list(latest)).decode(),))
        rows, tags = [], []
        for change in latest.values():
            memory = self._memory(change)
            if memory is not None:
                number = next(self._numbers)
                rows.append(row_of(number, change, memory))
                tags += [(tag, number) for tag in set(tags_of(memory.tags))]
        self._insert("memories", rows)
        self._insert("tags", tags)
        self._db.execute("COMMIT")

    def _memory(self, change: Change) -> Memory | None:
        """Return the memory of a change; None if there is none."""
        if change.key == SETTINGS:
            self._settings = None if change.value is None else bytes(change.value)
            return None
        memory = None if change.value is None else memory_of(change.key, change.value)
        if memory is None and change.value is not None:
            self._others.add(change.key)
        else:
            self._others.discard(change.key)
        return memory

    def _insert(self, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
        for first in range(0, len(rows), _STATEMENT_ROWS):
            some = rows[first : first + _STATEMENT_ROWS]
            self._db.execute(_into(table, len(some), len(some[0])), list(chain.from_iterable(some)))

    # --- what is asked -------------------------------------------------------------------------------------------

    @property
    def others(self) -> int:
        """Return the count of values in the namespace that are no memory, the settings left aside."""
        return len(self._others)

    @property
    def most(self) -> tuple[int, str | None]:
        """Return the limit on memories, and what is wrong with its setting, if something is."""
        return most_memories(self._settings)

    def total(self) -> int:
        """Return the count of memories."""
        return int(self._one("SELECT count(*) FROM memories"))

    def number(self, id: str) -> int | None:
        """Return the number of a memory in the order of time, 1 the oldest; None if it is not there."""
        at = "SELECT at, id FROM memories WHERE id = ?"
        found = self._one(f"SELECT count(*) FROM memories WHERE (at, id) <= ({at})", id)
        return int(found) or None

    def oldest(self, most: int) -> list[tuple[str, int]]:
        """Return so many of the oldest: id and revision."""
        rows = "SELECT json_array(id, rev) AS one FROM memories ORDER BY at, id LIMIT ?"
        return [(id, rev) for id, rev in self._all(rows, most)]

    def find(
        self,
        query: Query,
        order: Order,
        limit: int | None,
        room: int,
        *,
        after: Place | None = None,
        until: Place | None = None,
    ) -> Found:
        """Return matching memories: in chronological order the last ``limit`` of them, else the first. Of these as
        many as ``room`` characters of JSON hold, or one; ``after`` a place, if given, ``until`` another."""
        where, said = _where(query)
        total = left = self._count(where, said)
        first: Place | None = None
        if after is None:
            left = total if limit is None else min(total, limit)
            edge = self._at(where, said, "reverse" if order == "chronological" else order, left - 1, left < total)
            if order == "chronological":
                first, until = edge, self._at(where, said, "reverse", 0, left > 0)
            else:
                until = edge
        for place, within in ((first, ">="), (after, ">"), (until, "<=")):
            if place is not None:
                where += f" AND {_beside(order, within, len(place))}"
                said = (*said, *place)
        if after is not None:
            left = self._count(where, said)
        return Found(total, left, self._page(where, said, order, room) if left else [], until)

    def _count(self, where: str, said: tuple[Any, ...]) -> int:
        return int(self._one(f"SELECT count(*) FROM memories WHERE {where}", *said))

    def _at(self, where: str, said: tuple[Any, ...], order: Order, number: int, wanted: bool) -> Place | None:
        """Return the place of the memory that so many stand before, if wanted and there."""
        if not wanted:
            return None
        names = _ORDERS[order].replace(" DESC", "")
        rows = f"SELECT {names} FROM memories WHERE {where} ORDER BY {_ORDERS[order]} LIMIT 1 OFFSET ?"
        row = self._db.execute(rows, (*said, number)).fetchone()
        return None if row is None else tuple(row)

    def _page(self, where: str, said: tuple[Any, ...], order: Order, room: int) -> list[Shown]:
        """Return the first memories: as many as there is room for, or one."""
        by = _ORDERS[order]
        some = f"SELECT n, at, id, rank, chars FROM memories WHERE {where} ORDER BY {by} LIMIT {_PAGE_ROWS}"
        sized = f"SELECT n, chars, sum(chars) OVER (ORDER BY {by}) AS upto FROM ({some})"
        fit = f"SELECT n FROM ({sized}) WHERE upto <= ? OR upto = chars"
        text = self._one(f"SELECT group_concat(json) FROM memories WHERE n IN ({fit})", *said, room)
        memories = _memories(f"[{text or ''}]")
        return sorted(memories, key=lambda memory: place_of(memory, order), reverse=order == "reverse")

    def stats(self, most: int) -> Stats:
        """Return the counts; at most so many agents and tags."""
        ranks = dict(self._all("SELECT json_array(rank, count(*)) AS one FROM memories GROUP BY rank"))
        sums = "SELECT json_array(count(*), coalesce(sum(words), 0), coalesce(sum(size), 0)) FROM memories"
        total, words, size = decode(self._one(sums))
        orders: tuple[Order, Order] = ("chronological", "reverse")
        ends = [self._page("1", (), order, 1)[0].timestamp if total else None for order in orders]
        return Stats(
            total,
            words,
            size,
            {name: ranks.get(RANKS[name], 0) for name in ("low", "medium", "high")},
            self._frequent("memories", "agent", most),
            int(self._one("SELECT count(DISTINCT agent) FROM memories")),
            self._frequent("tags", "tag", most),
            int(self._one("SELECT count(DISTINCT tag) FROM tags")),
            *ends,
        )

    def _frequent(self, table: str, name: str, most: int) -> list[tuple[str, int]]:
        counted = f"SELECT json_array({name}, count(*)) AS one FROM {table}"
        rows = f"{counted} WHERE length({name}) <= {_MAX_NAME_CHARS} GROUP BY {name}"
        return [(one, often) for one, often in self._all(f"{rows} ORDER BY count(*) DESC, {name} LIMIT ?", most)]

    def _one(self, statement: str, *said: Any) -> Any:
        return self._db.execute(statement, said).fetchone()[0]

    def _all(self, statement: str, *said: Any) -> list[list[Any]]:
        """Return the rows of a statement in one step, each of them JSON under one name."""
        text = self._one(f"SELECT group_concat(one) FROM ({statement})", *said)
        rows: list[list[Any]] = decode(f"[{text or ''}]")
        return rows


def _where(query: Query) -> tuple[str, tuple[Any, ...]]:
    """Return a query as an SQL condition, and its parameters."""
    parts: list[tuple[str, Any]] = []
    if query.agent is not None:
        parts.append(("agent = ?", query.agent))
    if query.priority is not None:
        parts.append(("rank = ?", RANKS[query.priority]))
    parts += [("n IN (SELECT n FROM tags WHERE tag = ?)", tag) for tag in query.tags]
    if query.text is not None:
        parts.append(("instr(text, ?)", query.text) if query.case else ("instr(folded, ?)", query.text.casefold()))
    return " AND ".join(part for part, _ in parts) or "1", tuple(said for _, said in parts)


def _beside(order: Order, within: str, length: int) -> str:
    """Return the SQL condition that a place stands on this side of another in an order."""
    if order == "reverse":
        within = within.replace(">", "\0").replace("<", ">").replace("\0", "<")
    names = _ORDERS[order].replace(" DESC", "")
    return f"({names}) {within} ({_marks(length)})"


@cache
def _into(table: str, rows: int, columns: int) -> str:
    return f"INSERT INTO {table} VALUES {', '.join([f'({_marks(columns)})'] * rows)}"


def _marks(count: int) -> str:
    return ", ".join(["?"] * count)
