"""A million keys with a ttl: the memory of each, and whether loading them makes anybody else wait."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

from .arena import Arena, Server, start
from .callers import set_command
from .fastclient import FastClient
from .fastredis import FastRedis
from .helper import start_helper
from .machine import rss
from .report import Goal, Result, Table, ms, ratio

BATCH = 500
OUTSTANDING = 3

Load = Callable[[list[int]], Awaitable[None]]


def value_of(number: int) -> bytes:
    return b'{"task":%07d,"state":"open","note":"written by the bench"}' % (1_000_000 + number)


def key_of(number: int) -> str:
    return f"key:{number:07d}"


async def run(arena: Arena) -> Result:
    keys = arena.scale(1_000_000, 100_000)
    result = Result()
    table = Table(
        f"{keys:,} keys with a ttl of 1 to 10 hours",
        ["", "memory", "bytes a key beyond its value", "to Redis", "keys/s", "slowest ping", "p99", "machine's own"],
    )
    found = {server.kind: await _measure(server.kind, keys) for server in reversed(arena.servers)}
    redis = found["redis"]["beyond"] if "redis" in found else None
    for kind in ("hub", "redis"):
        if kind in found:
            each = found[kind]
            table.rows.append(
                [
                    kind, f"{each['memory'] / 1e6:.0f} MB", f"{each['beyond']:.0f}", ratio(each["beyond"], redis),
                    f"{each['rate']:,.0f}", ms(each["slowest"]), ms(each["p99"]), ms(each["noise"]),
                ]
            )  # fmt: skip
    table.notes.append(
        f"Values of {len(value_of(0))} bytes, sent {BATCH} at a time, {OUTSTANDING} such batches under way. The pings "
        "are another connection's, from another process; `machine's own` is by how much the longest of its sleeps was "
        "too long, so what the machine adds by itself. The hub's memory holds its log of the last 100,000 events."
    )
    result.tables.append(table)
    hub = found["hub"]
    result.goals.append(Goal("longest pause while loading", "20 ms", ms(hub["slowest"]), hub["slowest"] <= 0.020))
    if not arena.quick:  # with few keys the log outweighs them
        beyond = hub["beyond"]
        result.goals.append(
            Goal("memory of a key beyond its value", "under 400 bytes", f"{beyond:.0f} bytes", beyond < 400)
        )
    result.figures = dict(found)
    return result


async def _measure(kind: str, keys: int) -> dict[str, float]:
    with start(kind) as server, start_helper("pinger", server) as pinger:
        load, close = await (hub_load if kind == "hub" else redis_load)(server)
        await load([])
        before = rss(server.pid)
        pinger.ask()
        started = time.perf_counter()
        await load_all(load, keys)
        seconds = time.perf_counter() - started
        pings = pinger.ask()
        memory = rss(server.pid) - before
        close()
    samples = sorted(pings["samples"])
    return {
        "memory": memory,
        "beyond": memory / keys - len(value_of(0)),
        "rate": keys / seconds,
        "slowest": samples[-1],
        "p99": samples[int(len(samples) * 0.99)],
        "noise": max(pings["oversleeps"]),
    }


async def load_all(load: Load, keys: int) -> None:
    """Batches of keys in an order of no order, a few under way at any time."""
    numbers = list(range(keys))
    random.Random(4483).shuffle(numbers)
    batches = iter(range(0, keys, BATCH))

    async def work() -> None:
        for start_at in batches:
            await load(numbers[start_at : start_at + BATCH])

    await asyncio.gather(*(work() for _ in range(OUTSTANDING)))


async def hub_load(server: Server) -> tuple[Load, Callable[[], None]]:
    """Loads keys into a hub; and how to stop."""
    client = await FastClient.open(server.host, server.port)
    chance = random.Random(1)

    async def load(numbers: list[int]) -> None:
        replies = [
            client.ask(set_command(key_of(number), value_of(number), chance.uniform(3600, 36_000)))
            for number in numbers
        ]  # fmt: skip
        if replies:
            await replies[-1]

    return load, client.close


async def redis_load(server: Server) -> tuple[Load, Callable[[], None]]:
    """The same for a Redis."""
    client = await FastRedis.open(server.host, server.port)
    chance = random.Random(1)

    async def load(numbers: list[int]) -> None:
        answers = [
            client.ask(
                b"SET", key_of(number).encode(), value_of(number), b"PX", b"%d" % chance.uniform(3_600_000, 36_000_000)
            )
            for number in numbers
        ]
        if answers:
            await answers[-1]

    return load, client.close
