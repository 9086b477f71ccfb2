"""Catching up with a namespace over a session's own connection: all that was acknowledged before, once."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

import waggle
from tests.copies import Copy
from tests.e2e.hubs import HubProcess, StartHub
from waggle.ops import Calls
from waggle.wire.errors import BadRequest

pytestmark = pytest.mark.e2e


@pytest.fixture
def hub(start_hub: StartHub) -> HubProcess:
    return start_hub(limits={"log_events": 100})


@pytest_asyncio.fixture
async def copy(hub: HubProcess, ns: str) -> AsyncIterator[Copy]:
    calls = await Calls.connect(hub.url, agent="index", ns="shop", token=None, meta={}, connect_timeout=20)
    yield Copy(calls, ns)
    await calls.close()


@pytest_asyncio.fixture
async def python(hub: HubProcess, ns: str) -> AsyncIterator[waggle.Hub]:
    async with waggle.connect(hub.url, agent="python", ns=ns) as python:
        yield python


async def test_a_copy_loads_all_entries_and_then_only_changes(copy: Copy, python: waggle.Hub) -> None:
    assert await copy.catch_up() == {}
    assert copy.anew == 1
    for number in range(60):
        await python.set(f"k{number}", number)
        assert len(await copy.catch_up()) == number + 1
        assert (copy.told, copy.anew) == (1, 0)
    await python.delete("k0")
    await python.set("k1", None, ttl=60)
    assert (await copy.catch_up())["k1"] == b"null"
    assert (copy.told, len(copy.values)) == (2, 59)
    await copy.catch_up()
    assert (copy.told, copy.anew) == (0, 0)


async def test_many_come_in_slices_and_none_is_missing(copy: Copy, python: waggle.Hub) -> None:
    for number in range(3_000):
        await python.set(f"k{number}", {"n": number, "text": "x" * 100})
    assert len(await copy.catch_up()) == 3_000


async def test_a_copy_older_than_the_log_is_loaded_again(copy: Copy, python: waggle.Hub) -> None:
    await python.set("old", 1)
    await copy.catch_up()
    await python.delete("old")
    for number in range(200):
        await python.set(f"k{number}", number)
    assert len(await copy.catch_up()) == 200
    assert copy.anew == 1


async def test_a_hub_that_comes_back_with_nothing_is_believed(
    copy: Copy, python: waggle.Hub, hub: HubProcess, start_hub: StartHub
) -> None:
    await python.set("old", 1)
    await copy.catch_up()
    hub.stop()
    start_hub(port=hub.port)
    assert await copy.catch_up() == {}
    assert copy.anew == 1


async def test_nothing_is_left_of_it_and_what_is_wrong_with_it_is_raised(copy: Copy, python: waggle.Hub) -> None:
    await copy.catch_up()
    await copy.catch_up()
    assert (await python.stats()).subscriptions == 0
    copy._ns = "no such namespace"
    with pytest.raises(BadRequest):
        await copy.catch_up()
