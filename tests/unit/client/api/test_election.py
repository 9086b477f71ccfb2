"""An observer gets each change of the leader once, however replies and events cross, and starts again after a loss."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.unit.client.api.test_hub import meeting
from tests.unit.client.fakehub import FakeConnection, FakeHub, Line


@pytest.fixture
async def fake() -> AsyncIterator[FakeHub]:
    async with FakeHub() as fake:
        yield fake


def held(agent: str, token: int, name: str = "leader:a*") -> Line:
    return {
        "ns": "default", "mode": "exclusive", "agent": agent, "session": "s-7", "token": token, "since": 1.0,
        "expires_at": 9.0, "queue": [], "names": [name],
    }  # fmt: skip


def event(type: str, rev: int, after: int, token: int, by: str = "") -> Line:
    return {"sub": 1, "type": type, "rev": rev, "after": after, "key": "leader:a*", "token": token, "by": by}


async def looked(end: FakeConnection, *locks: Line, **subscribed: Any) -> None:
    """Answer the first requests of an observer."""
    command = await end.subscribed(1, **subscribed)
    assert (command["patterns"], command["types"]) == (["leader:a\\*"], ["lock", "unlock"])
    command = await end.next("locks")
    assert command["pattern"] == "leader:a\\*"
    await end.reply(command, locks=list(locks))


async def test_leaders_in_the_reply_are_not_told_again(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):
        leaders = hub.elect("a*").observe()
        first, _ = await asyncio.gather(anext(leaders), looked(end, held("x", 105, "other"), held("b", 110)))
        assert first is not None
        assert (first.agent, first.session, first.token) == ("b", "s-7", 110)
        await end.say(
            event("lock", 105, 100, 105, "a"),
            event("unlock", 107, 105, 105),
            event("lock", 110, 107, 110, "b"),
            event("unlock", 120, 110, 110),
            event("lock", 121, 120, 121, "c"),
        )
        assert await anext(leaders) is None
        third = await anext(leaders)
        assert third is not None
        assert (third.agent, third.token) == ("c", 121)
        await leaders.close()


async def test_an_observer_that_missed_something_looks_again(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):
        leaders = hub.elect("a*").observe()
        first, _ = await asyncio.gather(anext(leaders), looked(end))
        assert first is None
        again = asyncio.ensure_future(anext(leaders))
        await end.say({"sub": 1, "type": "lost", "reason": "compacted"})
        await end.reply(await end.next("unsubscribe"))
        await looked(end, held("b", 110))
        second = await again
        assert second is not None
        assert second.agent == "b"
        await leaders.close()
