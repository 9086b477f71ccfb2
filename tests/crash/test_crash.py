"""A real hub is killed under load, at random, again and again on the same data: nothing that was acknowledged is lost,
nothing goes back, and no event was seen that the hub denies afterwards (G2, G7, G8, G10).

`WAGGLE_CRASHES` says how often; the short form is part of the suite.
"""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest

from tests.crash.agents import Agent, Watcher, settle
from tests.e2e.hubs import StartHub

pytestmark = pytest.mark.e2e

CRASHES = int(os.environ.get("WAGGLE_CRASHES", "12"))
AGENTS = 4


@pytest.mark.timeout(120 + 8 * CRASHES)
@pytest.mark.parametrize("journal", ["sqlite", "json"])
async def test_killed_under_load_the_hub_keeps_every_promise(start_hub: StartHub, tmp_path: Path, journal: str) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    agents = [Agent(number, seed + number) for number in range(AGENTS)]
    watcher = Watcher()
    port = 0
    for crash in range(CRASHES if journal == "sqlite" else max(CRASHES // 4, 3)):
        hub = await asyncio.to_thread(
            start_hub, data=tmp_path / "data", options=["--journal", journal], port=port, limits={"log_events": 20_000}
        )
        port = hub.port
        try:
            await watcher.come(hub.ws)
            for agent in agents:
                await agent.come(hub.ws)
                await agent.check()
            works = [asyncio.create_task(agent.work()) for agent in agents]
            works.append(asyncio.create_task(watcher.watch()))
            await asyncio.sleep(chance.expovariate(4))
            await asyncio.to_thread(hub.stop, "SIGKILL")
            await settle(agents, watcher, works)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, crash {crash}: {error}") from error
    assert sum(agent.acknowledged for agent in agents) > CRASHES
