"""Hand-off: one sets a key, another who waits for it has the value. Both in one loop, on connections of their own.

The clock runs from before the set until the waiter has the value. With Redis there are three ways: a keyspace
notification and then a GET; a published message (which nobody finds who comes later); a list and BLPOP (one waiter).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import msgspec

import waggle

from .arena import Arena, Server
from .callers import set_command
from .fastclient import FastClient
from .fastredis import Answer, FastRedis
from .report import Goal, Result, Spread, Table, ratio, us

VALUE = b'{"spec":"ready","path":"docs/spec.md","by":"planner","number":17}'
KEY = "hand:off"
CHANNEL = f"__keyspace@0__:{KEY}".encode()


class Got:
    """Where the waiter says that it has the value."""

    def __init__(self) -> None:
        self._future: asyncio.Future[float] | None = None

    def expect(self) -> asyncio.Future[float]:
        self._future = asyncio.get_running_loop().create_future()
        return self._future

    def now(self) -> None:
        if self._future is not None and not self._future.done():
            self._future.set_result(time.perf_counter())


Give = Callable[[], Awaitable[Any]]
Way = Callable[[Server, Arena, Got], AbstractAsyncContextManager[Give]]


async def run(arena: Arena) -> Result:
    ways: list[tuple[str, Way, Server]] = [("hub, bare socket", _hub_socket, arena.hub)]
    ways.append(("hub, bare socket, `wait`", _hub_wait, arena.hub))
    ways.append(("hub, `waggle` watch", _hub_client, arena.hub))
    if arena.redis is not None:
        ways += [(label, way, arena.redis) for label, way in _redis_ways(arena).items()]
    samples: dict[str, list[float]] = {label: [] for label, _, _ in ways}
    for number in range(arena.scale(6, 3)):
        for label, way, server in ways if number % 2 == 0 else reversed(ways):
            got = Got()
            async with way(server, arena, got) as give:
                samples[label] += await _pass_on(give, got, arena.scale(800, 300))
    return _report({label: Spread.of(values) for label, values in samples.items()})


def _redis_ways(arena: Arena) -> dict[str, Way]:
    ways: dict[str, Way] = {"redis, bare socket, keyspace event + GET": _redis_socket}
    if arena.redis_py is not None:
        ways |= {
            "redis, redis-py, keyspace event + GET": _redis_keyspace,
            "redis, redis-py, pub/sub": _redis_pubsub,
            "redis, redis-py, BLPOP": _redis_blpop,
        }
    return ways


def _report(spreads: dict[str, Spread]) -> Result:
    rivals = ["redis, redis-py, keyspace event + GET", "redis, redis-py, pub/sub", "redis, redis-py, BLPOP"]
    table = Table(
        "Hand-off: set by one, the waiter has the value",
        ["way", "p50", "p99", "to keyspace event", "to pub/sub", "to BLPOP"],
    )
    for label, spread in spreads.items():
        ratios = [ratio(spread.p50, spreads[rival].p50 if rival in spreads else None) for rival in rivals]
        table.rows.append([label, us(spread.p50), us(spread.p99), *ratios])
    table.notes.append("p50 against p50 of redis-py asyncio; below 1 is faster than Redis.")
    ours, blpop = spreads["hub, bare socket"], spreads.get(rivals[2])
    goal = Goal(
        "hand-off, p50, bare socket",
        "at most 0.6 of BLPOP",
        us(ours.p50) + (f", {ours.p50 / blpop.p50:.2f}" if blpop else ""),
        None if blpop is None else ours.p50 <= 0.6 * blpop.p50,
    )
    return Result([table], [goal], {label: spread.figures() for label, spread in spreads.items()})


async def _pass_on(give: Give, got: Got, count: int) -> list[float]:
    samples = []
    for number in range(count + 50):
        waiting = got.expect()
        start = time.perf_counter()
        await give()
        taken = await waiting - start
        if number >= 50:
            samples.append(taken)
    return samples


@asynccontextmanager
async def _hub_socket(server: Server, arena: Arena, got: Got) -> AsyncIterator[Give]:
    giver = await FastClient.open(server.host, server.port)
    waiter = await FastClient.open(server.host, server.port)

    def has(line: bytes) -> None:
        if VALUE in line:
            got.now()

    waiter.on_event = has
    await waiter.ask(b'"op":"subscribe","patterns":["%b"]' % KEY.encode())
    command = set_command(KEY, VALUE)
    yield lambda: giver.ask(command)
    giver.close()
    waiter.close()


@asynccontextmanager
async def _hub_wait(server: Server, arena: Arena, got: Got) -> AsyncIterator[Give]:
    """One `wait` for each value: asked for as soon as the one before is answered, for what is written after it."""
    giver = await FastClient.open(server.host, server.port)
    waiter = await FastClient.open(server.host, server.port)
    waits = b'"op":"wait","timeout":600,"all":[{"key":"%b","since":%d}]'

    async def wait() -> None:
        rev = 0
        while True:
            reply = msgspec.json.decode(await waiter.ask(waits % (KEY.encode(), rev)))
            rev = reply["ok"]["rev"]
            got.now()

    command = set_command(KEY, VALUE)
    async with _in_background(wait()):
        yield lambda: giver.ask(command)
    giver.close()
    waiter.close()


@asynccontextmanager
async def _hub_client(server: Server, arena: Arena, got: Got) -> AsyncIterator[Give]:
    value = json.loads(VALUE)
    async with waggle.connect(server.url) as giver, waggle.connect(server.url) as waiter, waiter.watch(KEY) as events:

        async def wait() -> None:
            async for event in events:
                assert event.value == value
                got.now()

        async with _in_background(wait()):
            yield lambda: giver.set(KEY, value, ttl=60)


@asynccontextmanager
async def _redis_socket(server: Server, arena: Arena, got: Got) -> AsyncIterator[Give]:
    giver, waiter, reader = [await FastRedis.open(server.host, server.port) for _ in range(3)]
    await giver.ask(b"CONFIG", b"SET", b"notify-keyspace-events", b"K$")

    def has(push: list[Answer]) -> None:
        reader.ask(b"GET", KEY.encode()).add_done_callback(lambda _: got.now())

    waiter.on_push = has
    await waiter.ask(b"SUBSCRIBE", CHANNEL)
    yield lambda: giver.ask(b"SET", KEY.encode(), VALUE, b"EX", b"60")
    await giver.ask(b"CONFIG", b"SET", b"notify-keyspace-events", b"")
    for client in (giver, waiter, reader):
        client.close()


@asynccontextmanager
async def _redis_keyspace(server: Server, arena: Arena, got: Got) -> AsyncIterator[Give]:
    async with _redis_py(server, arena) as giver, _redis_py(server, arena) as waiter:
        await giver.config_set("notify-keyspace-events", "K$")
        async with waiter.pubsub() as pubsub:
            await pubsub.subscribe(CHANNEL)

            async def wait() -> None:
                async for message in pubsub.listen():
                    if message["type"] == "message":
                        assert await waiter.get(KEY) == VALUE
                        got.now()

            async with _in_background(wait()):
                yield lambda: giver.set(KEY, VALUE, ex=60)
        await giver.config_set("notify-keyspace-events", "")


@asynccontextmanager
async def _redis_pubsub(server: Server, arena: Arena, got: Got) -> AsyncIterator[Give]:
    async with _redis_py(server, arena) as giver, _redis_py(server, arena) as waiter, waiter.pubsub() as pubsub:
        await pubsub.subscribe(KEY)

        async def wait() -> None:
            async for message in pubsub.listen():
                if message["data"] == VALUE:
                    got.now()

        async with _in_background(wait()):
            yield lambda: giver.publish(KEY, VALUE)


@asynccontextmanager
async def _redis_blpop(server: Server, arena: Arena, got: Got) -> AsyncIterator[Give]:
    async with _redis_py(server, arena) as giver, _redis_py(server, arena) as waiter:

        async def wait() -> None:
            while (await waiter.blpop(["hand:list"], timeout=0))[1] == VALUE:
                got.now()

        waiting = asyncio.create_task(wait())
        yield lambda: giver.rpush("hand:list", VALUE)
        await giver.rpush("hand:list", b"the end")  # redis-py 8 retries a blpop that is cancelled, for a minute
        await waiting


def _redis_py(server: Server, arena: Arena) -> Any:
    assert arena.redis_py is not None
    return arena.redis_py.asyncio.Redis(host=server.host, port=server.port)


@asynccontextmanager
async def _in_background(waiting: Any) -> AsyncIterator[None]:
    task = asyncio.create_task(waiting)
    await asyncio.sleep(0.05)
    yield
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
