"""MCP clients for tests: windows of an editor, by the SDK's own client, over either transport."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import mcp_types as types
import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters
from mcp.shared.exceptions import MCPError

import waggle
from tests.e2e.cli.shell import SOON, WAGGLE

Ok = dict[str, Any]
MODES = ("auto", "legacy")
"""The era of today's protocol where both sides know it, and the one before."""


class McpClient:
    """A window: `await window("set", key="a", value=1)` calls a tool."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def __call__(self, tool: str, **said: Any) -> Ok:
        """The reply, which is no error."""
        result = await self.result(tool, **said)
        assert not result.is_error, result.content
        return dict(result.structured_content)

    async def refused(self, tool: str, **said: Any) -> Ok:
        """The error."""
        result = await self.result(tool, **said)
        assert result.is_error, result.content
        return dict(result.structured_content["error"])

    async def result(self, tool: str, **said: Any) -> types.CallToolResult:
        result = await self.client.call_tool(tool, said)
        (text,) = result.content
        assert isinstance(text, types.TextContent)
        assert len(text.text) < 12_000
        return result


@asynccontextmanager
async def stdio(mode: str, env: dict[str, str], *args: str, cwd: Path | None = None) -> AsyncIterator[McpClient]:
    """A window by `waggle mcp` with these arguments and variables of the environment."""
    server = StdioServerParameters(command=WAGGLE, args=["mcp", *args], env=env, cwd=cwd)
    async with Client(server, mode=mode) as client:
        yield McpClient(client)


@asynccontextmanager
async def http(mode: str, url: str, agent: str, ns: str, **said: str) -> AsyncIterator[McpClient]:
    """A window of an agent at the hub's own door."""
    address = f"{url}/mcp?{urlencode({'agent': agent, 'ns': ns, **said})}"
    async with Client(address, mode=mode) as client:
        yield McpClient(client)


async def give_up_waiting(window: McpClient, python: waggle.Hub) -> None:
    """A window gives up a lock that it waits for, and nothing of it is left."""
    lock = await python.lock("a")
    with pytest.raises(MCPError):
        await window.client.call_tool("lock", {"names": ["a"], "timeout": 50}, read_timeout_seconds=2.0)
    async with asyncio.timeout(SOON):
        while any(one.queue for one in await python.locks("a")):
            await asyncio.sleep(0.05)
    await lock.release()
    assert await python.locks("a") == []
