"""Fixtures for the profile `shared-memory`: memories, a hub in this process, and windows that use it."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from msgspec import Raw

from tests.unit.mcp.fake import silent
from waggle.compat.mapping import MEMORY, Memory
from waggle.compat.shared_memory import SharedMemory
from waggle.mcp.call import Call
from waggle.mcp.parked_waits import Parking
from waggle.mcp.time_limits import TimeLimit
from waggle.wire.changefeed import Change
from waggle.wire.file_locks import UNKNOWN_ROOT
from waggle_hub.app import Hub, build
from waggle_hub.edge.identity import Identity
from waggle_hub.edge.mcp import McpCaller
from waggle_hub.settings import Settings

Ok = dict[str, Any]


def id_of(number: int) -> str:
    """An entry_id; a smaller number, a smaller id."""
    return str(uuid.UUID(int=number << 64))


def memory(number: int, at: str = "2025-10-30T12:00:00Z", content: str = "a note", **fields: Any) -> Memory:
    """A memory."""
    words = len(content.split())
    return Memory(
        **{
            "entry_id": id_of(number),
            "timestamp": at,
            "agent_name": "a",
            "content": content,
            "word_count": words,
            **fields,
        }
    )


def change(memory: Memory, rev: int = 1) -> Change:
    """The reply to a write."""
    return Change(memory.entry_id, Raw(msgspec.json.encode(memory)), rev)


class Room:
    """A hub in this process, and a profile as its door has one."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.profile = SharedMemory()

    def window(self, agent: str = "impl") -> McpCaller:
        identity = Identity(agent, "shop")
        return McpCaller(self.hub.callers.caller(identity), identity)

    async def text(self, tool: str, said: Ok, profile: SharedMemory | None = None) -> str:
        """Call a tool; return its reply."""
        call = Call(self.window(), TimeLimit(55, silent), UNKNOWN_ROOT, Parking())
        answer = await (profile or self.profile).call(tool, said, call)
        assert (answer.structured, answer.failed) == (None, False)
        return answer.text

    async def use(self, tool: str, profile: SharedMemory | None = None, **said: Any) -> Ok:
        """The reply of a tool that went well."""
        reply: Ok = json.loads(await self.text(tool, said, profile))
        assert reply["success"] is True, reply
        return reply

    async def refused(self, tool: str, **said: Any) -> str:
        """Call a tool that must fail; return its error."""
        reply = json.loads(await self.text(tool, said))
        assert reply.keys() == {"success", "error"}
        assert reply["success"] is False
        return str(reply["error"])

    async def call(self, op: str, **fields: Any) -> Any:
        """A command by another door, in the namespace of the memories."""
        return await self.hub.callers.caller(Identity(None, MEMORY)).call(op, fields)

    async def put(self, *memories: Memory) -> None:
        """Memories that another door writes."""
        for one in memories:
            await self.call("set", key=one.entry_id, value=msgspec.to_builtins(one))

    async def allow(self, most: Any) -> None:
        """Let there be so many."""
        await self.call("set", key="settings", value={"max_entries": most})

    async def contents(self) -> list[str]:
        """The contents of all memories, the oldest first."""
        reply = await self.use("read_memory", response_format="json")
        assert not reply["has_more"]
        return [one["content"] for one in reply["entries"]]


@asynccontextmanager
async def room(settings: Settings | None = None) -> AsyncIterator[Room]:
    """A hub that starts with nothing."""
    hub = build(settings or Settings())
    await hub.start()
    try:
        yield Room(hub)
    finally:
        await hub.engine.close()
