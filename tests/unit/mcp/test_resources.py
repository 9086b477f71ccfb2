"""The keys as resources, and how a client hears of their changes."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.unit.mcp.fake import FakeCaller, entry
from waggle.mcp.resources import MAX_LISTED, Listening, read, uri_of
from waggle.wire.errors import BadRequest, TimedOut


@pytest.mark.parametrize("key", ["task:1", "src/a.py", "with space", "\u00e9\u4e2d", "a?b#c%d", "[x]*", '"q"'])
async def test_every_key_has_a_resource_that_leads_back_to_it(key: str) -> None:
    caller = FakeCaller(get={"entry": entry(key, 1), "rev": 7})
    text = await read(caller, uri_of("shop", key))
    assert caller.fields("get") == {"key": key, "ns": "shop"}
    assert json.loads(text or "")["key"] == key


async def test_a_resource_that_is_absent_is_none() -> None:
    assert await read(FakeCaller(get={"entry": None, "rev": 7}), "waggle://shop/a") is None


@pytest.mark.parametrize(
    "uri", ["", "waggle://", "waggle://shop", "waggle:///a", "waggle://shop/", "file:///etc/passwd"]
)
async def test_an_unknown_resource_is_refused(uri: str) -> None:
    with pytest.raises(BadRequest, match="waggle://"):
        await read(FakeCaller(), uri)


async def test_a_change_and_an_end_are_told_and_nothing_between_two_waits_is_missed() -> None:
    there: dict[str, Any] = {"entry": entry("a", 1), "rev": 7}
    gone: dict[str, Any] = {"entry": None, "rev": 12}
    forever: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    caller = FakeCaller(
        get=[there, {"entry": entry("a", 2), "rev": 9}, gone],
        wait=[{"met": [0], "matched": []}, TimedOut("over", rev=10), {"met": [1], "matched": []}, forever],
    )
    listening = Listening(caller, ["waggle://shop/a"])
    await listening.begin()
    told: list[str] = []
    twice = asyncio.Event()

    async def tell(uri: str) -> None:
        told.append(uri)
        if len(told) == 2:
            twice.set()

    task = asyncio.ensure_future(listening.go_on(tell))
    await asyncio.wait_for(twice.wait(), 5)
    while len([op for op, _ in caller.asked if op == "wait"]) < 4:
        await asyncio.sleep(0)
    task.cancel()
    asked = [fields["any"] for op, fields in caller.asked if op == "wait"]
    assert asked[0] == [{"key": "a", "ns": "shop", "since": 7}, {"key": "a", "ns": "shop", "absent": True}]
    assert asked[1] == asked[2] == [{"key": "a", "ns": "shop", "since": 9}, {"key": "a", "ns": "shop", "absent": True}]
    assert asked[3] == [{"key": "a", "ns": "shop", "since": 12}]


def test_a_stream_listens_to_so_many_and_no_more() -> None:
    with pytest.raises(BadRequest, match="50"):
        Listening(FakeCaller(), [f"waggle://shop/{number}" for number in range(MAX_LISTED + 1)])
