"""Waits and work of both clients against real hubs: no wake-up is lost, and each job has one winner at a time."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from random import Random

import pytest

import waggle
from tests.e2e.chaosproxy import ChaosProxy
from tests.e2e.hubs import HubProcess, StartHub
from tests.e2e.relay import Relay
from waggle.sync import connect
from waggle.transport import driver
from waggle.wire.errors import LockLost, TimedOut

pytestmark = pytest.mark.e2e

PATIENCE = 20.0

WORKER = """
import sys, time
from waggle.sync import connect
with connect(sys.argv[1], agent="doomed", ns=sys.argv[2]) as hub:
    with hub.take("job:*", timeout=5) as job:
        print(job.key, flush=True)
        time.sleep(60)
"""


@pytest.fixture(autouse=True)
def short_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "random", lambda: 0.01)


async def waiting(hub: waggle.Hub, number: int) -> None:
    """Wait until so many commands wait in the hub."""
    async with asyncio.timeout(PATIENCE):
        while len((await hub.inspect()).waits) != number:
            await asyncio.sleep(0.01)


# --- waiting -----------------------------------------------------------------------------------------------------


async def test_a_wait_ends_when_it_comes_true(hub: HubProcess, ns: str) -> None:
    async with waggle.connect(hub.url, ns=ns) as writer, waggle.connect(hub.url, ns=ns) as agent:
        spec = asyncio.ensure_future(agent.wait("spec", timeout=PATIENCE))
        done = asyncio.ensure_future(agent.wait("task", where={"pointer": "/state", "value": "done"}, timeout=None))
        three = asyncio.ensure_future(agent.wait(pattern="part:*", count=3, timeout=PATIENCE))
        gone = asyncio.ensure_future(agent.wait("spec", absent=True, since=None, timeout=0.01))
        assert await gone is None
        both = asyncio.ensure_future(agent.wait_all(["spec", {"key": "task"}], timeout=PATIENCE))
        await writer.set("task", {"state": "open"})
        await writer.set("spec", "v1")
        assert (await spec).value == "v1"
        assert [entry.key for entry in (await both).matched] == ["spec", "task"]
        for number in range(3):
            await writer.set(f"part:{number}", number)
        assert [entry.value for entry in await three] == [0, 1, 2]
        await writer.update("task", merge={"state": "done"})
        assert (await done).value["state"] == "done"
        first = await agent.wait_any(["never", {"pattern": "part:*"}], timeout=PATIENCE)
        assert first.met == [1]
        with pytest.raises(TimedOut) as late:
            await agent.wait_all(["spec", "never"], timeout=0.05)
        assert late.value.details["met"] == [0]
        async with writer.lock("spec"):
            free = asyncio.ensure_future(agent.wait("spec", unlocked=True, timeout=PATIENCE))
            await waiting(writer, 1)
        assert await free is None


async def test_a_wait_sees_an_entry_that_came_and_went_while_disconnected(hub: HubProcess, ns: str) -> None:
    async with (
        Relay(hub.port) as relay,
        waggle.connect(hub.url, ns=ns) as writer,
        waggle.connect(relay.url, agent=f"away-{ns}", ns=ns) as agent,
    ):
        coming = asyncio.ensure_future(agent.wait("blink", timeout=None))
        await waiting(writer, 1)
        relay.refusing = True
        relay.cut()
        away: waggle.WaitFor = {"key": agent.agent, "ns": "$agents", "where": {"pointer": "/connected", "value": False}}
        await writer.wait_all([away])
        await writer.set("blink", 1)
        await writer.delete("blink")
        relay.refusing = False
        assert (await asyncio.wait_for(coming, PATIENCE)).value == 1
        await waiting(writer, 0)


async def test_a_wait_that_is_cancelled_waits_no_longer_in_the_hub(hub: HubProcess, ns: str) -> None:
    async with waggle.connect(hub.url, ns=ns) as agent:
        coming = asyncio.ensure_future(agent.wait("never", timeout=None))
        await waiting(agent, 1)
        coming.cancel()
        await waiting(agent, 0)


# --- work --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cuts", [0, 5])
async def test_each_job_has_one_winner(hub: HubProcess, ns: str, cuts: int) -> None:
    """And, where connections are cut, none at the same time as another; each is done."""
    chance = Random(cuts)
    busy: Counter[str] = Counter()
    done: Counter[str] = Counter()

    async def worker(agent: waggle.Hub) -> None:
        async for job in agent.work("job:*", lease=5, timeout=3.0):
            try:
                async with job:
                    busy[job.key] += 1
                    try:
                        assert busy[job.key] == 1
                        await asyncio.sleep(chance.uniform(0, 0.01))
                        done[job.key] += 1
                    finally:
                        busy[job.key] -= 1
            except LockLost:
                pass

    async with ChaosProxy(hub.port, cuts) as proxy, waggle.connect(hub.url, ns=ns) as writer:
        agents = [await waggle.connect(f"http://127.0.0.1:{proxy.port}", ns=ns) for _ in range(4)]
        working = [asyncio.create_task(worker(agent)) for agent in agents]
        for number in range(60):
            await writer.set(f"job:{number}", number)
        for _ in range(cuts):
            await proxy.cut_one()
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*working)
        for agent in agents:
            await agent.close()
        assert await writer.list("job:*") == []
    assert len(done) == 60
    assert cuts or set(done.values()) == {1}


async def test_the_job_of_a_worker_that_dies_is_for_the_next(start_hub: StartHub) -> None:
    hub = start_hub(limits={"grace": 1.0})
    async with waggle.connect(hub.url, agent="next") as agent:
        await agent.set("job:1", "important")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", WORKER, hub.url, "default", stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        assert await process.stdout.readline() == b"job:1\n"
        with pytest.raises(TimedOut):
            await agent.take("job:*")
        process.kill()
        async with agent.take("job:*", timeout=PATIENCE) as job:
            assert (job.key, job.value, job.delivery) == ("job:1", "important", 2)
        await process.wait()


async def test_a_job_that_kills_its_workers_is_put_aside(hub: HubProcess, ns: str) -> None:
    async with waggle.connect(hub.url, ns=ns) as agent:
        await agent.set("job:bad", 1)
        await agent.set("job:good", 2)
        deliveries = []
        async for job in agent.work("job:*", timeout=0.1, max_deliveries=2):
            with suppress(KeyError):
                async with job:
                    deliveries.append(job.key)
                    if job.key == "job:bad":
                        raise KeyError("it always fails")
        assert deliveries == ["job:bad", "job:bad", "job:good"]
        (dead,) = [entry for entry in await agent.list(ns="$dead") if entry.meta["ns"] == ns]
        assert (dead.value, dead.meta["key"]) == (1, "job:bad")


async def test_a_job_whose_entry_goes_stops_its_worker(hub: HubProcess, ns: str) -> None:
    async with waggle.connect(hub.url, ns=ns) as agent:
        await agent.set("job:1", 1)

        async def work() -> None:
            async with agent.take("job:*") as job:
                await agent.touch(job.key, 0.1, guard=job)
                await asyncio.sleep(PATIENCE)

        with pytest.raises(LockLost):
            await work()


async def test_a_short_lease_lasts_as_long_as_the_work(hub: HubProcess, ns: str) -> None:
    async with waggle.connect(hub.url, ns=ns) as agent, waggle.connect(hub.url, ns=ns) as other:
        await agent.set("job:1", 1)
        async with agent.take("job:*", lease=2.0) as job:
            with pytest.raises(TimedOut):
                await other.take("job:*", timeout=3.0)
            await agent.set("result", job.value + 1, guard=job)
        assert await agent.get("job:1") is None


def test_the_blocking_client_does_the_same(hub: HubProcess, ns: str) -> None:
    with connect(hub.url, ns=ns) as agent:
        for number in range(5):
            agent.set(f"job:{number}", number)
        done = []
        for job in agent.work("job:*", lease=5, timeout=0.05):
            with job:
                done.append((job.value, job.delivery))
        assert done == [(number, 1) for number in range(5)]
        agent.set("job:again", 1)
        with pytest.raises(KeyError), agent.take("job:*") as job:
            raise KeyError("give it back")
        job = agent.take("job:*")
        assert (job.delivery, job.entry.key) == (2, "job:again")
        assert job.extend(60) > job.entry.created_at
        assert job.done()
        assert agent.wait("job:again", absent=True) is None
        assert agent.wait_any(["never", {"key": "job:again", "absent": True}]).met == [1]
