"""Catching up with a namespace, through the real engine: all that was acknowledged before, once, and then the end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.copies import Copy
from waggle.wire.changefeed import Slice
from waggle.wire.errors import BadRequest
from waggle_hub.app import Hub, build
from waggle_hub.edge.identity import ANONYMOUS, Identity
from waggle_hub.settings import Limits, Settings


@pytest_asyncio.fixture
async def hub() -> AsyncIterator[Hub]:
    hub = build(Settings(limits=Limits(log_events=50)))
    await hub.start()
    yield hub
    await hub.engine.close()


async def _set(hub: Hub, key: str, value: Any, ns: str = "m") -> None:
    await hub.callers.caller(Identity(None, ns)).call("set", {"key": key, "value": value})


async def test_who_knows_nothing_is_told_all_that_is_there(hub: Hub) -> None:
    copy = Copy(hub.callers.caller(ANONYMOUS), "m")
    assert await copy.catch_up() == {}
    assert copy.slices[0].anew
    await _set(hub, "a", {"n": 1})
    await _set(hub, "b", None)
    await _set(hub, "a", 1, ns="other")
    other = Copy(hub.callers.caller(ANONYMOUS), "m")
    assert await other.catch_up() == {"a": b'{"n":1}', "b": b"null"}


async def test_a_second_catch_up_is_told_only_changes(hub: Hub) -> None:
    copy = Copy(hub.callers.caller(ANONYMOUS), "m")
    for n in range(20):
        await _set(hub, f"k{n}", n)
    await copy.catch_up()
    await _set(hub, "k1", "new")
    await hub.callers.caller(Identity(None, "m")).call("delete", {"key": "k2"})
    values = await copy.catch_up()
    assert [change.key for slice in copy.slices for change in slice.changes] == ["k1", "k2"]
    assert not any(slice.anew for slice in copy.slices)
    assert values["k1"] == b'"new"'
    assert "k2" not in values
    await copy.catch_up()
    assert copy.slices == []


async def test_a_catch_up_older_than_the_log_is_told_all_entries(hub: Hub) -> None:
    copy = Copy(hub.callers.caller(ANONYMOUS), "m")
    await _set(hub, "old", 1)
    await copy.catch_up()
    await hub.callers.caller(Identity(None, "m")).call("delete", {"key": "old"})
    for n in range(100):
        await _set(hub, f"k{n}", n)
    assert len(await copy.catch_up()) == 100
    assert copy.slices[0].anew


async def test_nothing_is_left_of_it(hub: Hub) -> None:
    copy = Copy(hub.callers.caller(ANONYMOUS), "m")
    before = len(hub.machine.state.sessions)
    await copy.catch_up()
    await _set(hub, "a", 1)
    await copy.catch_up()
    assert len(hub.machine.state.sessions) <= before + 1  # of those who call without a name
    assert hub.engine.fanout.connections.keys() <= {s.id for s in hub.machine.state.sessions}


async def test_a_quick_catch_up_adds_no_revision(hub: Hub) -> None:
    copy = Copy(hub.callers.caller(ANONYMOUS), "m")
    await copy.catch_up()
    rev = hub.machine.state.log.rev
    for n in range(3):
        await _set(hub, "k", n)
        await _set(hub, "k", n, ns="other")
        assert await copy.catch_up() == {"k": b"%d" % n}
    assert hub.machine.state.log.rev == rev + 6


async def test_entries_written_during_a_catch_up_are_left_for_the_next_one(hub: Hub) -> None:
    copy = Copy(hub.callers.caller(ANONYMOUS), "m")
    await copy.catch_up()
    put = copy.put

    async def write_meanwhile(slice: Slice) -> None:
        await put(slice)
        await _set(hub, "late", 1)

    await _set(hub, "k", 1)
    copy.since = await hub.callers.caller(ANONYMOUS).catch_up("m", copy.since, write_meanwhile)
    assert copy.values == {"k": b"1"}
    assert await copy.catch_up() == {"k": b"1", "late": b"1"}


async def test_what_is_wrong_with_it_is_raised(hub: Hub) -> None:
    with pytest.raises(BadRequest):
        await hub.callers.caller(ANONYMOUS).catch_up(
            "no such namespace", None, Copy(hub.callers.caller(ANONYMOUS), "m").put
        )


async def test_a_reader_that_fails_leaves_nothing_either(hub: Hub) -> None:
    async def broken(slice: Slice) -> None:
        raise ValueError("no room")

    with pytest.raises(ValueError, match="no room"):
        await hub.callers.caller(ANONYMOUS).catch_up("m", None, broken)
    assert len(hub.machine.state.sessions) == 0
