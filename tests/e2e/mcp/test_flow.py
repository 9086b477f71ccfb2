"""claude-flow's memory tools: the examples of their own document, by every way to them.

Its `memory_search` said success to everything and found nothing, so each test looks at what comes back.
"""

from __future__ import annotations

import asyncio
import json
from datetime import datetime
from typing import Any

import pytest

import waggle
from tests.e2e.cli.shell import SOON
from tests.e2e.hubs import HubProcess
from tests.e2e.mcp.transports import Come, Reply, Tools, over_both_transports, over_every_transport

pytestmark = pytest.mark.e2e


async def memory(tools: Tools, action: str, ns: str, **said: Any) -> Reply:
    """memory_usage, which succeeds."""
    reply = await tools("memory_usage", action=action, namespace=ns, **said)
    assert (reply["success"], reply["action"], reply["namespace"]) == (True, action, ns), reply
    assert datetime.fromisoformat(reply["timestamp"]).tzinfo is not None
    return reply


async def store(tools: Tools, ns: str, key: str, value: Any, **more: Any) -> Reply:
    """Store an object as its examples do, by JSON.stringify, or a text."""
    text = value if isinstance(value, str) else json.dumps(value)
    reply = await memory(tools, "store", ns, key=key, value=text, **more)
    assert (reply["stored"], reply["key"], reply["size"], reply["storage_type"]) == (True, key, len(text), "waggle")
    return reply


async def retrieve(tools: Tools, ns: str, key: str) -> Any:
    """What must be there."""
    reply = await memory(tools, "retrieve", ns, key=key)
    assert (reply["key"], reply["found"]) == (key, True)
    return reply["value"]


async def wait_for(tools: Tools, ns: str, key: str, value: Any = None) -> Any:
    """ "Wait for memory key": these tools have no way to do so but asking again."""
    async with asyncio.timeout(SOON):
        while True:
            reply = await memory(tools, "retrieve", ns, key=key)
            if reply["found"] and value in (None, reply["value"]):
                return reply["value"]
            await asyncio.sleep(0.02)


async def search(tools: Tools, ns: str, pattern: str, **said: Any) -> list[str]:
    """The keys that memory_search finds, each with the value that is there."""
    reply = await tools("memory_search", pattern=pattern, namespace=ns, **said)
    assert (reply["success"], reply["pattern"], reply["count"]) == (True, pattern, len(reply["results"]))
    for one in reply["results"]:
        assert one["value"] == await retrieve(tools, ns, one["key"])
    return [one["key"] for one in reply["results"]]


# --- its examples ------------------------------------------------------------------------------------------------


@over_every_transport
async def test_a_stored_value_comes_back_unchanged(come: Come, ns: str) -> None:
    one, other = await come("flow", "researcher"), await come("flow", "coder")
    values: list[tuple[Any, Any]] = [
        ("hello", "hello"), ("123", 123), ('{"a": 1}', {"a": 1}), ('"x"', "x"), ('"{}"', "{}"), ("", ""),
        ("1e999", "1e999"), ("null", None), ("true", True), ("{broken", "{broken"), (" 7 ", 7),
        ("\U0001f41d", "\U0001f41d"),
    ]  # fmt: skip
    for said, back in values:
        assert (await memory(one, "store", ns, key="k", value=said))["stored"] is True
        assert await retrieve(other, ns, "k") == back
    for said in ({"a": [1, {"b": None}]}, [1, "x"], 5, 1.5, False):
        await memory(one, "store", ns, key="k", value=said)
        assert await retrieve(other, ns, "k") == said
    assert (await memory(other, "delete", ns, key="k"))["deleted"] is True
    assert (await memory(other, "delete", ns, key="k"))["deleted"] is False
    missed = await memory(one, "retrieve", ns, key="k")
    assert (missed["found"], missed["value"]) == (False, None)


async def test_the_patterns_of_its_document_find_what_they_say(come: Come, ns: str) -> None:
    tools = await come("flow", "coordinator")
    keys = [
        "swarm/researcher/status", "swarm/researcher/findings", "swarm/coder/progress", "swarm/shared/api-contract",
        "swarm/shared/db-contract", "swarm/shared/database-schema", "checkpoint/gates/planning",
        "checkpoint/gates/implementation", "checkpoint/phase1/plan", "my/swarm/researcher/x",
    ]  # fmt: skip
    for key in keys:
        await store(tools, ns, key, {"of": key})
    assert await search(tools, ns, "swarm/researcher/%", limit=10) == keys[1::-1]
    assert await search(tools, ns, "swarm/shared/%-contract") == [keys[4], keys[3]]
    assert await search(tools, ns, "checkpoint/gates/%") == [keys[7], keys[6]]
    assert await search(tools, ns, "checkpoint/gates/*") == [keys[7], keys[6]]
    assert await search(tools, ns, "%researcher%") == [keys[9], keys[1], keys[0]]
    assert await search(tools, ns, "swarm/%", limit=2) == [keys[5], keys[4]]
    assert await search(tools, ns, "swarm") == []
    assert await search(tools, ns, "swarm_researcher/%") == []
    found = await memory(tools, "search", ns, value="swarm/%/status")
    assert [one["key"] for one in found["results"]] == [keys[0]]
    everything = (await memory(tools, "list", ns))["entries"]
    assert [one["key"] for one in everything] == keys[::-1]
    assert [one["key"] for one in everything if "/status" in one["key"]] == [keys[0]]


async def test_what_of_a_glob_stands_in_a_key_is_itself_in_a_pattern(come: Come, ns: str) -> None:
    tools = await come("flow", "coder")
    for key in ("app/[id]/page", "app/i/page", "why?", "whys", "a\\b", "100%", "x_y", "xzy"):
        await store(tools, ns, key, "1")
    for pattern, found in (("app/[id]/%", "app/[id]/page"), ("why?", "why?"), ("a\\b", "a\\b"), ("x_y", "x_y")):
        assert await search(tools, ns, pattern) == [found]
    assert await search(tools, ns, "100%") == ["100%"]


async def test_a_stored_pattern_is_found_in_a_later_session(come: Come) -> None:
    pattern = {
        "pattern_type": "authentication", "approach": "JWT with refresh tokens", "success_rate": 100,
        "lessons_learned": ["Use httpOnly cookies for tokens", "Implement token rotation"],
    }  # fmt: skip
    earlier, later = await come("flow", "earlier"), await come("flow", "later")
    await store(earlier, "reasoning-bank", "pattern/authentication/jwt-best-practices", pattern)
    assert await search(later, "reasoning-bank", "pattern/authentication/%") == [
        "pattern/authentication/jwt-best-practices"
    ]
    assert await retrieve(later, "reasoning-bank", "pattern/authentication/jwt-best-practices") == pattern


async def test_a_handoff_goes_from_step_to_step(come: Come, ns: str) -> None:
    researcher, developer, tester = [await come("flow", name) for name in ("researcher", "backend-dev", "tester")]

    async def develop() -> None:
        found = await wait_for(developer, ns, "handoff/step1/research-complete")
        await store(developer, ns, "handoff/step2/implementation-complete", {"endpoints": found["libraries"]})

    async def test() -> None:
        contract = await wait_for(tester, ns, "handoff/step2/implementation-complete")
        await store(tester, ns, "handoff/step3/testing-complete", {"test_cases": len(contract["endpoints"])})

    at_work = [asyncio.ensure_future(work()) for work in (develop, test)]
    await store(researcher, ns, "handoff/step1/research-complete", {"libraries": ["a", "b"]})
    await asyncio.gather(*at_work)
    assert await retrieve(researcher, ns, "handoff/step3/testing-complete") == {"test_cases": 2}
    assert (await search(researcher, ns, "handoff/%"))[0] == "handoff/step3/testing-complete"


async def test_a_gate_opens_when_it_is_approved(come: Come, ns: str) -> None:
    planner, reviewer = await come("flow", "planner"), await come("flow", "reviewer")
    await store(planner, ns, "checkpoint/gates/planning", "pending-approval")
    await store(planner, ns, "checkpoint/phase1/plan", {"phases": 3})
    waiting = asyncio.ensure_future(wait_for(planner, ns, "checkpoint/gates/planning", "approved"))
    assert (await wait_for(reviewer, ns, "checkpoint/phase1/plan"))["phases"] == 3
    await store(reviewer, ns, "checkpoint/gates/planning", "approved")
    assert await waiting == "approved"


async def test_versions_are_counted_by_agents_as_it_shows(come: Come, ns: str) -> None:
    one, other = await come("flow", "one"), await come("flow", "other")
    for number, tools in enumerate((one, other, one), start=1):
        current = await memory(tools, "retrieve", ns, key="shared/api-contract")
        version = current["value"]["version"] if current["found"] else 0
        await store(tools, ns, "shared/api-contract", {"version": version + 1, "data": number})
    assert await retrieve(other, ns, "shared/api-contract") == {"version": 3, "data": 3}


async def test_a_ttl_is_in_seconds_and_a_store_without_one_stays(come: Come, hub: HubProcess, ns: str) -> None:
    tools = await come("flow", "coder")
    async with waggle.connect(hub.url, ns=ns) as python:
        assert "expires_at" in await store(tools, ns, "gone", "1", ttl=0.5)
        await store(tools, ns, "kept", "1", ttl=0.5)
        assert "expires_at" not in await store(tools, ns, "kept", "2")
        await python.wait_any([{"key": "gone", "absent": True}], timeout=SOON)
        assert (await memory(tools, "retrieve", ns, key="gone"))["found"] is False
        assert await search(tools, ns, "%") == ["kept"]
        entry = await python.get("kept")
        assert entry is not None
        assert (entry.value, entry.expires_at) == (2, None)


async def test_a_namespace_is_that_of_all_wherever_they_work(come: Come, hub: HubProcess, ns: str) -> None:
    tools = await come("flow", "coder")
    await tools("memory_usage", action="store", key=f"from/{ns}", value="hello")
    async with waggle.connect(hub.url, ns="default") as python:
        entry = await python.get(f"from/{ns}")
        assert entry is not None
        assert (entry.value, entry.by) == ("hello", f"coder-{ns}")
    await store(tools, f"ecommerce.{ns}", "ecommerce/cart/api-contract", {"v": 1})
    assert await search(tools, f"ecommerce.{ns}", "%") == ["ecommerce/cart/api-contract"]
    assert await search(tools, ns, "%") == []


@over_both_transports
async def test_a_failed_tool_call_is_an_answer_and_no_protocol_error(come: Come, ns: str) -> None:
    tools = await come("flow", "coder")
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"action": "clear"}, "Unknown memory action: clear"),
        ({}, "action"),
        ({"action": "store", "value": "1"}, "store needs a key"),
        ({"action": "store", "key": "a"}, "store needs a value"),
        ({"action": "store", "key": "a\n", "value": "1"}, "control character"),
        ({"action": "store", "key": "a" * 256, "value": "1"}, "at most 255"),
        ({"action": "store", "key": "a", "value": "1", "ttl": -1}, "ttl must be above 0"),
        ({"action": "store", "key": "a", "value": "1", "namespace": "a/b"}, "use 1 to 64 of the letters"),
        ({"action": "list", "namespace": "$agents"}, "starts with $"),
    ]
    for said, words in wrong:
        result = await tools.client.call_tool("memory_usage", said)
        reply = tools.told(result)
        assert (reply["success"], result.is_error) == (False, False), said
        assert words in reply["error"]
    assert await search(tools, ns, "%") == []


@over_both_transports
async def test_the_two_original_tools_are_listed_as_in_the_original(come: Come) -> None:
    tools = await come("flow", "coder")
    usage, find = (await tools.client.list_tools()).tools
    assert (usage.name, find.name) == ("memory_usage", "memory_search")
    assert usage.input_schema == {
        "type": "object",
        "properties": {
            "action": {"type": "string", "enum": ["store", "retrieve", "list", "delete", "search"]},
            "key": {"type": "string"},
            "value": {"type": "string"},
            "namespace": {"type": "string", "default": "default"},
            "ttl": {"type": "number"},
        },
        "required": ["action"],
    }
    assert find.input_schema == {
        "type": "object",
        "properties": {
            "pattern": {"type": "string"},
            "namespace": {"type": "string"},
            "limit": {"type": "number", "default": 10},
        },
        "required": ["pattern"],
    }
    assert find.annotations is not None
    assert find.annotations.read_only_hint is True


# --- many --------------------------------------------------------------------------------------------------------

MANY = 100_000


@pytest.fixture(scope="module")
def filled(hub: HubProcess) -> str:
    """A namespace of very many keys, written in an order that is not theirs."""

    async def fill() -> None:
        async with waggle.connect(hub.url, ns="filled") as python:
            for first in range(MANY, 0, -1_000):
                numbers = range(first, first - 1_000, -1)
                await asyncio.gather(*(python.set(f"swarm/agent-{n % 97:02}/{n:06}", {"n": n}) for n in numbers))

    asyncio.run(fill())
    return "filled"


async def test_a_list_of_very_many_entries_has_the_newest_and_delays_no_other_client(
    come: Come, hub: HubProcess, filled: str
) -> None:
    tools = await come("flow", "coder")
    served = 0
    async with waggle.connect(hub.url, ns=filled) as python:

        async def others() -> None:
            nonlocal served
            while True:
                await python.ping()
                served += 1

        pinging = asyncio.ensure_future(others())
        reply = await memory(tools, "list", filled)
        pinging.cancel()
    assert [one["value"]["n"] for one in reply["entries"]] == list(range(1, 101))
    assert (reply["count"], reply["total"], reply["more"]) == (100, MANY, True)
    assert len(json.dumps(reply)) < 30_000
    assert served > 20, "a hundred pages, and the hub goes on with other things between two of them"
    assert len(await search(tools, filled, "swarm/agent-07/%")) == 10
    found = await memory(tools, "search", filled, value="%/000077")
    assert ([one["value"]["n"] for one in found["results"]], found["total"], found["more"]) == ([77], 1, False)
