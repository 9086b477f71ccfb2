"""Memories as text: as JSON or as markdown, whole, and at most the original's 25,000 characters at a time.

Rules:
1. A reply has as many whole memories as there is room for, and a cursor that goes on behind the last. JSON is always
   JSON.
2. A memory that is too long for a reply by itself is shown without its metadata, and if need be with the beginning
   of its content only (`memory_index`); the reply says what is left out. `get_memory` reads it whole.
3. A cursor holds the place of the last memory shown, the place of the last one wanted, and the count shown: so
   memories written in between are never told twice, nor make the reader skip any. It is good for the same arguments
   only.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from typing import Annotated, Any, Final, NamedTuple
from zlib import crc32

import msgspec
from msgspec import Meta

from waggle.compat.mapping import Memory
from waggle.compat.shared_memory.memory_index import Found, Query, Stats
from waggle.compat.shared_memory.memory_rows import Order, Place, Shown, place_of
from waggle.compat.shared_memory.memory_schemas import MAX_QUERY_CHARS, Refused
from waggle.mcp.render import to_json

__all__ = [
    "MAX_REPLY_CHARS", "Asked", "asked", "entry_markdown", "on_a_line", "page_json", "page_markdown", "stats_markdown",
    "stats_shown",
]  # fmt: skip

MAX_REPLY_CHARS: Final = 25_000
"""Characters of a reply."""
MAX_NAMES_CHARS: Final = 6_000
"""Characters of the counts of agents, and of those of tags."""
_HEAD_CHARS: Final = 700
"""Characters of a cursor and what stands around it, at most."""

_Number = Annotated[int, Meta(ge=-(2**62), le=2**62)]
_Name = Annotated[str, Meta(max_length=300)]


class Cursor(NamedTuple):
    """The place where a page ended."""

    asked: _Number
    """A sum of the arguments."""
    after: list[_Number | _Name]
    until: list[_Number | _Name] | None
    shown: _Number


class Asked(NamedTuple):
    """A request for a page: the filter and the place where the page begins. ``mark`` is a checksum of the
    arguments."""

    query: Query
    order: Order
    limit: int | None
    after: Place | None
    until: Place | None
    shown: int
    mark: int


_read = msgspec.json.Decoder(Cursor).decode


def asked(query: Query, order: Order, limit: int | None, cursor: str | None) -> Asked:
    """Return what is asked for, from the cursor on. Raises Refused for a bad cursor, or one of other arguments."""
    mark = crc32(msgspec.json.encode((query, order, limit)))
    if not cursor:
        return Asked(query, order, limit, None, None, 0, mark)
    try:
        found = _read(urlsafe_b64decode(cursor))
        places = [found.after] if found.until is None else [found.after, found.until]
        if not all(map(_is_place if order != "priority" else _is_ranked, places)):
            raise ValueError
    except (msgspec.MsgspecError, binascii.Error, ValueError):
        raise Refused("That is no cursor: pass next_cursor of the page before, or none.") from None
    if found.asked != mark:
        raise Refused("That is the cursor of other arguments: pass it with those of the page before.")
    until = None if found.until is None else tuple(found.until)
    return Asked(query, order, limit, tuple(found.after), until, found.shown, mark)


def _is_place(place: list[Any]) -> bool:
    return list(map(type, place)) == [int, str]


def _is_ranked(place: list[Any]) -> bool:
    return list(map(type, place)) == [int, int, str]


# --- pages -------------------------------------------------------------------------------------------------------


def page_json(head: dict[str, Any], asked: Asked, found: Found) -> str:
    """Return a page as JSON: the head, the memories, and how to go on."""

    def whole(shown: list[str], cursor: str | None) -> str:
        more = to_json({"has_more": cursor is not None, "next_cursor": cursor})
        return f'{to_json(head)[:-1]},"entries":[{",".join(shown)}],{more[1:]}'

    return _fitted(asked, found, lambda number, memory: to_json(memory), whole)


def page_markdown(title: str, tool: str, asked: Asked, found: Found) -> str:
    """Return a page as markdown: a title, the memories, and how to go on."""

    def whole(shown: list[str], cursor: str | None) -> str:
        nothing = [] if shown or asked.shown else ["*No memory entries found.*"]
        parts = [title, *nothing, *shown]
        if cursor is not None:
            parts.append(f"**There are more**: call {tool} again with the same arguments and cursor: `{cursor}`")
        return "\n\n".join(parts)

    def one(number: int, memory: Memory) -> str:
        return entry_markdown(f"## Entry {number}: {on_a_line(memory.agent_name)}", memory)

    return _fitted(asked, found, one, whole)


def _fitted(
    asked: Asked,
    found: Found,
    one: Callable[[int, Memory], str],
    whole: Callable[[list[str], str | None], str],
) -> str:
    """Return the whole text with as many memories as there is room for, at least one."""
    room = MAX_REPLY_CHARS - len(whole([], "")) - _HEAD_CHARS - 2
    shown: list[str] = []
    for memory in found.memories:
        text = one(asked.shown + len(shown) + 1, memory)
        room -= len(text) + 2
        if room < 0 and shown:
            break
        shown.append(text)
    if len(shown) == found.left or not shown:
        return whole(shown, None)
    last = place_of(found.memories[len(shown) - 1], asked.order)
    until = None if found.last is None else list(found.last)
    cursor = msgspec.json.encode(Cursor(asked.mark, list(last), until, asked.shown + len(shown)))
    return whole(shown, urlsafe_b64encode(cursor).decode())


def entry_markdown(title: str, memory: Memory) -> str:
    """Return a memory as markdown, under this title."""
    lines = [
        title,
        f"**ID**: `{memory.entry_id}`",
        f"**Time**: {memory.timestamp}",
        f"**Words**: {memory.word_count}/{MAX_QUERY_CHARS}",
        f"**Priority**: {memory.priority}",
    ]
    if memory.tags:
        lines.append(f"**Tags**: {', '.join(map(on_a_line, memory.tags))}")
    if memory.updated_at is not None:
        lines.append(f"**Updated**: {memory.updated_at}")
    if isinstance(memory, Shown) and memory.left_out:
        lines.append(f"**Left out**: {memory.left_out}")
    return "\n".join([*lines, "", memory.content, "", "---"])


def on_a_line(text: str) -> str:
    """Return a name as it may stand in a line."""
    return " ".join(text.split())


# --- statistics --------------------------------------------------------------------------------------------------


def stats_shown(stats: Stats, most: int) -> dict[str, Any]:
    """Return the statistics as the original has them; of agents and tags the most frequent that there is room for."""
    agents, tags = _fitting(stats.agents), _fitting(stats.tags)
    shown = {
        "success": True,
        "total_entries": stats.total,
        "total_words": stats.words,
        "average_words_per_entry": round(stats.words / stats.total, 1) if stats.total else 0.0,
        "agent_activity": agents,
        "top_agents": [list(one) for one in list(agents.items())[:5]],
        "tag_usage": tags,
        "top_tags": [list(one) for one in list(tags.items())[:10]],
        "priority_distribution": stats.priorities,
        "date_range": {"earliest": stats.first, "latest": stats.latest},
        "storage_size_bytes": stats.size,
        "storage_size_kb": round(stats.size / 1024, 2),
        "max_entries": most,
        "entries_until_rotation": max(0, most - stats.total),
    }
    if len(agents) < stats.agents_in_all:
        shown["more_agents"] = stats.agents_in_all - len(agents)
    if len(tags) < stats.tags_in_all:
        shown["more_tags"] = stats.tags_in_all - len(tags)
    if not stats.total:
        shown["message"] = "No memory entries found"
    return shown


def stats_markdown(shown: dict[str, Any]) -> str:
    """Return the statistics as a report."""
    dates, priorities = shown["date_range"], shown["priority_distribution"]
    lines = [
        "# Memory Statistics",
        "",
        f"**Entries**: {shown['total_entries']} of {shown['max_entries']}"
        f" ({shown['entries_until_rotation']} until rotation)",
        f"**Words**: {shown['total_words']} ({shown['average_words_per_entry']} per entry)",
        f"**Storage**: {shown['storage_size_kb']} KB",
        f"**Dates**: {dates['earliest'] or '-'} to {dates['latest'] or '-'}",
        "",
        "## Priorities",
        *(f"- {name}: {priorities[name]}" for name in ("high", "medium", "low")),
        "",
        "## Top agents",
        *(f"- {on_a_line(name)}: {count}" for name, count in shown["top_agents"]),
        "",
        "## Top tags",
        *(f"- {on_a_line(name)}: {count}" for name, count in shown["top_tags"]),
    ]
    return "\n".join(lines)


def _fitting(counts: list[tuple[str, int]]) -> dict[str, int]:
    """Return the first counts that there is room for; absurdly long names are left out."""
    room = MAX_NAMES_CHARS
    fit: dict[str, int] = {}
    for name, count in counts:
        size = len(to_json(name)) + 8
        if size > MAX_NAMES_CHARS // 10:
            continue
        room -= size
        if room < 0:
            break
        fit[name] = count
    return fit
