"""How tests of profiles come to their tools."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.e2e.hubs import HubProcess
from tests.e2e.mcp.mcp_clients import MODES
from tests.e2e.mcp.transports import Come, Tools, enter


@pytest.fixture
def transport() -> str:
    """The transport of a test that does not depend on it: a request to the hub, without a process to start."""
    return "http-auto"


@pytest.fixture
def mode_() -> str:
    """The era of the protocol, for a test that does not depend on it."""
    return MODES[0]


@pytest.fixture
async def come(transport: str, hub: HubProcess, ns: str) -> AsyncIterator[Come]:
    """Comes as an agent, by the test's transport, to the tools of a profile: `await come("octocode", "manager")`.

    Each is a task, since the SDK's client is to be left by the task that has entered it.
    """
    over = asyncio.Event()
    visits: list[asyncio.Task[None]] = []

    async def come(profile: str, agent: str) -> Tools:
        here: asyncio.Future[Tools] = asyncio.get_running_loop().create_future()

        async def visit() -> None:
            try:
                async with enter(transport, hub, profile, f"{agent}-{ns}", ns) as tools:
                    here.set_result(tools)
                    await over.wait()
            except BaseException as fault:
                if here.done():
                    raise
                here.set_exception(fault)

        visits.append(asyncio.ensure_future(visit()))
        return await here

    yield come
    over.set()
    await asyncio.gather(*visits)
