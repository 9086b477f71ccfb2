"""Sets by Python clients: one after another, 64 at a time, and from 50 connections; in memory, and kept safely.

64 at a time means 64 tasks of one process that each set a key, await the reply, and begin again. The bare sockets send
what their tasks ask for in one turn of the loop in one write, on one connection; Waggle's own client and nats-py write
to one connection, too; redis-py opens as many connections as it has callers, as it does for its users. From 50
connections means a client each, with one set under way.
"""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import AsyncExitStack

from tests.bench.machine import Cpu
from tests.bench.measurement import Measurement, taking_turns
from tests.bench.processes import Server
from tests.bench.results import Column, Result, Table
from tests.bench.rounds import Spread
from tests.bench.systems import System
from tests.bench.systems.port import VALUE, Client

REDIS_PY, ALWAYS = "redis, redis-py", "redis, redis-py, always"


async def run(measurement: Measurement) -> Result:
    plain = [(system, system.modes[0]) for system in measurement.systems]
    kept = [(system, system.modes[-1]) for system in measurement.systems]
    big, small = measurement.scale(9_600, 1_920), measurement.scale(1_200, 300)
    one = Table("sets-one", "One set after another, by Python clients", _columns("p50", REDIS_PY))
    many = Table("sets-many", "64 sets at a time, by Python clients", _columns("rate", REDIS_PY))
    wide = Table("sets-wide", "Sets from 50 connections, by Python clients", _columns("rate", REDIS_PY))
    kept_one = Table("sets-kept-one", "One set after another, kept safely", _columns("p50", ALWAYS))
    kept_many = Table("sets-kept-many", "64 sets at a time, kept safely", _columns("rate", ALWAYS))
    await _play(measurement, plain, [(one, 1, 1, small), (many, 1, 64, big), (wide, 50, 1, big)])
    await _play(measurement, kept, [(kept_one, 1, 1, small // 4), (kept_many, 1, 64, big // 4)])
    one.notes.append(f"A value of {len(VALUE)} bytes with a ttl of an hour.")
    kept_one.notes.append(
        "`full` and `always`: on disk before the reply. nats-server syncs its file every two minutes."
    )
    return Result([one, many, wide, kept_one, kept_many])


def _columns(first: str, rival: str) -> list[Column]:
    speed = [Column("p50", "s", "less", rival if first == "p50" else ""), Column("p99", "s", "less")]
    rate = [Column("rate", "/s", "more", rival if first == "rate" else "")]
    cost = [Column("server CPU a set", "s", "less"), Column("CPU of client", "share")]
    return (speed + rate if first == "p50" else rate + speed) + cost


class Contestant:
    """Clients of one kind at one server."""

    def __init__(self, label: str, server: Server, clients: list[Client]) -> None:
        self.label = label
        self._server = server
        self._clients = clients

    async def round(self, connections: int, each: int, count: int) -> dict[str, float]:
        """So many sets by `each` tasks on each of so many connections."""
        taken: list[float] = []
        clock = time.perf_counter

        async def task(client: Client, name: str) -> None:
            for number in range(count // connections // each):
                start = clock()
                await client.set(f"{name}:{number % 100}", VALUE)
                taken.append(clock() - start)

        clients = self._clients[:connections]
        cpu, start = Cpu(os.getpid(), self._server.pid), clock()
        await asyncio.gather(
            *(task(client, f"k:{n}:{more}") for n, client in enumerate(clients) for more in range(each))
        )
        seconds = clock() - start
        client_cpu, server_cpu = cpu.seconds()
        spread = Spread.of(taken)
        return {
            "p50": spread.p50,
            "p99": spread.p99,
            "rate": len(taken) / seconds,
            "server CPU a set": server_cpu / len(taken),
            "CPU of client": client_cpu / seconds,
        }


async def _play(
    measurement: Measurement, systems: list[tuple[System, str]], workloads: list[tuple[Table, int, int, int]]
) -> None:
    """Rounds that take turns, after one that does not count."""
    async with AsyncExitStack() as stack:
        contestants = []
        most = max(connections for _, connections, _, _ in workloads)
        for system, mode in systems:
            server = stack.enter_context(measurement.start(system, mode))
            for kind in system.clients:
                clients = [await kind.open(server) for _ in range(most)]
                for client in clients:
                    stack.push_async_callback(client.close)
                label = kind.label if mode == "memory" else f"{kind.label}, {mode}"
                contestants.append(Contestant(label, server, clients))
        for table, connections, each, count in workloads:
            table.rows = {contestant.label: [[] for _ in table.columns] for contestant in contestants}
            for contestant in contestants:
                await contestant.round(connections, each, max(count // 8, connections * each))
            for order in taking_turns(measurement.scale(6, 2), len(contestants)):
                for place in order:
                    found = await contestants[place].round(connections, each, count)
                    for column, cell in zip(table.columns, table.rows[contestants[place].label], strict=True):
                        cell.append(found[column.name])
