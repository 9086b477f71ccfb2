"""Sets: one after another, and 64 at a time.

64 at a time means 64 tasks of one process that each set a key, await the reply, and begin again. The bare sockets send
what their tasks ask for in one turn of the loop in one write, on one connection; `waggle` and `websockets` write each
command as it comes, on one connection; redis-py opens as many connections as it has callers, as it does for its users.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable

from .arena import Arena, Server
from .callers import Caller, open_all
from .machine import Cpu
from .report import Goal, Result, Spread, Table, lowest_highest, middle, percent, ratio, us

VALUE = b'{"owner":"impl-1","state":"working","note":"half way through it"}'
TOGETHER = 64

Round = Callable[[Caller, int], Awaitable[list[float]]]


class Tally:
    """What the rounds of one contestant gave."""

    def __init__(self, caller: Caller, server: Server) -> None:
        self.caller = caller
        self.server = server
        self.samples: list[float] = []
        self.rates: list[float] = []
        self.shares: list[float] = []
        self.costs: list[float] = []

    @property
    def cpu(self) -> list[str]:
        """The CPU share of the client, and the CPU time of the server for each set."""
        return [percent(middle(self.shares)), f"{middle(self.costs) * 1e6:.1f} µs"]

    def figures(self) -> dict[str, float]:
        return {"rate": middle(self.rates), "server cpu": middle(self.costs), **Spread.of(self.samples).figures()}

    async def round(self, work: Round, count: int) -> None:
        cpu = Cpu(os.getpid(), self.server.pid)
        start = time.perf_counter()
        self.samples += await work(self.caller, count)
        self.rates.append(count / (time.perf_counter() - start))
        self.shares.append(cpu.shares()[0])
        self.costs.append(cpu.seconds()[1] / count)


async def run(arena: Arena) -> Result:
    result = Result()
    await _one_after_another(arena, result)
    await _together(arena, result)
    return result


async def _one_after_another(arena: Arena, result: Result) -> None:
    tallies = await _play(arena, _singly, rounds=arena.scale(8, 4), count=arena.scale(1500, 500), blocking=True)
    spreads = {tally.caller.label: Spread.of(tally.samples) for tally in tallies}
    table = Table(
        "One set after another",
        [
            "client",
            "p50",
            "p99",
            "to redis-py asyncio",
            "to redis-py blocking",
            "to bare socket",
            "CPU of client",
            "server CPU a set",
        ],
    )
    rivals = [spreads.get(f"redis, {name}") for name in ("redis-py asyncio", "redis-py blocking", "bare socket")]
    for tally in tallies:
        spread = spreads[tally.caller.label]
        ratios = [ratio(spread.p50, rival.p50 if rival else None) for rival in rivals]
        table.rows.append([tally.caller.label, us(spread.p50), us(spread.p99), *ratios, *tally.cpu])
    table.notes.append(f"A value of {len(VALUE)} bytes with a ttl; p50 against p50: below 1 is faster than Redis.")
    result.tables.append(table)
    result.figures["single"] = {tally.caller.label: tally.figures() for tally in tallies}
    redis_py = spreads.get("redis, redis-py asyncio")
    for label in ("hub, bare socket", "hub, `waggle`"):
        share = spreads[label].p50 / redis_py.p50 if redis_py else None
        result.goals.append(
            Goal(
                f"one set after another, p50, {label}",
                "at most 0.6 of redis-py asyncio",
                us(spreads[label].p50) + (f", {share:.2f}" if share else ""),
                None if share is None else share <= 0.6,
            )
        )


async def _together(arena: Arena, result: Result) -> None:
    tallies = await _play(arena, _by_64_tasks, rounds=arena.scale(8, 4), count=arena.scale(12_800, 3_200))
    rates = {tally.caller.label: middle(tally.rates) for tally in tallies}
    table = Table(
        "64 sets at a time",
        [
            "client",
            "sets/s",
            "in thousands",
            "to redis-py asyncio",
            "to bare socket",
            "CPU of client",
            "server CPU a set",
        ],
    )
    rivals = [rates.get("redis, redis-py asyncio"), rates.get("redis, bare socket")]
    for tally in tallies:
        rate = rates[tally.caller.label]
        spread = lowest_highest(tally.rates, 1e3)
        ratios = [ratio(rate, rival) for rival in rivals]
        table.rows.append([tally.caller.label, f"{rate:,.0f}", spread, *ratios, *tally.cpu])
    table.notes.append("64 tasks, each awaits its reply before it sets again; above 1 is faster than Redis.")
    result.tables.append(table)
    result.figures["together"] = {tally.caller.label: tally.figures() for tally in tallies}
    redis_py = rates.get("redis, redis-py asyncio")
    times = rates["hub, bare socket"] / redis_py if redis_py else None
    result.goals.append(
        Goal(
            "64 sets at a time, bare socket",
            "5 times redis-py asyncio",
            f"{rates['hub, bare socket']:,.0f}/s" + (f", {times:.1f} times" if times else ""),
            None if times is None else times >= 5,
        )
    )


async def _play(arena: Arena, work: Round, *, rounds: int, count: int, blocking: bool = False) -> list[Tally]:
    """Rounds that take turns, after one that does not count."""
    tallies = [Tally(caller, server) for caller, server in await open_all(arena, blocking=blocking)]
    for tally in tallies:
        await work(tally.caller, max(count // 10, TOGETHER))
    for number in range(rounds):
        for tally in tallies if number % 2 == 0 else reversed(tallies):
            await tally.round(work, count)
    for tally in tallies:
        await tally.caller.close()
    return tallies


async def _singly(caller: Caller, count: int) -> list[float]:
    samples = []
    clock = time.perf_counter
    for number in range(count):
        start = clock()
        await caller.set(f"single:{number % 1000}", VALUE)
        samples.append(clock() - start)
    return samples


async def _by_64_tasks(caller: Caller, count: int) -> list[float]:
    samples = []
    clock = time.perf_counter

    async def one(task: int) -> None:
        for number in range(count // TOGETHER):
            start = clock()
            await caller.set(f"task:{task}:{number % 100}", VALUE)
            samples.append(clock() - start)

    await asyncio.gather(*(one(task) for task in range(TOGETHER)))
    return samples
