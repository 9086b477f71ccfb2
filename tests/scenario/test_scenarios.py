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


async def test_what_is_written_is_read_as_it_was_and_by_whom(door: str, hub: HubProcess, ns: str) -> None:
    async with room(door, hub, ns) as enter:
        alice, bob = await enter("alice"), await enter("bob")
        assert await bob.get("task:1") is None
        for value in VALUES:
            rev = await alice.set("task:1", value)
            seen = await bob.get("task:1")
            assert seen is not None
            assert (seen.value, seen.by, seen.rev) == (value, alice.name, rev)
            assert type(seen.value) is type(value)
        await alice.set("task:2", 1)
        await alice.set("other", 1)
        assert await bob.keys("task:*") == ["task:1", "task:2"]
        assert await bob.delete("task:1") is True
        assert await bob.delete("task:1") is False


async def test_who_was_slower_is_told_what_is_there_now(door: str, hub: HubProcess, ns: str) -> None:
    async with room(door, hub, ns) as enter:
        alice, bob = await enter("alice"), await enter("bob")
        rev = await alice.set("leader", "alice", if_rev=0)
        with pytest.raises(Refused) as refused:
            await bob.set("leader", "bob", if_rev=0)
        assert (refused.value.code, refused.value.current) == ("conflict", "alice")
        assert await bob.set("leader", "bob", if_rev=rev) > rev
        with pytest.raises(Refused) as refused:
            await alice.delete("leader", if_rev=rev)
        assert (refused.value.code, refused.value.current) == ("conflict", "bob")


async def test_a_lock_has_one_holder_whom_others_see_and_waits_its_turn(door: str, hub: HubProcess, ns: str) -> None:
    async with room(door, hub, ns) as enter:
        alice, bob = await enter("alice"), await enter("bob")
        token = await alice.lock("src/a.py")
        for wait, code in ((0.0, "locked"), (0.1, "timeout")):
            with pytest.raises(Refused) as refused:
                await bob.lock("src/a.py", wait=wait)
            assert (refused.value.code, refused.value.holders) == (code, [alice.name])
        waiting = asyncio.ensure_future(bob.lock("src/a.py", wait=SOON))
        await asyncio.sleep(0.05)
        await alice.unlock(token)
        later = await waiting
        assert later > token
        with pytest.raises(Refused) as refused:
            await alice.unlock(token)
        assert refused.value.code == "not_holder"
        await bob.unlock(later)


async def test_what_is_locked_is_written_by_nobody_else(door: str, hub: HubProcess, ns: str) -> None:
    async with room(door, hub, ns) as enter:
        alice, bob = await enter("alice"), await enter("bob")
        token = await alice.lock("report")
        with pytest.raises(Refused) as refused:
            await bob.set("report", "mine")
        assert (refused.value.code, refused.value.holders) == ("locked", [alice.name])
        await alice.set("report", "done", token=token)
        await alice.unlock(token)
        with pytest.raises(Refused) as refused:
            await alice.set("report", "late", token=token)
        assert refused.value.code == "not_holder"
        seen = await bob.get("report")
        assert seen is not None
        assert seen.value == "done"


async def test_what_was_learned_is_found_by_its_words_the_best_first(door: str, hub: HubProcess, ns: str) -> None:
    async with room(door, hub, ns) as enter:
        alice, bob = await enter("alice"), await enter("bob")
        assert await bob.search("tokens", "*") == []
        await alice.set("pattern/auth/sessions", {"lessons": ["sessions are simpler than tokens"]})
        await alice.set("pattern/tokens", {"lessons": ["rotate tokens"]})
        await alice.set("note/1", "tokens, again")
        assert await bob.search("tokens", "pattern/*") == ["pattern/tokens", "pattern/auth/sessions"]
        assert await bob.search("SESS* simpler", "*") == ["pattern/auth/sessions"]
        await alice.delete("pattern/tokens")
        assert await bob.search("tokens", "pattern/*") == ["pattern/auth/sessions"]
        for nothing in ("", "...", "a*"):
            with pytest.raises(Refused) as refused:
                await bob.search(nothing, "*")
            assert refused.value.code == "bad_request", nothing


async def test_work_is_handed_over_to_who_waits_for_it(door: str, hub: HubProcess, ns: str) -> None:
    async with room(door, hub, ns) as enter:
        alice, bob = await enter("alice"), await enter("bob")
        with pytest.raises(Refused) as refused:
            await bob.wait("spec", 0.1)
        assert refused.value.code == "timeout"
        waiting = asyncio.ensure_future(bob.wait("spec", SOON))
        await asyncio.sleep(0.05)
        await alice.set("spec", {"ready": True})
        assert await waiting == {"ready": True}
        assert await bob.wait("spec", SOON) == {"ready": True}


async def test_a_job_has_one_winner_and_comes_again_if_it_is_given_back(door: str, hub: HubProcess, ns: str) -> None:
    async with room(door, hub, ns) as enter:
        alice, bob = await enter("alice"), await enter("bob")
        with pytest.raises(Refused) as refused:
            await alice.take("job:*")
        assert refused.value.code == "timeout"
        both = [asyncio.ensure_future(one.take("job:*", timeout=2)) for one in (alice, bob)]
        await asyncio.sleep(0.05)
        carol = await enter("carol", by="python")
        await carol.set("job:1", {"n": 1})
        outcomes = await asyncio.gather(*both, return_exceptions=True)
        (won,) = [one for one in outcomes if isinstance(one, tuple)]
        (lost,) = [one for one in outcomes if isinstance(one, Refused)]
        assert lost.code == "timeout"
        winner, other = (alice, bob) if isinstance(outcomes[0], tuple) else (bob, alice)
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
        alice, bob = await enter("alice"), await enter("bob", by=by)
        await alice.send(bob.name, "please look")
        await alice.send(bob.name, {"file": "src/a.py"})
        assert await bob.inbox() == [(alice.name, "please look"), (alice.name, {"file": "src/a.py"})]
        assert await bob.inbox() == []
        await bob.send(alice.name, ["seen"])
        assert await alice.inbox() == [(bob.name, ["seen"])]


async def test_a_message_waits_for_who_is_not_there_yet(door: str, hub: HubProcess, ns: str) -> None:
    async with room(door, hub, ns) as enter:
        alice = await enter("alice")
        await alice.send(f"bob-{ns}", "early")
        bob = await enter("bob")
        assert await bob.inbox() == [(alice.name, "early")]


async def test_what_makes_no_sense_is_refused_by_the_same_code(door: str, hub: HubProcess, ns: str) -> None:
    async with room(door, hub, ns) as enter:
        alice = await enter("alice")
        for key in ("", " a", "a\n", "x" * 256):
            with pytest.raises(Refused) as refused:
                await alice.set(key, 1)
            assert refused.value.code == "bad_request", key
        for pattern in ("[", "a[]", "x" * 256):
            with pytest.raises(Refused) as refused:
                await alice.keys(pattern)
            assert refused.value.code == "bad_request", pattern
        for ttl in (0, -1, 1e12):
            with pytest.raises(Refused) as refused:
                await alice.set("a", 1, ttl=ttl)
            assert refused.value.code == "bad_request", ttl
        with pytest.raises(Refused) as refused:
            await alice.unlock(1)
        assert refused.value.code == "not_holder"
        deep: Any = 1
        for _ in range(101):
            deep = [deep]
        with pytest.raises(Refused) as refused:
            await alice.set("a", deep)
        assert refused.value.code == "bad_request"
        assert await alice.get("a") is None
