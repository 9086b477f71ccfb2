"""A million keys with a ttl: the memory of each, whether loading them makes anybody else wait, and how long a server
takes to come back with them from disk.

Only systems whose keys have a ttl each take part: the hub and Redis.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from tests.bench.machine import rss
from tests.bench.measurement import Measurement
from tests.bench.pinger import pinging
from tests.bench.processes import Server
from tests.bench.results import Column, Result, Table
from tests.bench.rounds import Spread
from tests.bench.systems import System

BATCH, UNDER_WAY = 100, 2
"""Keys in a write, and writes under way, while another client must not wait for long."""
LARGE, MANY = 500, 3
"""The same without another client."""
LIMIT = 180.0
"""Seconds for loading them."""
KEPT = {"waggle": "relaxed", "redis": "everysec"}
"""How they are kept; what is on disk, and a start, are the same in the safer modes."""


def value_of(number: int) -> bytes:
    return b'{"task":%07d,"state":"open","note":"written by the bench"}' % (1_000_000 + number)


def key_of(number: int) -> str:
    return f"key:{number:07d}"


async def run(measurement: Measurement) -> Result:
    keys = measurement.scale(1_000_000, 100_000)
    systems = [system for system in measurement.systems if system.name in KEPT]
    return Result([await _memory(measurement, systems, keys), await _start(measurement, systems, keys)])


async def _memory(measurement: Measurement, systems: list[System], keys: int) -> Table:
    columns = [
        Column("memory a key", "B", "less", "redis"), Column("slowest ping", "s", "less"),
        Column("p99 of pings", "s", "less"), Column("the machine's own pause", "s"), Column("loaded", "/s", "more"),
    ]  # fmt: skip
    table = Table("million", f"{keys:,} keys with a ttl of 1 to 10 hours", columns)
    for system in systems:
        with ExitStack() as stack:
            server = stack.enter_context(measurement.start(system))
            before = rss(server.pid)
            async with pinging(system, server) as pinger:
                await pinger.ask()
                rate = await _load(measurement, system, server, keys, BATCH, UNDER_WAY)
                pings = await pinger.ask()
            beyond = (rss(server.pid) - before) / keys - len(value_of(0))
        spread = Spread.of(pings.samples)
        told = [beyond, spread.max, spread.p99, max(pings.oversleeps), rate]
        table.rows[system.name] = [[figure] for figure in told]
    table.notes.append(
        f"Memory beyond the value of {len(value_of(0))} bytes. Loaded in random order, {BATCH} in a write, {UNDER_WAY} "
        "writes under way. The pings come from another connection and another process; `the machine's own pause` is "
        "the longest delay of that process's own sleeps, which the server does not cause. The hub's memory includes "
        "its log of 100,000 events."
    )
    return table


async def _start(measurement: Measurement, systems: list[System], keys: int) -> Table:
    columns = [Column("until it answers", "s", "less", "redis"), Column("on disk, an entry", "B", "less", "redis")]
    table = Table("start", f"A start on {keys:,} entries", columns)
    for system in systems:
        mode = KEPT[system.name]
        with tempfile.TemporaryDirectory(dir=measurement.directory) as home:
            with system.start(mode, Path(home)) as server:
                await _load(measurement, system, server, keys, LARGE, MANY)
            size = sum(file.stat().st_size for file in Path(home).rglob("*") if file.is_file())
            starts = [await asyncio.to_thread(_time, system, mode, Path(home)) for _ in range(measurement.scale(3, 1))]
        table.rows[system.name] = [starts, [size / keys]]
    table.notes.append(
        "The hub in `relaxed`, Redis with its append-only file in `everysec`. From the start of the process on."
    )
    return table


def _time(system: System, mode: str, home: Path) -> float:
    started = time.perf_counter()
    with system.start(mode, home):
        return time.perf_counter() - started


async def _load(
    measurement: Measurement, system: System, server: Server, keys: int, batch: int, under_way: int
) -> float:
    """Set them all, in an order of no order; gives how many that were a second."""
    tape = await asyncio.to_thread(_tape, system, keys, batch)
    with system.dial(server) as sock:
        found = await measurement.load.ask(
            [sock], [tape], system.marker, seconds=LIMIT, each=batch, window=under_way, once=True
        )  # fmt: skip
    return found.rate


def _tape(system: System, keys: int, size: int) -> list[bytes]:
    numbers = list(range(keys))
    chance = random.Random(4483)
    chance.shuffle(numbers)
    batches = (numbers[begin : begin + size] for begin in range(0, keys, size))
    return [
        system.sets([(key_of(n), value_of(n)) for n in batch], place * size, ttl=chance.uniform(3600, 36_000))
        for place, batch in enumerate(batches)
    ]
