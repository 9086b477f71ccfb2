"""The ways to the tools of a profile: either transport, in both eras of the protocol, by the SDK's own client."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import mcp_types as types
import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters

from tests.e2e.cli.shell import WAGGLE
from tests.e2e.hubs import HubProcess
from tests.e2e.mcp.mcp_clients import MODES

TRANSPORTS = [f"{transport}-{mode}" for transport in ("http", "stdio") for mode in MODES]
over_every_transport = pytest.mark.parametrize("transport", TRANSPORTS)
"""For one test of each profile that uses all of it: behind the transport, every transport leads to the same code."""
over_both_transports = pytest.mark.parametrize("transport", ["http-auto", "stdio-legacy"])
"""For what transports or eras may carry differently: errors, descriptions, large values, restarts."""

Reply = dict[str, Any]


class Tools:
    """The tools of a profile: `await tools("getStorage", key="a")` calls one; what it refuses is a reply, too."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def __call__(self, tool: str, **said: Any) -> Reply:
        """The reply, the same as text and as an object where it is told so, too."""
        return self.told(await self.client.call_tool(tool, said))

    @staticmethod
    def told(result: types.CallToolResult) -> Reply:
        """What a result says."""
        (text,) = result.content
        assert isinstance(text, types.TextContent)
        reply: Reply = json.loads(text.text)
        assert result.structured_content in (reply, None)
        return reply


Come = Callable[[str, str], Awaitable[Tools]]
"""Comes as an agent to the tools of a profile: the fixture `come`."""


@asynccontextmanager
async def enter(transport: str, hub: HubProcess, profile: str, agent: str, ns: str) -> AsyncIterator[Tools]:
    """Come as an agent whose own namespace is this one."""
    transport, _, mode = transport.partition("-")
    server: Any = f"{hub.url}/mcp?{urlencode({'profile': profile, 'agent': agent, 'ns': ns})}"
    if transport == "stdio":
        env = {"WAGGLE_URL": hub.url, "WAGGLE_NS": ns, "WAGGLE_AGENT": agent}
        server = StdioServerParameters(command=WAGGLE, args=["mcp", "--profile", profile], env=env)
    async with Client(server, mode=mode) as client:
        yield Tools(client)


@asynccontextmanager
async def pasted(entry: dict[str, Any], hub: HubProcess, cwd: Path) -> AsyncIterator[Tools]:
    """Come by an entry of a client's settings, as it would start it in this directory."""
    server: Any
    if "url" in entry:
        server = entry["url"].replace("http://127.0.0.1:4483", hub.url)
    else:
        assert entry["command"] == "waggle"
        server = StdioServerParameters(command=WAGGLE, args=entry["args"], env={"WAGGLE_URL": hub.url}, cwd=cwd)
    async with Client(server, mode="legacy") as client:
        yield Tools(client)
