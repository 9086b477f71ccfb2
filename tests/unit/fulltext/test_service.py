"""The finder: what is found is what is there, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.unit.fulltext.desk import Desk
from waggle.wire.errors import LimitReached, RateLimited, SessionLost, Unavailable
from waggle_hub.settings import Bounds, Limits

MakeDesk = Callable[..., Desk]


@pytest.fixture
def make() -> Iterator[MakeDesk]:
    made: list[Desk] = []

    def make(**settings: Any) -> Desk:
        made.append(Desk(**settings))
        return made[-1]

    yield make
    for desk in made:
        desk.finder.close()


@pytest.fixture
def desk(make: MakeDesk) -> Desk:
    return make()


async def test_what_was_there_before_the_first_search_is_found_however_many_slices_it_takes(make: MakeDesk) -> None:
    desk = make(bounds=Bounds(index_slice=3))
    for number in range(20):
        desk.do("a", "set", key=f"k{number:02}", value="word", ns=f"n{number % 2}")
    assert await desk.found("word", ns="n1") == [f"k{number:02}" for number in range(1, 20, 2)]


async def test_what_changed_since_is_found_as_it_is_now(desk: Desk) -> None:
    desk.do("a", "set", key="k", value="old")
    assert await desk.found("old") == ["k"]
    desk.do("a", "set", key="k", value="new")
    desk.do("a", "set", key="l", value="new", kind="cached")
    desk.do("a", "set", key="m", value="new", kind="transient", ephemeral=True)
    assert await desk.found("old") == []
    assert await desk.found("new") == ["k", "l", "m"]
    desk.do("a", "delete", key="k")
    desk.do("a", "clear", pattern="m", confirm=True)
    assert await desk.found("new") == ["l"]


async def test_a_hit_is_the_entry_with_its_score(desk: Desk) -> None:
    desk.do("a", "set", key="k", value={"w": 1}, meta={"m": 1})
    found = await desk.search("w")
    (hit,) = msgspec.json.decode(msgspec.json.encode(found.entries))
    assert hit.pop("score") > 0
    assert hit == msgspec.json.decode(msgspec.json.encode(desk.do("a", "get", key="k").entry))
    assert found.rev == desk.machine.state.log.rev


async def test_an_entry_is_not_found_from_its_deadline_on(desk: Desk) -> None:
    desk.do("a", "set", key="k", value="word", ttl=10)
    desk.do("a", "set", key="l", value="word", ttl=20)
    assert await desk.found("word") == ["k", "l"]
    desk.now += 10
    assert await desk.found("word") == ["l"]
    desk.expire()
    desk.tell()
    assert await desk.found("word") == ["l"]


async def test_where_many_are_gone_others_take_their_place(desk: Desk) -> None:
    for number in range(30):
        desk.do("a", "set", key=f"k{number:02}", value="word", ttl=10 if number < 25 else None)
    desk.now += 10
    found = await desk.search("word", limit=4)
    assert [hit.key for hit in found.entries] == ["k25", "k26", "k27", "k28"]
    assert found.more
    assert not (await desk.search("word", limit=5)).more


async def test_a_reply_ends_where_it_would_be_too_large_and_says_so(make: MakeDesk) -> None:
    desk = make(limits=Limits(page_bytes=1_000))
    for number in range(10):
        desk.do("a", "set", key=f"k{number}", value=["word", "x" * 150])
    found = await desk.search("word", limit=10)
    assert len(found.entries) == 3
    assert found.more


# --- while the index is asked ------------------------------------------------------------------------------------


async def test_an_entry_overwritten_during_a_search_is_shown_as_it_was_found(desk: Desk) -> None:
    desk.do("a", "set", key="k", value="word")
    desk.do("a", "set", key="l", value="word")
    await desk.found("word")
    held = desk.hold()
    search = await desk.begun("word")
    rev = desk.machine.state.log.rev
    desk.do("a", "set", key="k", value="other")
    desk.do("a", "set", key="k", value="another")
    desk.do("a", "set", key="m", value="word")
    held.set()
    found = await search
    assert {hit.key: msgspec.json.encode(hit.value) for hit in found.entries} == {"k": b'"word"', "l": b'"word"'}
    assert found.rev == rev
    assert await desk.found("word") == ["l", "m"]


async def test_what_goes_meanwhile_is_not_shown_even_if_it_comes_again(desk: Desk) -> None:
    for key in ("deleted", "again", "due", "stays"):
        desk.do("a", "set", key=key, value="word", ttl=10 if key == "due" else None)
    await desk.found("word")
    held = desk.hold()
    search = await desk.begun("word")
    desk.do("a", "delete", key="deleted")
    desk.do("a", "delete", key="again")
    desk.do("a", "set", key="again", value="word")
    desk.now += 10
    desk.do("a", "set", key="due", value="word")
    held.set()
    assert [hit.key for hit in (await search).entries] == ["stays"]
    assert await desk.found("word") == ["again", "due", "stays"]


async def test_entries_changed_while_the_index_is_built_are_found(make: MakeDesk) -> None:
    desk = make(bounds=Bounds(index_slice=1))
    for number in range(6):
        desk.do("a", "set", key=f"k{number}", value="word")
    search = asyncio.create_task(desk.search("word"))
    while desk.finder._words is None:
        await asyncio.sleep(0)
    desk.do("a", "delete", key="k0")
    desk.do("a", "delete", key="k5")
    desk.do("a", "set", key="k4", value="other")
    desk.do("a", "set", key="k55", value="word")
    desk.do("a", "set", key="k", value="word", ns="another")
    assert sorted(hit.key for hit in (await search).entries) == ["k1", "k2", "k3", "k55"]
    assert await desk.found("word", ns="another") == ["k"]


async def test_a_search_that_runs_during_a_rollback_fails(desk: Desk) -> None:
    desk.do("a", "set", key="k", value="word")
    await desk.found("word")
    held = desk.hold()
    search = await desk.begun("word")
    desk.finder.forget()
    held.set()
    with pytest.raises(Unavailable):
        await search
    desk.machine.state.keyspace.remove(desk.machine.state.keyspace.get("default", "k"))  # type: ignore[arg-type]
    assert await desk.found("word") == []


async def test_an_index_that_fails_is_built_again(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.do("a", "set", key="k", value="word")
    await desk.found("word")
    words = desk.finder._words
    assert words is not None
    words._db.execute("DROP TABLE words")
    with pytest.raises(Unavailable, match="index of words"):
        await desk.search("word")
    assert "dropped" in caplog.text
    assert await desk.found("word") == ["k"]


async def test_an_index_that_fails_between_searches_is_built_again(make: MakeDesk) -> None:
    desk = make(bounds=Bounds(index_pause=0.0))
    await desk.found("word")
    words = desk.finder._words
    assert words is not None
    words._db.execute("DROP TABLE words")
    desk.do("a", "set", key="k", value="word")
    assert desk.finder._catching_up is not None
    await desk.finder._catching_up
    assert desk.finder._words is None
    assert await desk.found("word") == ["k"]


async def test_the_index_is_updated_between_searches(make: MakeDesk) -> None:
    desk = make(bounds=Bounds(index_pause=0.0))
    await desk.found("word")
    desk.do("a", "set", key="k", value="word")
    assert len(desk.finder._changed) == 1
    assert desk.finder._catching_up is not None
    await desk.finder._catching_up
    assert not desk.finder._changed
    assert await desk.found("word") == ["k"]


async def test_before_the_first_search_nothing_is_collected(desk: Desk) -> None:
    desk.do("a", "set", key="k", value="word")
    assert not desk.finder._changed
    assert desk.finder._thread is None


async def test_where_the_data_is_the_index_leaves_nothing(make: MakeDesk, tmp_path: Path) -> None:
    desk = make(data=tmp_path)
    desk.do("a", "set", key="k", value="word")
    assert await desk.found("word") == ["k"]
    assert list(tmp_path.iterdir()) == []


# --- many --------------------------------------------------------------------------------------------------------


async def test_sessions_take_turns_however_many_searches_one_of_them_has(desk: Desk) -> None:
    desk.open_session("b")
    desk.do("a", "set", key="k", value="word")
    await desk.found("word")
    order: list[str] = []

    async def search(session: str) -> None:
        await desk.search("word", session)
        order.append(session)

    async with asyncio.TaskGroup() as group:
        for session in "aaaaab":
            group.create_task(search(session))
    assert order.index("b") <= 1


async def test_a_session_has_so_many_searches_under_way_and_no_more(make: MakeDesk) -> None:
    desk = make(limits=Limits(searches=3))
    done = await asyncio.gather(*(desk.search("word") for _ in range(5)), return_exceptions=True)
    assert [type(one).__name__ for one in done] == ["Found"] * 3 + ["RateLimited"] * 2
    await desk.search("word")
    assert not desk.finder._asked
    assert not desk.finder._turns


async def test_so_many_searches_of_all_are_under_way_and_no_more(make: MakeDesk) -> None:
    desk = make(bounds=Bounds(searches=1))
    desk.open_session("b")
    done = await asyncio.gather(desk.search("word"), desk.search("word", "b"), return_exceptions=True)
    assert isinstance(done[1], RateLimited)
    await desk.search("word", "b")


async def test_a_search_that_takes_too_long_is_refused_and_others_are_not(make: MakeDesk) -> None:
    desk = make(bounds=Bounds(search=0.0))
    desk.do("a", "set", key="k", value="word")
    with pytest.raises(LimitReached):
        await desk.search("word")
    assert desk.finder._complete, "the index is whole"


async def test_for_a_session_that_has_ended_nothing_is_looked_up(desk: Desk) -> None:
    await desk.search("word")
    held = desk.hold()
    first = await desk.begun("word")
    second = await desk.begun("word")
    desk.do("a", "bye")
    held.set()
    await first
    with pytest.raises(SessionLost):
        await second


async def test_who_waits_when_the_hub_stops_is_told_so(desk: Desk) -> None:
    await desk.search("word")
    held = desk.hold()
    first = await desk.begun("word")
    second = await desk.begun("word")
    held.set()
    desk.finder.close()
    assert [type(one) for one in await asyncio.gather(first, second, return_exceptions=True)] == [Unavailable] * 2


async def test_without_its_extension_sqlite_cannot_search_and_that_is_said(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("waggle_hub.fulltext.word_index._SCHEMA", ("CREATE VIRTUAL TABLE words USING absent(key)",))
    with pytest.raises(Unavailable, match="no such module"):
        await desk.search("word")
