"""Locks of both clients against real hubs: hand-over, force, cut connections, dead holders, and no grant that leaks."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from random import Random

import pytest

import waggle
from tests.e2e.chaosproxy import ChaosProxy
from tests.e2e.hubs import HubProcess, StartHub
from tests.e2e.relay import Relay
from waggle.sync import Hub, connect
from waggle.transport import driver
from waggle.wire.errors import Deadlock, Locked, LockLost, NotHolder, TimedOut

pytestmark = pytest.mark.e2e

PATIENCE = 20.0
"""Seconds for anything, on a busy machine."""

HOLDER = """
import sys, time
from waggle.sync import Hub, connect
hub = connect(sys.argv[1], agent="holder", ns=sys.argv[2])
with hub.lock("a", ttl=60) as lock:
    print(lock.token, flush=True)
    sys.stdin.readline()
hub.close()
"""


@pytest.fixture(autouse=True)
def short_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "random", lambda: 0.01)


@pytest.fixture
async def two(hub: HubProcess, ns: str) -> AsyncIterator[tuple[waggle.Hub, waggle.Hub]]:
    async with waggle.connect(hub.url, agent="one", ns=ns) as one, waggle.connect(hub.url, agent="two", ns=ns) as two:
        yield one, two


async def queued(hub: waggle.Hub, name: str, waiting: int) -> None:
    """Wait until so many wait for a lock."""
    async with asyncio.timeout(PATIENCE):
        while not any(len(lock.queue) == waiting for lock in await hub.locks(name)):
            await asyncio.sleep(0.01)


async def hold(hub: waggle.Hub, name: str, inside: asyncio.Event, ttl: float = 30.0) -> None:
    async with hub.lock(name, ttl=ttl):
        inside.set()
        await asyncio.sleep(PATIENCE)


# --- one after another -------------------------------------------------------------------------------------------


async def test_a_lock_goes_to_its_waiters_in_order(two: tuple[waggle.Hub, waggle.Hub]) -> None:
    one, other = two
    order: list[int] = []
    tokens: list[int] = []

    async def enter(number: int) -> None:
        async with (one, other)[number % 2].lock("a", wait=None) as lock:
            order.append(number)
            tokens.append(lock.token)

    async with one.lock("a"):
        entering = []
        for number in range(6):
            entering.append(asyncio.create_task(enter(number)))
            await queued(one, "a", number + 1)
    await asyncio.gather(*entering)
    assert order == list(range(6))
    assert tokens == sorted(set(tokens))
    assert await one.locks() == []


async def test_a_lock_goes_from_process_to_process(hub: HubProcess, ns: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, hub.url, ns, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdin is not None
    token = int(await process.stdout.readline())
    async with waggle.connect(hub.url, agent="next", ns=ns) as agent:
        with pytest.raises(Locked) as locked:
            await agent.lock("a").acquire()
        assert [holder["agent"] for holder in locked.value.details["holders"]] == ["holder"]
        entering = asyncio.ensure_future(agent.lock("a", wait=PATIENCE).acquire())
        await queued(agent, "a", 1)
        process.stdin.write(b"go on\n")
        lock = await entering
        assert lock.token > token
    await process.wait()


async def test_a_holder_that_dies_hands_over_when_its_grace_is_over(start_hub: StartHub) -> None:
    hub = start_hub(limits={"grace": 0.2})
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, hub.url, "default", stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    await process.stdout.readline()
    async with waggle.connect(hub.url, agent="next") as agent:
        entering = asyncio.ensure_future(agent.lock("a", wait=PATIENCE).acquire())
        await queued(agent, "a", 1)
        process.kill()
        await entering
    await process.wait()


async def test_patterns_and_shared_locks_exclude_what_they_overlap(two: tuple[waggle.Hub, waggle.Hub]) -> None:
    one, other = two
    async with one.lock(pattern="src/auth/*"):
        with pytest.raises(TimedOut) as late:
            await other.lock("src/auth/login.py", wait=0.05).acquire()
        assert late.value.details["holders"][0]["patterns"] == ["src/auth/*"]
        async with other.lock("src/docs.md"):
            pass
    async with one.lock("a", shared=True), other.lock("a", shared=True):
        with pytest.raises(Locked):
            await other.lock("a").acquire()


async def test_tasks_that_would_wait_for_each_other_are_told(two: tuple[waggle.Hub, waggle.Hub]) -> None:
    one, _ = two
    async with one.lock("a"):
        with pytest.raises(Deadlock):
            await one.lock("a", wait=None).acquire()

        async def backwards(inside: asyncio.Event) -> None:
            async with one.lock("b"):
                inside.set()
                async with one.lock("a", wait=PATIENCE):
                    pass

        inside = asyncio.Event()
        other = asyncio.create_task(backwards(inside))
        await inside.wait()
        await queued(one, "a", 1)
        with pytest.raises(Deadlock) as deadlock:
            await one.lock("b", wait=PATIENCE).acquire()
        assert len(deadlock.value.details["cycle"]) == 2
    await other


# --- writes ------------------------------------------------------------------------------------------------------


async def test_a_write_under_a_lock_needs_it_and_a_token_that_is_over_opens_nothing(
    two: tuple[waggle.Hub, waggle.Hub],
) -> None:
    one, other = two
    async with one.lock("a") as lock:
        for write in (other.set("a", 1), other.delete("a"), other.update("a", incr=1)):
            with pytest.raises(Locked):
                await write
        await one.set("a", 1, guard=lock)
        await other.update("a", incr=1, guard=lock.token)  # handed on
        await one.update("a", lambda n: n + 1, guard=lock)
        await one.touch("a", 60, guard=lock)
        await one.txn([{"op": "update", "key": "a", "incr": 1, "guard": lock}])
        view = one.view(int)
        assert (await view.update("a", lambda n: (n or 0) + 1, guard=lock)).value == 5
    with pytest.raises(NotHolder):
        await other.set("a", 1, guard=lock.token)
    await other.set("a", 1)


# --- loss --------------------------------------------------------------------------------------------------------


async def test_a_lock_that_is_freed_by_force_stops_its_holder(two: tuple[waggle.Hub, waggle.Hub]) -> None:
    one, other = two
    inside = asyncio.Event()
    holding = asyncio.create_task(hold(one, "a", inside))
    await inside.wait()
    await other.unlock("a", force="it is stuck")
    with pytest.raises(LockLost, match="it is stuck") as lost:
        await asyncio.wait_for(holding, PATIENCE)
    assert lost.value.reason == "forced"
    async with other.lock("a"):
        pass


async def test_a_holder_that_is_cut_off_knows_it_before_the_next_one_has_the_lock(start_hub: StartHub) -> None:
    hub = start_hub(limits={"grace": 3.0})
    async with (
        Relay(hub.port) as relay,
        waggle.connect(hub.url, agent="next") as other,
        waggle.connect(relay.url, agent="holder") as holder,
    ):
        inside = asyncio.Event()
        held = holder.lock("a", ttl=60)

        async def hold_until_lost() -> None:
            async with held:
                inside.set()
                await asyncio.sleep(PATIENCE)

        holding = asyncio.create_task(hold_until_lost())
        await inside.wait()
        relay.refusing = True
        relay.cut()
        async with other.lock("a", wait=PATIENCE):
            # Not whether the task has ended: both are in this loop, which may be late for either.
            assert held.lost is not None
        relay.refusing = False
        with pytest.raises(LockLost):
            await holding


async def test_a_cut_connection_is_no_loss(hub: HubProcess, ns: str) -> None:
    async with Relay(hub.port) as relay, waggle.connect(relay.url, ns=ns) as agent:
        async with agent.lock("a", ttl=2.0) as lock:
            token = lock.token
            until = time.monotonic() + 4.0
            while time.monotonic() < until:
                relay.cut()
                await asyncio.sleep(0.2)
            await agent.set("a", 1, guard=lock)
            assert lock.token == token
        assert lock.lost is None


async def test_a_hub_that_is_started_again_empty_is_a_loss(start_hub: StartHub) -> None:
    first = start_hub(bounds={"drain": 0.05})
    async with Relay(first.port) as relay, waggle.connect(relay.url) as agent:
        inside = asyncio.Event()
        holding = asyncio.create_task(hold(agent, "a", inside))
        await inside.wait()
        await asyncio.to_thread(first.stop)
        relay.port = (await asyncio.to_thread(start_hub)).port
        with pytest.raises(LockLost):
            await asyncio.wait_for(holding, PATIENCE)
        async with agent.lock("a"):
            pass


# --- cancelling --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_is_cancelled_or_cut_no_grant_leaks(hub: HubProcess, ns: str, seed: int) -> None:
    chance = Random(seed)
    inside = 0

    async def contend(agent: waggle.Hub, number: int) -> None:
        nonlocal inside
        for _ in range(15):
            try:
                async with asyncio.timeout(chance.uniform(0.0, 0.02)):
                    async with agent.lock(f"lock {number % 3}", wait=None, ttl=60):
                        await asyncio.sleep(chance.uniform(0.0, 0.01))
                        inside += 1
            except (TimeoutError, LockLost):
                pass

    async with ChaosProxy(hub.port, seed) as proxy:
        agents = [await waggle.connect(f"http://127.0.0.1:{proxy.port}", ns=ns) for _ in range(3)]
        contending = [asyncio.create_task(contend(agents[n % 3], n)) for n in range(9)]
        for _ in range(6):
            await proxy.cut_one()
        await asyncio.gather(*contending)
        async with waggle.connect(hub.url, ns=ns) as observer:
            async with asyncio.timeout(PATIENCE):
                for number in range(3):
                    async with observer.lock(f"lock {number}", wait=None):
                        pass
                assert await observer.locks() == []
        for agent in agents:
            await agent.close()


# --- without await -----------------------------------------------------------------------------------------------


def test_a_blocking_holder_hears_of_its_loss_where_it_looks(hub: HubProcess, ns: str) -> None:
    with connect(hub.url, ns=ns) as one, connect(hub.url, ns=ns) as two:
        with pytest.raises(LockLost, match="it is mine"):
            lose_it(one, two)
        assert two.locks() == []


def lose_it(one: Hub, two: Hub) -> None:
    with one.lock("a") as lock:
        lock.check()
        two.unlock("a", force="it is mine")
        until = time.monotonic() + PATIENCE
        while lock.lost is None:
            assert time.monotonic() < until
            time.sleep(0.01)
        with pytest.raises(LockLost):
            lock.check()
        with pytest.raises(LockLost):
            one.set("a", 1, guard=lock)
        with pytest.raises(LockLost):
            one.txn([{"op": "set", "key": "a", "value": 1, "guard": lock}])


def test_threads_wait_for_each_other_and_a_deadlock_is_raised(hub: HubProcess, ns: str) -> None:
    with connect(hub.url, ns=ns) as agent:
        with agent.lock("a", ttl=2.0) as lock:
            with pytest.raises(Deadlock):
                agent.lock("a", wait=None).acquire()
            waiting = agent.lock("a", wait=PATIENCE)
            thread = threading.Thread(target=waiting.acquire)
            thread.start()
            time.sleep(3.0)  # it renews itself
            assert lock.lost is None
        thread.join()
        assert waiting.token > lock.token
        waiting.renew(5)
        waiting.release()
        assert agent.locks() == []
