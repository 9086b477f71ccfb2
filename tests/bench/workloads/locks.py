"""Locks and waits: the cost of one alone, of one among many, and of waits elsewhere to a set."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from tests.bench.measurement import Measurement
from tests.bench.processes import Server
from tests.bench.results import Column, Result, Table
from tests.bench.rounds import Spread
from tests.bench.systems.fastclient import FastClient
from tests.bench.systems.waggle import WAGGLE, set_command

VALUE = b'{"n":1}'
QUEUE = 100
WAITS = 10_000
_decode = msgspec.json.Decoder(dict[str, Any]).decode


async def run(measurement: Measurement) -> Result:
    columns = [Column("p50", "s", "less"), Column("p99", "s", "less")]
    table = Table("locks", "Locks and waits, over a bare socket in Python", columns)
    rounds = measurement.scale(3, 1)
    with measurement.start(WAGGLE) as server:
        for _ in range(rounds):
            quiet, beside = await _sets_beside_waits(measurement, server)
            _add(table, "lock and unlock, uncontended", await _alone(measurement, server))
            _add(table, f"unlock, until the next of {QUEUE} is told", await _queue(measurement, server))
            _add(table, "a set, beside no waits", quiet)
            _add(table, f"a set, beside {WAITS:,} waits", beside)
    return Result([table])


def _add(table: Table, row: str, spread: Spread) -> None:
    cells = table.rows.setdefault(row, [[], []])
    cells[0].append(spread.p50)
    cells[1].append(spread.p99)


async def _alone(measurement: Measurement, server: Server) -> Spread:
    async with _client(server) as client:

        async def once(number: int) -> None:
            granted = _decode(await client.ask(b'"op":"lock","name":"bench"'))
            await client.ask(b'"op":"unlock","token":%d' % granted["ok"]["token"])

        return Spread.of(await _timed(once, measurement.scale(1_500, 500)))


async def _queue(measurement: Measurement, server: Server) -> Spread:
    """Each in the queue lets go as soon as it is granted; the clock runs from one grant to the next."""
    clients = [await FastClient.open(server.host, server.port) for _ in range(QUEUE + 1)]
    hops: list[float] = []
    for _ in range(measurement.scale(8, 3)):
        first = _decode(await clients[0].ask(b'"op":"lock","name":"bench"'))
        grants: list[asyncio.Future[bytes]] = []
        for client in clients[1:]:
            grants.append(client.ask(b'"op":"lock","name":"bench","wait":null'))
            await asyncio.sleep(0)
        await clients[0].ask(b'"op":"ping"')
        await asyncio.gather(*(client.ask(b'"op":"ping"') for client in clients))
        last = time.perf_counter()
        await clients[0].ask(b'"op":"unlock","token":%d' % first["ok"]["token"])
        waiting = dict(zip(grants, clients[1:], strict=True))
        while waiting:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for grant in done:
                hops.append(time.perf_counter() - last)
                last = time.perf_counter()
                waiting.pop(grant).ask(b'"op":"unlock","token":%d' % _decode(grant.result())["ok"]["token"])
        await asyncio.gather(*(client.ask(b'"op":"ping"') for client in clients))
    for client in clients:
        client.close()
    return Spread.of(hops)


async def _sets_beside_waits(measurement: Measurement, server: Server) -> tuple[Spread, Spread]:
    async with _client(server) as setter, _client(server) as waiter:
        command = set_command("bench:set", VALUE)

        async def once(number: int) -> None:
            await setter.ask(command)

        quiet = await _timed(once, measurement.scale(1_500, 500))
        waits = [
            waiter.ask(b'"op":"wait","timeout":600,"all":[{"key":"never:%d"},{"pattern":"go:%d:*"}]' % (number, number))
            for number in range(WAITS)
        ]
        await waiter.ask(b'"op":"ping"')
        beside = await _timed(once, measurement.scale(1_500, 500))
        again = [waiter.ask(b'"op":"cancel","target":%d' % number) for number in range(2, WAITS + 2)]
        await asyncio.gather(*again, *waits)
        return Spread.of(quiet), Spread.of(beside)


async def _timed(once: Callable[[int], Any], count: int) -> list[float]:
    samples = []
    for number in range(count + 100):
        start = time.perf_counter()
        await once(number)
        if number >= 100:
            samples.append(time.perf_counter() - start)
    return samples


@asynccontextmanager
async def _client(server: Server) -> Any:
    client = await FastClient.open(server.host, server.port)
    yield client
    client.close()
