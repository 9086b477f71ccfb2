"""Locks and waits: what one costs when nobody else wants it, when many do, and what waits elsewhere cost a set."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from .arena import Arena, Server
from .callers import set_command
from .fastclient import FastClient
from .report import Result, Spread, Table, ratio, us

VALUE = b'{"n":1}'
QUEUE = 100
WAITS = 10_000
_decode = msgspec.json.Decoder(dict[str, Any]).decode


async def run(arena: Arena) -> Result:
    alone = await _alone(arena)
    queued, whole = await _queue(arena)
    quiet, beside = await _sets_beside_waits(arena)
    locks = Table("Locks, over a bare socket", ["work", "p50", "p99"])
    spreads = {
        "lock and unlock, one after another, uncontended": alone,
        f"unlock until the next of {QUEUE} sessions in the queue is told": queued,
    }
    for label, spread in spreads.items():
        locks.rows.append([label, us(spread.p50), us(spread.p99)])
    locks.notes.append(f"The lock passed through all {QUEUE} sessions, one after another, in {whole * 1e3:.0f} ms.")
    waits = Table("A set, and waits elsewhere", ["waits", "p50", "p99", "to none"])
    waits.rows.append(["none", us(quiet.p50), us(quiet.p99), "1.00"])
    waits.rows.append([f"{WAITS:,}", us(beside.p50), us(beside.p99), ratio(beside.p50, quiet.p50)])
    figures = {label: spread.figures() for label, spread in spreads.items()}
    figures |= {"set, no waits": quiet.figures(), f"set, {WAITS} waits": beside.figures()}
    return Result([locks, waits], [], figures)


async def _alone(arena: Arena) -> Spread:
    async with _client(arena.hub) as client:

        async def once(number: int) -> None:
            granted = _decode(await client.ask(b'"op":"lock","name":"bench"'))
            await client.ask(b'"op":"unlock","token":%d' % granted["ok"]["token"])

        return Spread.of(await _timed(once, arena.scale(4_000, 800)))


async def _queue(arena: Arena) -> tuple[Spread, float]:
    """Each in the queue lets go as soon as it is granted; the clock runs from one grant to the next."""
    clients = [await FastClient.open(arena.hub.host, arena.hub.port) for _ in range(QUEUE + 1)]
    hops: list[float] = []
    whole: list[float] = []
    for _ in range(arena.scale(20, 5)):
        first = _decode(await clients[0].ask(b'"op":"lock","name":"bench"'))
        grants: list[asyncio.Future[bytes]] = []
        for client in clients[1:]:
            grants.append(client.ask(b'"op":"lock","name":"bench","wait":null'))
            await asyncio.sleep(0)
        await clients[0].ask(b'"op":"ping"')
        await asyncio.gather(*(client.ask(b'"op":"ping"') for client in clients))
        began = last = time.perf_counter()
        await clients[0].ask(b'"op":"unlock","token":%d' % first["ok"]["token"])
        waiting = dict(zip(grants, clients[1:], strict=True))
        while waiting:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for grant in done:
                hops.append(time.perf_counter() - last)
                last = time.perf_counter()
                waiting.pop(grant).ask(b'"op":"unlock","token":%d' % _decode(grant.result())["ok"]["token"])
        whole.append(time.perf_counter() - began)
        await asyncio.gather(*(client.ask(b'"op":"ping"') for client in clients))
    for client in clients:
        client.close()
    return Spread.of(hops), sorted(whole)[len(whole) // 2]


async def _sets_beside_waits(arena: Arena) -> tuple[Spread, Spread]:
    async with _client(arena.hub) as setter, _client(arena.hub) as waiter:
        command = set_command("bench:set", VALUE)

        async def once(number: int) -> None:
            await setter.ask(command)

        quiet = await _timed(once, arena.scale(4_000, 800))
        waits = [
            waiter.ask(b'"op":"wait","timeout":600,"all":[{"key":"never:%d"},{"pattern":"go:%d:*"}]' % (number, number))
            for number in range(WAITS)
        ]
        await waiter.ask(b'"op":"ping"')
        beside = await _timed(once, arena.scale(4_000, 800))
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
