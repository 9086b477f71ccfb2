"""How memories look: never more than a reply has room for, whole, and always JSON where it is JSON."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from typing import Any

import msgspec
import pytest

from tests.unit.mcp.memories import change, id_of, memory
from waggle.compat.mapping import Memory
from waggle.compat.shared_memory.memory_index import Index, Query
from waggle.compat.shared_memory.memory_render import (
    MAX_REPLY_CHARS,
    Asked,
    asked,
    entry_markdown,
    page_json,
    page_markdown,
    stats_markdown,
    stats_shown,
)
from waggle.compat.shared_memory.memory_schemas import Refused
from waggle.wire.changefeed import Slice

ALL = Query()


def index_of(*memories: Memory) -> Index:
    index = Index()
    index.put(Slice([change(one) for one in memories]))
    return index


def first(index: Index, cursor: str | None = None, **query: Any) -> tuple[str, str]:
    """A page, as JSON and as markdown."""
    where = asked(Query(**query), "chronological", None, cursor)
    found = index.find(where.query, where.order, where.limit, MAX_REPLY_CHARS, after=where.after, until=where.until)
    return page_json({"total": found.total}, where, found), page_markdown(
        "# Shared Memory", "read_memory", where, found
    )


def test_a_memory_looks_in_markdown_as_the_document_shows_it() -> None:
    shown = entry_markdown(
        "## Entry 1: claude-alpha",
        memory(1, content="Message content here", agent_name="claude-alpha", tags=["analysis", "complete"]),
    )
    assert shown.splitlines() == [
        "## Entry 1: claude-alpha",
        f"**ID**: `{id_of(1)}`",
        "**Time**: 2025-10-30T12:00:00Z",
        "**Words**: 3/200",
        "**Priority**: medium",
        "**Tags**: analysis, complete",
        "",
        "Message content here",
        "",
        "---",
    ]


def test_there_may_be_nothing_to_show() -> None:
    as_json, as_markdown = first(Index())
    assert json.loads(as_json) == {"total": 0, "entries": [], "has_more": False, "next_cursor": None}
    assert "No memory entries found" in as_markdown


@pytest.mark.parametrize("content", ["x" * 200, '"\\\n' * 60, "日本" * 100, "\x00" * 90])
def test_a_page_has_whole_memories_and_fits(content: str) -> None:
    index = index_of(*(memory(number, content=content) for number in range(300)))
    cursor, ids, pages = None, [], 0
    while True:
        as_json, as_markdown = first(index, cursor)
        assert max(len(as_json), len(as_markdown)) <= MAX_REPLY_CHARS
        reply = json.loads(as_json)
        assert len(reply["entries"]) > 20 or not reply["has_more"]
        ids += [one["entry_id"] for one in reply["entries"]]
        pages += 1
        cursor = reply["next_cursor"]
        if not reply["has_more"]:
            break
        assert "call read_memory again with the same arguments and cursor: `" in as_markdown.splitlines()[-1]
    assert ids == [id_of(number) for number in range(300)]
    assert pages > 1


def test_the_numbers_of_a_later_page_go_on() -> None:
    index = index_of(*(memory(number, content="x" * 500) for number in range(100)))
    as_json, _ = first(index)
    reply = json.loads(as_json)
    _, later = first(index, reply["next_cursor"])
    assert f"## Entry {len(reply['entries']) + 1}: a" in later


def test_a_memory_that_is_too_long_alone_is_told_without_what_is_long_and_with_how_to_read_it() -> None:
    long = memory(2, metadata={"log": "x" * 30_000})
    words = memory(4, content="y" * 100_000, tags=["z" * 3_000], agent_name="n" * 2_000, metadata={"a": "\x00" * 9_000})
    index = index_of(memory(1), long, memory(3), words, memory(5))
    cursor, shown = None, []
    for _ in range(10):
        as_json, as_markdown = first(index, cursor)
        assert max(len(as_json), len(as_markdown)) <= MAX_REPLY_CHARS
        reply = json.loads(as_json)
        shown += reply["entries"]
        cursor = reply["next_cursor"]
        if cursor is None:
            break
    assert [one["entry_id"] for one in shown] == [id_of(number) for number in range(1, 6)]
    assert shown[1]["metadata"] == {}
    assert shown[1]["content"] == "a note"
    assert "metadata (30,010 characters): get_memory reads it whole" in shown[1]["left_out"]
    assert "most of content (100,000 characters)" in shown[3]["left_out"]
    assert "left_out" not in shown[0]


@pytest.mark.parametrize(
    "cursor",
    [
        "x", "====", "日本", "bnVsbA==", urlsafe_b64encode(b"[1,2,3,4]").decode(), "A" * 1_000_000,
        urlsafe_b64encode(msgspec.json.encode([0, [1, 2], None, 0])).decode(),
        urlsafe_b64encode(msgspec.json.encode([0, [1, "a", "b"], None, 0])).decode(),
        urlsafe_b64encode(msgspec.json.encode([0, [2**63, "a"], None, 0])).decode(),
        urlsafe_b64encode(msgspec.json.encode([0, [1, "a"], [], 0])).decode(),
    ],
)  # fmt: skip
def test_an_invalid_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(Refused, match="no cursor"):
        asked(ALL, "chronological", None, cursor)


def test_a_cursor_is_good_for_its_own_arguments_only() -> None:
    index = index_of(*(memory(number, content="x" * 500) for number in range(100)))
    cursor = json.loads(first(index)[0])["next_cursor"]
    assert isinstance(asked(ALL, "chronological", None, cursor), Asked)
    for query, order, limit in (
        (Query(agent="b"), "chronological", None),
        (ALL, "reverse", None),
        (ALL, "chronological", 5),
    ):
        with pytest.raises(Refused, match="other arguments"):
            asked(query, order, limit, cursor)  # type: ignore[arg-type]


def test_statistics_are_bounded_whatever_is_written() -> None:
    many = [
        memory(number, agent_name=f"{'agent' * 10}-{number}", tags=[f"{'t' * 40}{number}", "x" * 1_000, "common"])
        for number in range(10_000)
    ]
    index = index_of(*many)
    shown = stats_shown(index.stats(300), 1_000)
    assert len(json.dumps(shown)) < MAX_REPLY_CHARS
    assert shown["total_entries"] == 10_000
    assert shown["top_tags"][0] == ["common", 10_000]
    assert shown["more_agents"] == 10_000 - len(shown["agent_activity"])
    assert shown["more_tags"] == 10_002 - len(shown["tag_usage"])
    assert shown["entries_until_rotation"] == 0
    assert len(stats_markdown(shown)) < MAX_REPLY_CHARS


def test_statistics_of_nothing_have_all_their_fields() -> None:
    shown = stats_shown(Index().stats(300), 1_000)
    assert shown["message"] == "No memory entries found"
    assert shown["priority_distribution"] == {"low": 0, "medium": 0, "high": 0}
    assert shown["date_range"] == {"earliest": None, "latest": None}
    assert shown["average_words_per_entry"] == 0.0
    assert stats_markdown(shown).startswith("# Memory Statistics")


def test_the_longest_that_is_shown_whole_has_room_beside_the_longest_head() -> None:
    one = memory(1, content="x " * 199, metadata={"a": "y" * 21_000})
    index = index_of(one, memory(2))
    where = asked(Query(text="x"), "chronological", None, None)
    head = {"success": True, "query": "\x00" * 200, "total_results": 10**9}
    shown = page_json(head, where, index.find(where.query, where.order, None, MAX_REPLY_CHARS))
    assert len(shown) <= MAX_REPLY_CHARS
    assert json.loads(shown)["entries"][0]["metadata"] == {"a": "y" * 21_000}


def test_a_name_cannot_look_like_another_entry() -> None:
    shown = entry_markdown("# T", memory(1, tags=["a\n## Entry 2: b"]))
    assert "**Tags**: a ## Entry 2: b" in shown.splitlines()
