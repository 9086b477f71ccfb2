"""Profiles: the same hub by the tools of earlier systems, by the official client in both eras of the protocol."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import waggle
from tests.e2e.cli.shell import SOON
from tests.e2e.hubs import HubProcess
from tests.e2e.mcp.mcp_clients import MODES
from tests.e2e.mcp.mcp_clients import http as mcp_http
from tests.e2e.mcp.transports import Come, Reply, over_both_transports, over_every_transport

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("mode_", MODES)
async def test_a_client_chooses_its_tools_by_the_address(mode_: str, hub: HubProcess, ns: str) -> None:
    async with (
        mcp_http(mode_, hub.url, "impl", ns, profile="octocode") as window,
        waggle.connect(hub.url, ns=ns) as python,
    ):
        tools = (await window.client.list_tools()).tools
        assert [tool.name for tool in tools] == ["setStorage", "getStorage", "deleteStorage"]
        await window("setStorage", key="task:1", value="{}")
        entry = await python.get("task:1")
        assert entry is not None
        assert (entry.value, entry.by) == ("{}", "impl")


def test_a_profile_that_there_is_not_is_refused_with_those_that_there_are(hub: HubProcess) -> None:
    request = urllib.request.Request(f"{hub.url}/mcp?profile=redis", b"{}", {"content-type": "application/json"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    with refused.value:
        error = json.load(refused.value)["error"]
    assert (refused.value.code, error["field"]) == (400, "profile")
    assert "native, octocode" in error["message"]


# --- at the same time --------------------------------------------------------------------------------------------


@over_every_transport
async def test_each_reads_what_the_others_write_where_their_names_meet(come: Come, ns: str) -> None:
    octocode, flow, native = await come("octocode", "o"), await come("flow", "f"), await come("native", "n")

    async def read(key: str) -> tuple[Any, Any, Any]:
        texts = await octocode("getStorage", key=key)
        values = await flow("memory_usage", action="retrieve", key=key, namespace=ns)
        entry = await native("get", key=key)
        assert texts["exists"] == values["found"] == entry["found"]
        return texts["value"], values["value"], entry.get("value")

    await octocode("setStorage", key="a", value='{"n": 1}')
    assert await read("a") == ('{"n": 1}', {"n": 1}, '{"n": 1}')
    await flow("memory_usage", action="store", key="a", value='{"n": 2}', namespace=ns)
    assert await read("a") == ('{"n":2}', {"n": 2}, {"n": 2})
    await flow("memory_usage", action="store", key="a", value='"quoted"', namespace=ns)
    assert await read("a") == ('"quoted"', "quoted", '"quoted"')
    await native("set", key="a", value=["x", 1])
    assert await read("a") == ('["x",1]', ["x", 1], ["x", 1])
    await native("set", key="a", value="plain")
    assert await read("a") == ("plain", "plain", "plain")
    await octocode("deleteStorage", key="a")
    assert await read("a") == (None, None, None)
    await flow("memory_usage", action="store", key="a", value="1")
    assert await read("a") == (None, None, None), "the namespace default is another one"


async def test_the_last_write_decides_the_deadline_whichever_profile_made_it(
    come: Come, hub: HubProcess, ns: str
) -> None:
    octocode, flow = await come("octocode", "o"), await come("flow", "f")
    async with waggle.connect(hub.url, ns=ns) as python:

        async def ttl() -> float | None:
            entry = await python.get("a")
            assert entry is not None
            return None if entry.expires_at is None else round(entry.expires_at - entry.updated_at)

        await octocode("setStorage", key="a", value="1")
        assert await ttl() == 3_600
        await flow("memory_usage", action="store", key="a", value="2", namespace=ns)
        assert await ttl() is None
        await flow("memory_usage", action="store", key="a", value="2", namespace=ns, ttl=60)
        assert await ttl() == 60
        await octocode("setStorage", key="a", value="1", ttl=120)
        assert await ttl() == 120


@over_both_transports
async def test_many_write_at_the_same_time_and_all_of_it_is_there(come: Come, ns: str) -> None:
    octocode, flow, native = await come("octocode", "o"), await come("flow", "f"), await come("native", "n")
    here: dict[str, Callable[[str], Awaitable[Reply]]] = {
        "o": lambda key: octocode("setStorage", key=key, value="1"),
        "f": lambda key: flow("memory_usage", action="store", key=key, value="1", namespace=ns),
        "n": lambda key: native("set", key=key, value=1),
    }
    written = [f"{who}:{number:02}" for who in here for number in range(20)]
    replies = await asyncio.gather(*(here[key[0]](key) for key in written))
    assert all(reply.get("success", True) and "error" not in reply for reply in replies)
    listed = await octocode("getStorage", key="*")
    assert [one["key"] for one in listed["matches"]] == sorted(written)
    assert {one["value"] for one in listed["matches"]} == {"1"}
    found = await flow("memory_search", pattern="%", namespace=ns, limit=100)
    assert sorted(one["key"] for one in found["results"]) == sorted(written)
    assert {f"{one['by']}" for one in found["results"]} == {f"{who}-{ns}" for who in here}
    assert [one["key"] for one in (await native("list"))["entries"]] == sorted(written)


async def test_a_note_is_an_entry_that_the_others_see_and_what_they_write_there_is_no_note(come: Come) -> None:
    notes, flow = await come("shared-memory", "s"), await come("flow", "f")
    native = await come("native", "n")
    added = await notes("add_memory", agent_name="claude-alpha", content="Found 3 insights", tags=["analysis"])
    id = added["entry_id"]
    told = (await flow("memory_usage", action="retrieve", key=id, namespace="memory"))["value"]
    assert (told["content"], told["tags"]) == ("Found 3 insights", ["analysis"])
    assert (await flow("memory_search", pattern=id, namespace="memory"))["results"][0]["value"] == told
    await flow("memory_usage", action="store", key=f"no-note-{id}", value="hello", namespace="memory")
    await native("set", key=id, value="in another namespace")
    read = await notes("read_memory", response_format="json")
    assert id in [one["entry_id"] for one in read["entries"]]
    assert "hello" not in json.dumps(read)
    await notes("update_memory", entry_id=id, priority="high")
    assert (await flow("memory_usage", action="retrieve", key=id, namespace="memory"))["value"]["priority"] == "high"
    assert (await flow("memory_usage", action="delete", key=id, namespace="memory"))["deleted"] is True
    assert (await notes("get_memory", entry_id=id))["error"] == f"Entry not found with ID: {id}"


async def test_a_key_that_an_agent_has_locked_is_not_written_by_others(come: Come, ns: str) -> None:
    octocode, flow, native = await come("octocode", "o"), await come("flow", "f"), await come("native", "n")
    await native("set", key="src/a.py", value="mine")
    token = (await native("lock", names=["src/a.py"]))["token"]
    for refused in (
        await octocode("setStorage", key="src/a.py", value="theirs"),
        await octocode("deleteStorage", key="src/a.py"),
        await flow("memory_usage", action="store", key="src/a.py", value="theirs", namespace=ns),
        await flow("memory_usage", action="delete", key="src/a.py", namespace=ns),
    ):
        assert refused["success"] is False
        assert f"under the lock of n-{ns}" in refused["error"]
    assert (await octocode("getStorage", key="src/a.py"))["value"] == "mine"
    await native("unlock", token=token)
    assert (await octocode("setStorage", key="src/a.py", value="theirs"))["success"] is True
    assert (await flow("memory_usage", action="delete", key="src/a.py", namespace=ns))["deleted"] is True


async def test_writing_again_takes_no_room_and_versions_go_on_after_a_delete(
    come: Come, hub: HubProcess, ns: str
) -> None:
    octocode, flow, native = await come("octocode", "o"), await come("flow", "f"), await come("native", "n")
    async with waggle.connect(hub.url, ns=ns) as python:

        async def held() -> tuple[int, int]:
            (count,) = [one for one in await python.namespaces() if one.ns == ns]
            stats = await python.stats()
            assert stats.keys == sum(one.keys for one in await python.namespaces())
            return count.keys, count.bytes

        await native("set", key="a", value="x" * 1_000)
        once = await held()
        for _ in range(20):
            await octocode("setStorage", key="a", value="x" * 1_000)
            await flow("memory_usage", action="store", key="a", value="x" * 1_000, namespace=ns)
            await native("set", key="a", value="x" * 1_000)
        assert await held() == once
        before = await python.get("a")
        await flow("memory_usage", action="delete", key="a", namespace=ns)
        await octocode("setStorage", key="a", value="")
        after = await python.get("a")
        assert before is not None
        assert after is not None
        assert (before.version, after.version) == (61, 62)


async def test_a_subscriber_to_everything_takes_no_events_from_others(come: Come, hub: HubProcess, ns: str) -> None:
    octocode, flow = await come("octocode", "o"), await come("flow", "f")
    async with waggle.connect(hub.url, ns=ns) as first, waggle.connect(hub.url, ns=ns) as later:
        watching = [first.watch("*"), first.watch("task-results-*"), later.watch("*"), later.watch("task-results-*")]
        heard = [asyncio.ensure_future(_first_of(watch, "task-results-9")) for watch in watching]
        async with asyncio.timeout(SOON):
            while (await first.stats()).subscriptions < 4:
                await asyncio.sleep(0.02)
        await flow("memory_usage", action="store", key="my-task-results-1", value="1", namespace=ns)
        await octocode("setStorage", key="task-results-1", value="1")
        await flow("memory_usage", action="store", key="task-results-9", value="1", namespace=ns)
        everything = ["my-task-results-1", "task-results-1", "task-results-9"]
        assert await asyncio.gather(*heard) == [everything, everything[1:]] * 2


async def _first_of(watch: Any, last: str) -> list[str]:
    """The keys of the events up to the one of this key."""
    keys: list[str] = []
    async with asyncio.timeout(SOON):
        async for event in watch:
            keys.append(event.key)
            if event.key == last:
                return keys
    raise AssertionError(keys)
