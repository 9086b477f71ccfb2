"""The index of memories beside a plain list of them: what is found, in which order, and page by page."""

from __future__ import annotations

import json
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from tests.unit.mcp.memories import change, id_of, memory
from waggle.compat.mapping import Memory, instant_of, tags_of
from waggle.compat.shared_memory.memory_index import Index, Query
from waggle.compat.shared_memory.memory_render import MAX_REPLY_CHARS, asked, page_json
from waggle.compat.shared_memory.memory_rows import RANKS, Order
from waggle.wire.changefeed import Change, Slice

Ok = dict[str, Any]
ROOM = 900
"""Characters of a page here: two or three memories."""


def holds(query: Query, one: Memory) -> bool:
    """Whether a memory is asked for."""
    texts = [one.content, one.agent_name, *one.tags]
    text = query.text
    if text is not None and not query.case:
        texts, text = [other.casefold() for other in texts], text.casefold()
    return (
        (query.agent is None or one.agent_name == query.agent)
        and (query.priority is None or one.priority == query.priority)
        and set(query.tags) <= set(tags_of(one.tags))
        and (text is None or any(text in other for other in texts))
    )


def wanted(memories: list[Memory], query: Query, order: Order, limit: int | None) -> tuple[int, list[Memory]]:
    """How many are asked for, and those that are shown, by plain lists."""
    found = sorted(
        (one for one in memories if holds(query, one)), key=lambda one: (instant_of(one.timestamp), one.entry_id)
    )
    total = len(found)
    if order == "reverse":
        found.reverse()
    elif order == "priority":
        found.sort(key=lambda one: RANKS[one.priority])
    if limit is not None:
        found = found[-limit:] if order == "chronological" else found[:limit]
    return total, found


def page(
    index: Index, query: Query, order: Order, limit: int | None, cursor: str | None, room: int = MAX_REPLY_CHARS
) -> Ok:
    """A page as a client sees it."""
    where = asked(query, order, limit, cursor)
    found = index.find(query, order, limit, room, after=where.after, until=where.until)
    reply: Ok = json.loads(page_json({"total": found.total}, where, found))
    return reply


def pages(index: Index, query: Query, order: Order, limit: int | None, room: int = MAX_REPLY_CHARS) -> list[Ok]:
    """All pages, one after another."""
    found = [page(index, query, order, limit, None, room)]
    while found[-1]["has_more"]:
        found.append(page(index, query, order, limit, found[-1]["next_cursor"], room))
        assert len(found) < 200
    assert found[-1]["next_cursor"] is None
    return found


tags = st.lists(st.sampled_from(["x", "y", "Z", " z ", "straße"]), max_size=3)
memories = st.builds(
    memory,
    st.integers(0, 30),
    st.sampled_from(["2025-10-30T12:00:00Z", "2025-10-30T12:00:00.001Z", "2025-10-30T13:00:00+01:00", "1999-01-01"]),
    st.sampled_from(["Analysis done", "STRASSE frei", "note", "日本 note", "a note\nof %_*"]),
    agent_name=st.sampled_from(["a", "B", "claude-alpha"]),
    tags=tags,
    priority=st.sampled_from(["low", "medium", "high"]),
)
queries = st.builds(
    Query,
    st.none() | st.sampled_from(["a", "B", "nobody"]),
    st.lists(st.sampled_from(["x", "z", "straße", "none"]), max_size=2, unique=True).map(tuple),
    st.none() | st.sampled_from(["low", "medium", "high"]),
    st.none() | st.sampled_from(["analysis", "NOTE", "strasse", "Straße", "%", "_", "本", "x", "claude"]),
    st.booleans(),
)
orders: st.SearchStrategy[Order] = st.sampled_from(["chronological", "reverse", "priority"])
limits = st.none() | st.integers(1, 40)


@settings(max_examples=300, deadline=None)
@given(st.lists(memories, max_size=40), queries, orders, limits, st.sampled_from([1, ROOM, MAX_REPLY_CHARS]))
def test_matches_equal_those_of_a_plain_scan(
    written: list[Memory], query: Query, order: Order, limit: int | None, room: int
) -> None:
    index = Index()
    for first in range(0, len(written), 7):
        index.put(Slice([change(one) for one in written[first : first + 7]], anew=first == 0))
    there = list({one.entry_id: one for one in written}.values())
    total, shown = wanted(there, query, order, limit)
    found = pages(index, query, order, limit, room)
    assert [one["entry_id"] for page in found for one in page["entries"]] == [one.entry_id for one in shown]
    assert {page["total"] for page in found} == {total}
    assert index.total() == len(there)
    stats = index.stats(100)
    assert (stats.total, stats.words) == (len(there), sum(one.word_count for one in there))
    assert dict(stats.agents) == {name: sum(one.agent_name == name for one in there) for name, _ in stats.agents}
    assert sum(stats.priorities.values()) == len(there)
    index.close()


@pytest.mark.parametrize("seed", range(30))
def test_what_is_written_between_two_pages_makes_nothing_told_twice_or_skipped(seed: int) -> None:
    chance = random.Random(seed)
    order: Order = chance.choice(["chronological", "reverse", "priority"])
    limit = chance.choice([None, 20, 35])
    index, there = Index(), {}

    def write(number: int) -> None:
        at = f"2025-10-30T12:00:{chance.randrange(60):02}Z"
        priority = chance.choice(["low", "medium", "high"])
        there[number] = memory(number, at, priority=priority)
        index.put(Slice([change(there[number])]))

    for number in range(40):
        write(number)
    _, meant = wanted(list(there.values()), Query(), order, limit)
    touched: set[str] = set()
    reply = page(index, Query(), order, limit, None, ROOM)
    told = [one["entry_id"] for one in reply["entries"]]
    while reply["has_more"]:
        gone = chance.choice(sorted(there))
        touched.add(id_of(gone))
        del there[gone]
        index.put(Slice([Change(id_of(gone), None, 2)]))
        write(1_000 + len(touched))
        reply = page(index, Query(), order, limit, reply["next_cursor"], ROOM)
        told += [one["entry_id"] for one in reply["entries"]]
    assert len(set(told)) == len(told)
    stayed = [one.entry_id for one in meant if one.entry_id not in touched]
    assert [id for id in told if id in stayed] == stayed
    index.close()


def test_entries_that_are_no_memories_are_left_out_and_counted() -> None:
    good = memory(1)
    plain = msgspec.to_builtins(good)
    wrong: list[Ok] = [
        {"more": 1}, {"priority": "urgent"}, {"timestamp": "yesterday"}, {"updated_at": "never"}, {"tags": "a"},
        {"content": 1}, {"entry_id": id_of(2)}, {"metadata": []},
    ]  # fmt: skip
    others = [b"null", b"1", b'"text"', b"[]", b"{}", b'{"content":"x"}', b"not json"]
    others += [msgspec.json.encode({**plain, **one}) for one in wrong]
    index = Index()
    index.put(Slice([Change(f"k{number}", Raw(value), 1) for number, value in enumerate(others)]))
    index.put(Slice([Change(id_of(3), Raw(msgspec.json.encode(plain)), 1), change(good)]))
    assert (index.total(), index.others) == (1, len(others) + 1)
    index.put(Slice([Change("k0", None, 2), Change("nothing", None, 2), Change(good.entry_id, Raw(b"1"), 3)]))
    assert (index.total(), index.others) == (0, len(others) + 1)
    index.put(Slice([], anew=True))
    assert (index.total(), index.others) == (0, 0)
    index.close()


@pytest.mark.parametrize(
    ("value", "most"),
    [(b'{"max_entries":5}', 5), (b"{}", 1_000), (b'{"max_entries":0}', 1_000), (b'{"max_entries":"5"}', 1_000),
     (b'{"most":5}', 1_000), (b"5", 1_000), (b'{"max_entries":1.5}', 1_000)],
)  # fmt: skip
def test_how_many_there_may_be_is_an_entry_and_what_is_wrong_with_it_is_told(value: bytes, most: int) -> None:
    index = Index()
    assert index.most == (1_000, None)
    index.put(Slice([Change("settings", Raw(value), 1)]))
    told, wrong = index.most
    assert told == most
    assert (wrong is None) == (value in (b'{"max_entries":5}', b"{}"))
    assert index.others == 0
    index.put(Slice([Change("settings", None, 2)]))
    assert index.most == (1_000, None)
    index.close()


def test_the_oldest_and_the_number_of_one_are_told_by_instant_then_by_id() -> None:
    index = Index()
    index.put(
        Slice([change(memory(3, "2025-01-01")), change(memory(1, "2025-01-02"), 7), change(memory(2, "2025-01-01"))])
    )
    assert index.oldest(2) == [(id_of(2), 1), (id_of(3), 1)]
    assert [index.number(id_of(number)) for number in (1, 2, 3, 4)] == [3, 1, 2, None]
    index.close()


def test_a_memory_keeps_its_place_when_it_is_written_again() -> None:
    index = Index()
    index.put(Slice([change(memory(1, "2025-01-01")), change(memory(2, "2025-01-02"))]))
    index.put(Slice([change(memory(1, "2025-01-01", "new words here", tags=["t"], updated_at="2025-01-03"), 9)]))
    found = page(index, Query(), "chronological", None, None)
    assert [one["content"] for one in found["entries"]] == ["new words here", "a note"]
    assert index.stats(10).tags == [("t", 1)]
    assert index.oldest(1) == [(id_of(1), 9)]
    index.close()
