"""The index: all memories in an SQLite database in memory, to be counted, filtered, sorted and searched quickly.

Rules:
1. It keeps no truth: it is made from what the hub tells, and may be dropped at any time. What stands in the namespace
   and is no memory is left out, and counted as that.
2. Nothing here waits for the hub, nor for anybody: it is called in a thread of its own, one call at a time.
3. A call takes few steps of SQLite, and rows go in and out many at once: each step lets go of the interpreter and must
   win it back from the event loop, up to 5 ms each time.
4. An order is total: by instant, then by id, and by priority before that where it is asked for. A place in it is a
   tuple of these numbers and names, which stays good whatever is written or deleted meanwhile.
5. It is bounded: of a memory that is long, so much is kept as is shown among others, and looked through.
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

__all__ = ["PAGES", "Found", "Index", "Query", "Stats"]

PAGES: Final = 2**19
"""Pages of 4 KiB that the database may have: 2 GiB, about a million memories."""
_STATEMENT: Final = 256
"""Rows in one statement."""
_PAGE: Final = 128
"""Memories that are read for one page: more than a reply has room for."""
_NAME: Final = 500
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
_plain = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class Query(NamedTuple):
    """Which memories: all that all of this holds for."""

    agent: str | None = None
    tags: tuple[str, ...] = ()
    priority: str | None = None
    text: str | None = None
    """Stands in the content, the name of the agent, or a tag."""
    case: bool = False
    """Whether its case counts."""


class Found(NamedTuple):
    """Some of the memories that were asked for, in order."""

    total: int
    """How many there are, limit or not."""
    left: int
    """How many there are from here on, the last of those that are wanted included."""
    memories: list[Shown]
    """The first of these."""
    last: Place | None
    """Where the last of all that are wanted stands, None if there is none."""


class Stats(NamedTuple):
    """What is counted over all memories; of agents and tags the most frequent."""

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
    """All of them."""

    def __init__(self) -> None:
        self._db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode = OFF", "page_size = 4096", f"max_page_count = {PAGES}"):
            self._db.execute(f"PRAGMA {pragma}").fetchall()
        for part in _SCHEMA:
            self._db.execute(part)
        self._settings: bytes | None = None
        self._others: set[str] = set()
        self._numbers = count(1)

    def close(self) -> None:
        """There is no index any more."""
        self._db.close()

    # --- what is told --------------------------------------------------------------------------------------------

    def put(self, slice: Slice) -> None:
        """Know this, too."""
        self._db.execute("BEGIN")
        if slice.anew:
            self._settings, self._others = None, set()
            self._db.execute("DELETE FROM memories")
            self._db.execute("DELETE FROM tags")
        latest = {change.key: change for change in slice.changes}
        before = "SELECT n FROM memories WHERE id IN (SELECT value FROM json_each(?))"
        for table in ("tags", "memories"):
            self._db.execute(f"DELETE FROM {table} WHERE n IN ({before})", (_encode(list(latest)).decode(),))
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
        """The memory that is there now; None if there is none."""
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
        for first in range(0, len(rows), _STATEMENT):
            some = rows[first : first + _STATEMENT]
            self._db.execute(_into(table, len(some), len(some[0])), list(chain.from_iterable(some)))

    # --- what is asked -------------------------------------------------------------------------------------------

    @property
    def others(self) -> int:
        """How many values in the namespace are no memory, the settings left aside."""
        return len(self._others)

    @property
    def most(self) -> tuple[int, str | None]:
        """How many memories there may be, and what is wrong with the setting, if something is."""
        return most_memories(self._settings)

    def total(self) -> int:
        """How many memories there are."""
        return int(self._one("SELECT count(*) FROM memories"))

    def number(self, id: str) -> int | None:
        """Which one it is in the order of time, 1 the oldest; None if there is none."""
        at = "SELECT at, id FROM memories WHERE id = ?"
        found = self._one(f"SELECT count(*) FROM memories WHERE (at, id) <= ({at})", id)
        return int(found) or None

    def oldest(self, most: int) -> list[tuple[str, int]]:
        """So many of the oldest: id and revision."""
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
        """The memories that are asked for: in chronological order the last ``limit`` of them, else the first. Of these
        as many as ``room`` characters of JSON hold, or one; ``after`` a place, if there is one, ``until`` another."""
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
        """The place of the one that so many stand before, if that is wanted and there is one."""
        if not wanted:
            return None
        names = _ORDERS[order].replace(" DESC", "")
        rows = f"SELECT {names} FROM memories WHERE {where} ORDER BY {_ORDERS[order]} LIMIT 1 OFFSET ?"
        row = self._db.execute(rows, (*said, number)).fetchone()
        return None if row is None else tuple(row)

    def _page(self, where: str, said: tuple[Any, ...], order: Order, room: int) -> list[Shown]:
        """The first of them: as many as there is room for, or one."""
        by = _ORDERS[order]
        some = f"SELECT n, at, id, rank, chars FROM memories WHERE {where} ORDER BY {by} LIMIT {_PAGE}"
        sized = f"SELECT n, chars, sum(chars) OVER (ORDER BY {by}) AS upto FROM ({some})"
        fit = f"SELECT n FROM ({sized}) WHERE upto <= ? OR upto = chars"
        text = self._one(f"SELECT group_concat(json) FROM memories WHERE n IN ({fit})", *said, room)
        memories = _memories(f"[{text or ''}]")
        return sorted(memories, key=lambda memory: place_of(memory, order), reverse=order == "reverse")

    def stats(self, most: int) -> Stats:
        """What is counted; at most so many agents and tags."""
        ranks = dict(self._all("SELECT json_array(rank, count(*)) AS one FROM memories GROUP BY rank"))
        sums = "SELECT json_array(count(*), coalesce(sum(words), 0), coalesce(sum(size), 0)) FROM memories"
        total, words, size = _plain(self._one(sums))
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
        rows = (
            f"SELECT json_array({name}, count(*)) AS one FROM {table} WHERE length({name}) <= {_NAME} GROUP BY {name}"
        )
        return [(one, often) for one, often in self._all(f"{rows} ORDER BY count(*) DESC, {name} LIMIT ?", most)]

    def _one(self, statement: str, *said: Any) -> Any:
        return self._db.execute(statement, said).fetchone()[0]

    def _all(self, statement: str, *said: Any) -> list[list[Any]]:
        """The rows of a statement, each of them JSON under the name of one, in one step."""
        text = self._one(f"SELECT group_concat(one) FROM ({statement})", *said)
        rows: list[list[Any]] = _plain(f"[{text or ''}]")
        return rows


def _where(query: Query) -> tuple[str, tuple[Any, ...]]:
    """A query as a condition, and what is said in it."""
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
    """That a place stands on this side of another in an order."""
    if order == "reverse":
        within = within.replace(">", "\0").replace("<", ">").replace("\0", "<")
    names = _ORDERS[order].replace(" DESC", "")
    return f"({names}) {within} ({_marks(length)})"


@cache
def _into(table: str, rows: int, columns: int) -> str:
    return f"INSERT INTO {table} VALUES {', '.join([f'({_marks(columns)})'] * rows)}"


def _marks(count: int) -> str:
    return ", ".join(["?"] * count)
