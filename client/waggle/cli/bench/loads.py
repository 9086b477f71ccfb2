"""The loads of `waggle bench`: commands sent over and over, each timed.

They do no harm to a hub with data and agents:

1. **A namespace of their own.** A load writes `BENCH_KEYS` keys, each with a ttl: nothing stays if this process is
   killed.
2. **Bounded time and number.** A load ends at its time, or after its share of `MAX_EVENTS`. The hub's log holds a
   limited number of events, and agents that reconnect still have to find there what they missed.
3. **Bounded concurrency.** A load waits for its replies before it sends the next commands.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

from waggle import Disconnected, Hub, TimedOut

__all__ = ["BENCH_KEYS", "LOADS", "MAX_EVENTS", "Load", "Sizes", "Times", "Workspace"]

MAX_EVENTS = 50_000
"""Events of one run at most: half of the log of a hub with default settings."""
BENCH_KEYS = 1_000
TTL_S = 120.0
"""Lifetime of a key that is not cleared at the end."""
ARRIVAL_TIMEOUT_S = 10.0
"""Limit for a message to arrive: more than any working hub takes."""
VALUE = {"owner": "bench", "state": "working", "note": "half way through it"}
CONNECT_BATCH = 50
"""Connections opened at the same time."""


class Sizes(NamedTuple):
    """The sizes of the loads."""

    at_once: int = 64
    connections: int = 50
    subscribers: int = 100


class Times:
    """The times of a load's operations, until the load's time is over or its events are used up."""

    def __init__(self, seconds: float, events: int) -> None:
        self.taken: list[float] = []
        self._events = events
        self._until = time.perf_counter() + seconds

    def go_on(self) -> bool:
        """Return whether to do one more operation, which is one more event for the hub."""
        self._events -= 1
        return self._events >= 0 and time.perf_counter() < self._until


class Workspace(NamedTuple):
    """The namespace of a load, and how to make another connection."""

    ns: str
    connect: Callable[[], Awaitable[Hub]]

    @asynccontextmanager
    async def connections(self, count: int) -> AsyncIterator[list[Hub]]:
        """Yield ``count`` new connections, for the block."""
        async with AsyncExitStack() as stack:
            hubs: list[Hub] = []
            while len(hubs) < count:
                some = min(CONNECT_BATCH, count - len(hubs))
                opened = await asyncio.gather(*(self.connect() for _ in range(some)), return_exceptions=True)
                hubs += [await stack.enter_async_context(each) for each in opened if isinstance(each, Hub)]
                for each in opened:
                    if isinstance(each, BaseException):
                        raise each
            yield hubs


class Load(NamedTuple):
    """A load: its name, its unit, its title for the sizes, and its work."""

    name: str
    what: str
    title: Callable[[Sizes], str]
    work: Callable[[Workspace, Sizes, float, int], Awaitable[tuple[Times, float, float]]]
    """Called with the seconds and events of the load. Returns the times, and the seconds and processor seconds of all
    of them together, without the preparation."""


async def _one(place: Workspace, sizes: Sizes, seconds: float, events: int) -> tuple[Times, float, float]:
    return await _sets(place, 1, 1, seconds, events)


async def _many(place: Workspace, sizes: Sizes, seconds: float, events: int) -> tuple[Times, float, float]:
    return await _sets(place, 1, sizes.at_once, seconds, events)


async def _connections(place: Workspace, sizes: Sizes, seconds: float, events: int) -> tuple[Times, float, float]:
    return await _sets(place, sizes.connections, 1, seconds, events)


async def _sets(
    place: Workspace, connections: int, each: int, seconds: float, events: int
) -> tuple[Times, float, float]:
    """Run ``each`` tasks on each of the connections: a task sets a key, waits for the reply, and begins again."""
    async with place.connections(connections) as hubs:
        times = Times(seconds, events)

        async def task(hub: Hub, number: int) -> None:
            key = f"set:{number % BENCH_KEYS}"
            while times.go_on():
                began = time.perf_counter()
                await hub.set(key, VALUE, ns=place.ns, ttl=TTL_S)
                times.taken.append(time.perf_counter() - began)

        tasks = [task(hub, first * each + more) for first, hub in enumerate(hubs) for more in range(each)]
        return times, *await _timed(tasks)


async def _handoff(place: Workspace, sizes: Sizes, seconds: float, events: int) -> tuple[Times, float, float]:
    """Measure hand-offs: from before a set on one connection until a watcher on another has the value."""
    async with place.connections(2) as (giver, taker), taker.watch("hand", ns=place.ns) as watched:
        times = Times(seconds, events)
        incoming = aiter(watched)

        async def hand_over() -> None:
            while times.go_on():
                began = time.perf_counter()
                sending = asyncio.ensure_future(giver.set("hand", VALUE, ns=place.ns, ttl=TTL_S))
                try:
                    await _arrives(anext(incoming))
                    times.taken.append(time.perf_counter() - began)
                finally:
                    await sending

        return times, *await _timed([hand_over()])


async def _fanout(place: Workspace, sizes: Sizes, seconds: float, events: int) -> tuple[Times, float, float]:
    """Measure fan-out: from before a publish until each of the subscribers has the message."""
    async with AsyncExitStack() as stack:
        publisher, *hubs = await stack.enter_async_context(place.connections(1 + sizes.subscribers))
        watchers = [await stack.enter_async_context(hub.watch("fan", ns=place.ns)) for hub in hubs]
        times = Times(seconds, events)

        async def hear(watcher: AsyncIterator[object], began: float) -> None:
            await anext(watcher)
            times.taken.append(time.perf_counter() - began)

        async def publish() -> None:
            while times.go_on():
                began = time.perf_counter()
                hearing = asyncio.gather(*(hear(watcher, began) for watcher in watchers))
                await publisher.publish("fan", VALUE, ns=place.ns)
                await _arrives(hearing)

        return times, *await _timed([publish()])


async def _timed(tasks: list[Coroutine[None, None, None]]) -> tuple[float, float]:
    """Run the tasks, and return seconds and processor seconds of this process. If one fails, the others stop."""
    cpu, began = time.process_time(), time.perf_counter()
    running = [asyncio.ensure_future(task) for task in tasks]
    try:
        await asyncio.gather(*running)
    finally:
        for each in running:
            each.cancel()
    return time.perf_counter() - began, time.process_time() - cpu


async def _arrives(awaited: Awaitable[object]) -> None:
    try:
        await asyncio.wait_for(awaited, ARRIVAL_TIMEOUT_S)
    except TimeoutError:
        raise TimedOut(f"nothing arrived within {ARRIVAL_TIMEOUT_S:.0f} s") from None
    except StopAsyncIteration:
        raise Disconnected("the connection to the hub is gone") from None


LOADS = {
    load.name: load
    for load in (
        Load("one", "sets", lambda sizes: "one set at a time", _one),
        Load("many", "sets", lambda sizes: f"{sizes.at_once} sets at a time", _many),
        Load("connections", "sets", lambda sizes: f"sets from {sizes.connections} connections", _connections),
        Load("handoff", "hand-offs", lambda sizes: "set, and a watcher has it", _handoff),
        Load("fanout", "deliveries", lambda sizes: f"fan-out to {sizes.subscribers} subscribers", _fanout),
    )
}
