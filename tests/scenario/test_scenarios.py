"""The same scenarios through every door of a hub, with the same outcomes and the same codes.

A door has no rule of its own, so nothing here asks which one it is.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.hubs import HubProcess
from tests.e2e.web import until_waiting
from tests.scenario.doors import DOORS, Refused, room

pytestmark = [pytest.mark.e2e, pytest.mark.parametrize("door", list(DOORS))]

SOON = 20.0
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def hub() -> Iterator[HubProcess]:
    process = HubProcess()
    yield process
    process.stop()
    said = process.said()
    process.close()
    assert said == ""


@pytest.fixture
def ns() -> str:
    """A namespace that no other test uses."""
    return f"scenario-{next(_numbers)}"


VALUES: list[Any] = [
    1,
    "text",
    None,
    True,
    1.5,
    [],
    {"a": [1, {"b": "\u00fc\u4e2d\U0001f41d"}]},
    '{"no": "object"}',
    "",
]


async def test_a_value_is_read_as_it_was_written_with_its_author(door: str, hub: HubProcess, ns: str) -> None:
    async with room(door, hub, ns) as enter:
        builder, tester = await enter("builder"), await enter("tester")
        assert await tester.get("task:1") is None
        for value in VALUES:
            rev = await builder.set("task:1", value)
            seen = await tester.get("task:1")
            assert seen is not None
            assert (seen.value, seen.by, seen.rev) == (value, builder.name, rev)
            assert type(seen.value) is type(value)
        await builder.set("task:2", 1)
        await builder.set("other", 1)
        assert await tester.keys("task:*") == ["task:1", "task:2"]
        assert await tester.delete("task:1") is True
        assert await tester.delete("task:1") is False


async def test_a_conflicting_write_is_told_the_current_entry(door: str, hub: HubProcess, ns: str) -> None:
    async with room(door, hub, ns) as enter:
        builder, tester = await enter("builder"), await enter("tester")
        rev = await builder.set("leader", "builder", if_rev=0)
        with pytest.raises(Refused) as refused:
            await tester.set("leader", "tester", if_rev=0)
        assert (refused.value.code, refused.value.current) == ("conflict", "builder")
        assert await tester.set("leader", "tester", if_rev=rev) > rev
        with pytest.raises(Refused) as refused:
            await builder.delete("leader", if_rev=rev)
        assert (refused.value.code, refused.value.current) == ("conflict", "tester")


async def test_a_lock_has_one_holder_that_others_see_and_then_the_next(door: str, hub: HubProcess, ns: str) -> None:
    async with room(door, hub, ns) as enter:
        builder, tester = await enter("builder"), await enter("tester")
        token = await builder.lock("src/a.py")
        for wait, code in ((0.0, "locked"), (0.1, "timeout")):
            with pytest.raises(Refused) as refused:
                await tester.lock("src/a.py", wait=wait)
            assert (refused.value.code, refused.value.holders) == (code, [builder.name])
        waiting = asyncio.ensure_future(tester.lock("src/a.py", wait=SOON))
        await until_waiting(hub)
        await builder.unlock(token)
        later = await waiting
        assert later > token
        with pytest.raises(Refused) as refused:
            await builder.unlock(token)
        assert refused.value.code == "not_holder"
        await tester.unlock(later)


async def test_a_locked_key_is_written_by_its_holder_only(door: str, hub: HubProcess, ns: str) -> None:
    async with room(door, hub, ns) as enter:
        builder, tester = await enter("builder"), await enter("tester")
        token = await builder.lock("report")
        with pytest.raises(Refused) as refused:
            await tester.set("report", "mine")
        assert (refused.value.code, refused.value.holders) == ("locked", [builder.name])
        await builder.set("report", "done", token=token)
        await builder.unlock(token)
        with pytest.raises(Refused) as refused:
            await builder.set("report", "late", token=token)
        assert refused.value.code == "not_holder"
        seen = await tester.get("report")
        assert seen is not None
        assert seen.value == "done"


async def test_entries_are_found_by_their_words_the_best_first(door: str, hub: HubProcess, ns: str) -> None:
    async with room(door, hub, ns) as enter:
        builder, tester = await enter("builder"), await enter("tester")
        assert await tester.search("tokens", "*") == []
        await builder.set("pattern/auth/sessions", {"lessons": ["sessions are simpler than tokens"]})
        await builder.set("pattern/tokens", {"lessons": ["rotate tokens"]})
        await builder.set("note/1", "tokens, again")
        assert await tester.search("tokens", "pattern/*") == ["pattern/tokens", "pattern/auth/sessions"]
        assert await tester.search("SESS* simpler", "*") == ["pattern/auth/sessions"]
        await builder.delete("pattern/tokens")
        assert await tester.search("tokens", "pattern/*") == ["pattern/auth/sessions"]
        for nothing in ("", "...", "a*"):
            with pytest.raises(Refused) as refused:
                await tester.search(nothing, "*")
            assert refused.value.code == "bad_request", nothing


async def test_a_wait_ends_with_the_value_it_waited_for(door: str, hub: HubProcess, ns: str) -> None:
    async with room(door, hub, ns) as enter:
        builder, tester = await enter("builder"), await enter("tester")
        with pytest.raises(Refused) as refused:
            await tester.wait("spec", 0.1)
        assert refused.value.code == "timeout"
        waiting = asyncio.ensure_future(tester.wait("spec", SOON))
        await until_waiting(hub)
        await builder.set("spec", {"ready": True})
        assert await waiting == {"ready": True}
        assert await tester.wait("spec", SOON) == {"ready": True}


async def test_a_job_has_one_winner_and_comes_again_if_it_is_given_back(door: str, hub: HubProcess, ns: str) -> None:
    async with room(door, hub, ns) as enter:
        builder, tester = await enter("builder"), await enter("tester")
        with pytest.raises(Refused) as refused:
            await builder.take("job:*")
        assert refused.value.code == "timeout"
        reviewer = await enter("reviewer", by="python")
        both = [asyncio.ensure_future(one.take("job:*", timeout=3)) for one in (builder, tester)]
        await until_waiting(hub, 2)
        await reviewer.set("job:1", {"n": 1})
        outcomes = await asyncio.gather(*both, return_exceptions=True)
        (won,) = [one for one in outcomes if isinstance(one, tuple)]
        (lost,) = [one for one in outcomes if isinstance(one, Refused)]
        assert lost.code == "timeout"
        winner, other = (builder, tester) if isinstance(outcomes[0], tuple) else (tester, builder)
        assert won[0] == "job:1"
        await winner.unlock(won[1])
        key, token = await other.take("job:*", timeout=SOON)
        assert (key, token > won[1]) == ("job:1", True)
        with pytest.raises(Refused) as refused:
            await winner.delete("job:1", token=won[1])
        assert refused.value.code == "not_holder"
        assert await other.delete("job:1", token=token) is True
        assert await winner.get("job:1") is None


@pytest.mark.parametrize("by", ["python", "http", "mcp-http", "mcp-stdio"])
async def test_a_message_is_read_by_whatever_door_its_reader_comes(
    door: str, by: str, hub: HubProcess, ns: str
) -> None:
    async with room(door, hub, ns) as enter:
        builder, tester = await enter("builder"), await enter("tester", by=by)
        await builder.send(tester.name, "please look")
        await builder.send(tester.name, {"file": "src/a.py"})
        assert await tester.inbox() == [(builder.name, "please look"), (builder.name, {"file": "src/a.py"})]
        assert await tester.inbox() == []
        await tester.send(builder.name, ["seen"])
        assert await builder.inbox() == [(tester.name, ["seen"])]


async def test_a_message_waits_for_a_reader_that_comes_later(door: str, hub: HubProcess, ns: str) -> None:
    async with room(door, hub, ns) as enter:
        builder = await enter("builder")
        await builder.send(f"tester-{ns}", "early")
        tester = await enter("tester")
        assert await tester.inbox() == [(builder.name, "early")]


async def test_invalid_arguments_are_refused_by_the_same_code_at_every_door(
    door: str, hub: HubProcess, ns: str
) -> None:
    async with room(door, hub, ns) as enter:
        builder = await enter("builder")
        for key in ("", " a", "a\n", "x" * 256):
            with pytest.raises(Refused) as refused:
                await builder.set(key, 1)
            assert refused.value.code == "bad_request", key
        for pattern in ("[", "a[]", "x" * 256):
            with pytest.raises(Refused) as refused:
                await builder.keys(pattern)
            assert refused.value.code == "bad_request", pattern
        for ttl in (0, -1, 1e12):
            with pytest.raises(Refused) as refused:
                await builder.set("a", 1, ttl=ttl)
            assert refused.value.code == "bad_request", ttl
        with pytest.raises(Refused) as refused:
            await builder.unlock(1)
        assert refused.value.code == "not_holder"
        deep: Any = 1
        for _ in range(101):
            deep = [deep]
        with pytest.raises(Refused) as refused:
            await builder.set("a", deep)
        assert refused.value.code == "bad_request"
        assert await builder.get("a") is None
