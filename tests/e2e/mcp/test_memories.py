"""The profile `shared-memory`: what its document promises, by the official client in both eras and over both ways."""

from __future__ import annotations

import asyncio
import json
import subprocess
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp.client.client import Client
from mcp.shared.exceptions import MCPError

import waggle
from tests.e2e.cli.shell import SOON, WAGGLE, environment
from tests.e2e.hubs import HubProcess, StartHub
from tests.e2e.mcp.transports import enter, over_both_transports, over_every_transport

pytestmark = pytest.mark.e2e
Ok = dict[str, Any]
NS = "memory"


class Memory:
    """A window with the nine tools: `await memory("add_memory", agent_name="a", content="x")`."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def text(self, tool: str, said: Ok) -> str:
        """What a tool replies: one text, and never an error of the protocol's."""
        result = await self.client.call_tool(tool, said)
        (content,) = result.content
        assert (result.is_error, result.structured_content) == (False, None)
        text: str = content.text  # type: ignore[union-attr]
        assert len(text) <= 25_000
        return text

    async def __call__(self, tool: str, **said: Any) -> Ok:
        """The reply, which is JSON and a success."""
        reply: Ok = json.loads(await self.text(tool, said))
        assert reply["success"] is True, reply
        return reply

    async def error(self, tool: str, **said: Any) -> str:
        reply: Ok = json.loads(await self.text(tool, said))
        assert reply.keys() == {"success", "error"}
        assert reply["success"] is False
        return str(reply["error"])


@asynccontextmanager
async def window(transport: str, hub: HubProcess, agent: str = "impl") -> AsyncIterator[Memory]:
    """A window of an agent."""
    async with enter(transport, hub, "shared-memory", agent, "shop") as tools:
        yield Memory(tools.client)


@pytest.fixture
def hub(start_hub: StartHub, tmp_path: Path) -> HubProcess:
    """A hub of the test's own: all memories of a hub are in one namespace."""
    return start_hub(data=tmp_path / "data", options=["--durability", "relaxed"])


@over_every_transport
async def test_every_example_of_the_document_does_what_it_shows(transport: str, hub: HubProcess) -> None:
    async with window(transport, hub) as memory:
        assert len((await memory.client.list_tools()).tools) == 9
        added = await memory(
            "add_memory",
            agent_name="claude-alpha",
            content="Analysis complete. Found 3 key insights in user behavior data.",
            tags=["analysis", "insights", "user-behavior"],
            priority="high",
            metadata={"project": "user-research-2025", "confidence": 0.95, "data_points": 10000},
        )
        id = added["entry_id"]
        assert uuid.UUID(id).version == 4
        assert (
            added.items()
            >= {
                "success": True,
                "entry_number": 1,
                "agent_name": "claude-alpha",
                "word_count": 10,
                "tags": ["analysis", "insights", "user-behavior"],
                "priority": "high",
                "message": "Memory entry #1 added successfully by claude-alpha",
            }.items()
        )
        for said in (
            {"priority": "high", "sort_order": "reverse", "response_format": "markdown"},
            {"agent_filter": "claude-alpha", "limit": 10, "sort_order": "reverse"},
        ):
            shown = await memory.text("read_memory", said)
            assert shown.splitlines()[:12] == [
                "# Shared Memory",
                "",
                "Total entries: 1",
                "",
                "## Entry 1: claude-alpha",
                f"**ID**: `{id}`",
                f"**Time**: {added['timestamp']}",
                "**Words**: 10/200",
                "**Priority**: high",
                "**Tags**: analysis, insights, user-behavior",
                "",
                "Analysis complete. Found 3 key insights in user behavior data.",
            ]
        read = await memory("read_memory", tags=["analysis", "insights"], response_format="json")
        entry = {
            "entry_id": id,
            "timestamp": added["timestamp"],
            "agent_name": "claude-alpha",
            "content": "Analysis complete. Found 3 key insights in user behavior data.",
            "word_count": 10,
            "tags": ["analysis", "insights", "user-behavior"],
            "priority": "high",
            "metadata": {"project": "user-research-2025", "confidence": 0.95, "data_points": 10000},
            "updated_at": None,
        }
        assert (read["total_entries"], read["entries"]) == (1, [entry])
        assert await memory("get_memory", entry_id=id, response_format="json") == {"success": True, "entry": entry}
        assert f"**ID**: `{id}`" in await memory.text("get_memory", {"entry_id": id, "response_format": "markdown"})

        updated = await memory("update_memory", entry_id=id, tags=["analysis", "reviewed", "archived"], priority="low")
        assert updated["updated_fields"] == ["tags", "priority"]
        assert updated["message"] == f"Entry {id} updated successfully"
        content = "Updated analysis: Found 5 insights instead of 3."
        assert (await memory("update_memory", entry_id=id, content=content))["updated_fields"] == ["content"]

        found = await memory("search_memory", query="INSIGHTS", limit=10, response_format="json")
        assert (found["query"], found["total_results"]) == ("INSIGHTS", 1)
        assert found["entries"][0]["content"] == content
        assert (await memory("search_memory", query="INSIGHTS", case_sensitive=True, response_format="json"))[
            "total_results"
        ] == 0
        for query in ("archived", "claude-alpha", "insights instead of"):
            assert "Total results: 1" in await memory.text("search_memory", {"query": query})

        stats = await memory("get_memory_stats", response_format="json")
        assert stats["agent_activity"] == {"claude-alpha": 1}
        assert stats["top_tags"] == [["analysis", 1], ["archived", 1], ["reviewed", 1]]
        assert stats["priority_distribution"] == {"low": 1, "medium": 0, "high": 0}
        assert stats["date_range"] == {"earliest": added["timestamp"], "latest": added["timestamp"]}
        assert (stats["max_entries"], stats["entries_until_rotation"]) == (1_000, 999)
        assert (await memory.text("get_memory_stats", {"response_format": "markdown"})).startswith(
            "# Memory Statistics"
        )

        health = await memory("health_check")
        assert health["checks"].keys() >= {"storage_file", "file_locking", "json_parsing", "backup_system"}
        assert health["checks"]["storage_file"]["durability"] == "relaxed"
        assert health["message"] == "All systems operational"
        assert (await memory("health_check", params={}))["checks"]["json_parsing"]["entry_count"] == 1

        deleted = await memory("delete_memory", entry_id=id)
        assert (deleted["agent_name"], deleted["remaining_entries"]) == ("claude-alpha", 0)
        await memory("add_memory", params={"agent_name": "a", "content": "nested as on the original's wire"})
        cleared = await memory("clear_memory", confirm=True)
        assert cleared["entries_cleared"] == 1
        assert cleared["message"] == "Successfully cleared 1 memory entries. Backup created."


async def test_the_common_patterns_of_the_document_work_as_they_stand(transport: str, hub: HubProcess) -> None:
    async with window(transport, hub) as memory:
        started = await memory(
            "add_memory", agent_name="analyzer", content="Starting: needs review", tags=["in-progress"], priority="high"
        )
        for entry in (await memory("search_memory", query="needs review", response_format="json"))["entries"]:
            tags = [*entry["tags"], "reviewed"]
            await memory("update_memory", entry_id=entry["entry_id"], tags=tags, priority="low")
        await memory(
            "add_memory",
            agent_name="agent-a",
            content="Data collection complete. Ready for analysis.",
            tags=["data", "ready-for-analysis"],
            priority="high",
            metadata={"task": "data-collection", "next": "agent-b"},
        )
        pending = await memory.text("read_memory", {"tags": ["ready-for-analysis"], "sort_order": "priority"})
        assert "Total entries: 1" in pending
        low = await memory("read_memory", priority="low", response_format="json", limit=50)
        assert [(one["entry_id"], one["tags"]) for one in low["entries"]] == [
            (started["entry_id"], ["in-progress", "reviewed"])
        ]
        for entry in low["entries"]:
            await memory("delete_memory", entry_id=entry["entry_id"])
        assert (await memory("get_memory_stats", response_format="json"))["entries_until_rotation"] == 999


@over_both_transports
async def test_every_error_of_the_document_is_text_in_its_words(transport: str, hub: HubProcess) -> None:
    missing = str(uuid.uuid4())
    async with window(transport, hub) as memory:
        long = "Content exceeds maximum of 200 words. Current word count: 201."
        assert (
            await memory.error("add_memory", agent_name="a", content="w " * 201)
            == f"{long} Please shorten your message."
        )
        assert await memory.error("update_memory", entry_id=missing, content="w " * 201) == long
        for tool in ("get_memory", "update_memory", "delete_memory"):
            assert await memory.error(tool, entry_id=missing) == f"Entry not found with ID: {missing}"
            assert await memory.error(tool, entry_id="none") == "Invalid entry_id format: none"
        confirm = "Confirmation required. Set 'confirm' parameter to true."
        assert await memory.error("clear_memory", confirm=False) == confirm
        assert "colour" in await memory.error("read_memory", colour="red")
        assert "content" in await memory.error("add_memory", params={"agent_name": "a", "content": "  "})
        assert "no cursor" in await memory.error("read_memory", cursor="x")
        with pytest.raises(MCPError, match="Unknown tool"):
            await memory.client.call_tool("forget_memory", {})


@over_both_transports
async def test_four_processes_that_add_six_each_keep_twenty_four(transport: str, hub: HubProcess) -> None:
    async with AsyncExitStack() as stack:
        windows = [await stack.enter_async_context(window(transport, hub, f"agent-{n}")) for n in range(4)]

        async def add(number: int) -> list[str]:
            return [
                (await windows[number]("add_memory", agent_name=f"agent-{number}", content=f"note {n}"))["entry_id"]
                for n in range(6)
            ]

        acknowledged = [id for ids in await asyncio.gather(*map(add, range(4))) for id in ids]
        for one in windows:
            read = await one("read_memory", response_format="json")
            assert (read["total_entries"], {entry["entry_id"] for entry in read["entries"]}) == (24, set(acknowledged))


@over_both_transports
async def test_memories_that_exceed_one_reply_are_read_page_by_page(
    transport: str, hub: HubProcess, tmp_path: Path
) -> None:
    entries = [record(number, "some words " * 20, metadata={"n": "x" * (number % 5) * 300}) for number in range(500)]
    entries[77]["metadata"] = {"log": "x" * 40_000}
    bring(hub, tmp_path, entries)
    async with window(transport, hub) as memory:
        for order, wanted in (
            ("chronological", [one["entry_id"] for one in entries]),
            ("reverse", [one["entry_id"] for one in reversed(entries)]),
        ):
            told: list[Ok] = []
            said: Ok = {"sort_order": order, "response_format": "json"}
            while True:
                page = await memory("read_memory", **said)
                assert page["total_entries"] == 500
                told += page["entries"]
                if not page["has_more"]:
                    break
                said["cursor"] = page["next_cursor"]
            assert [one["entry_id"] for one in told] == wanted
            (left,) = [one for one in told if "left_out" in one]
            assert left["entry_id"] == entries[77]["entry_id"]
            assert "get_memory reads it whole" in left["left_out"]
        shown = await memory.text("search_memory", {"query": "WORDS some"})
        assert "call search_memory again with the same arguments and cursor: `" in shown.splitlines()[-1]
        cursor = shown.splitlines()[-1].split("`")[1]
        later = await memory.text("search_memory", {"query": "WORDS some", "cursor": cursor})
        assert later.splitlines()[5].startswith("## Entry ")


async def test_another_door_writes_and_deletes_and_is_seen_at_once(transport: str, hub: HubProcess) -> None:
    async with window(transport, hub) as memory, waggle.connect(hub.url, ns=NS) as python:
        added = await memory("add_memory", agent_name="a", content="first")
        for number in range(5):
            one = record(number, f"by another door {number}")
            await python.set(one["entry_id"], one)
            await python.set(f"junk-{number}", {"content": "no memory"})
            read = await memory("read_memory", response_format="json")
            assert read["total_entries"] == number + 2
        await python.delete(added["entry_id"])
        assert (await memory("get_memory_stats"))["total_entries"] == 5
        health = await memory("health_check")
        assert health["checks"]["json_parsing"] == {"status": "warning", "entry_count": 5, "others": 5}
        await python.clear("*")
        assert (await memory("get_memory_stats"))["total_entries"] == 0


async def test_a_subscriber_hears_of_what_is_added_and_dropped(transport: str, hub: HubProcess) -> None:
    async with (
        window(transport, hub) as memory,
        waggle.connect(hub.url, ns=NS) as python,
        python.watch() as events,
    ):
        await python.set("settings", {"max_entries": 2})
        ids = [(await memory("add_memory", agent_name="a", content=f"{n}"))["entry_id"] for n in range(2)]
        third = await memory("add_memory", agent_name="a", content="2")
        assert third["rotated"] == {"count": 1, "entry_ids": [ids[0]]}
        heard = []
        async with asyncio.timeout(SOON):
            async for event in events:
                heard.append((event.type, event.key))
                if event.type == "message":
                    assert event.data == {"dropped": [ids[0]], "kept": 2, "limit": 2}
                    break
        assert heard[1:] == [
            ("set", ids[0]),
            ("set", ids[1]),
            ("set", third["entry_id"]),
            ("delete", ids[0]),
            ("message", "rotation"),
        ]


async def test_cleared_memories_are_restored_by_one_command(transport: str, hub: HubProcess) -> None:
    async with window(transport, hub) as memory:
        for number in range(3):
            await memory("add_memory", agent_name="a", content=f"note {number}", metadata={"n": number})
        before = await memory("read_memory", response_format="json")
        backup = (await memory("clear_memory", confirm=True))["backup"]
        assert (await memory("get_memory_stats"))["total_entries"] == 0
        line = f"{WAGGLE} export --ns {backup} | {WAGGLE} import - --ns memory"
        done = subprocess.run(line, shell=True, env=environment(WAGGLE_URL=hub.url), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert await memory("read_memory", response_format="json") == before


@over_both_transports
async def test_a_restart_of_the_hub_in_between_loses_nothing(
    transport: str, start_hub: StartHub, tmp_path: Path
) -> None:
    hub = start_hub(data=tmp_path / "data")
    async with window(transport, hub) as memory:
        first = await memory("add_memory", agent_name="a", content="before")
        assert (await memory("read_memory", response_format="json"))["total_entries"] == 1
        hub.stop()
        start_hub(data=tmp_path / "data", port=hub.port)
        await memory("add_memory", agent_name="a", content="after")
        read = await memory("read_memory", response_format="json")
        assert [one["content"] for one in read["entries"]] == ["before", "after"]
        assert read["entries"][0]["entry_id"] == first["entry_id"]


def record(number: int, content: str, **fields: Any) -> Ok:
    """An entry as the original kept it."""
    return {
        "entry_id": str(uuid.UUID(int=number + 1)),
        "timestamp": f"2025-10-30T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}+00:00",
        "agent_name": "claude-alpha",
        "content": content,
        "word_count": len(content.split()),
        "tags": ["note"],
        "priority": "medium",
        "metadata": {},
        "updated_at": None,
        **fields,
    }


def bring(hub: HubProcess, directory: Path, entries: list[Ok]) -> str:
    """Import a file of the original's; gives what was said on standard error."""
    file = directory / "memory.json"
    file.write_text(json.dumps({"version": "2.0", "entries": entries}))
    done = subprocess.run(
        [WAGGLE, "import", "--from", "shared-memory", str(file)],
        env=environment(WAGGLE_URL=hub.url),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr
