"""Expiry: how late a subscriber hears that a key's time has come.

Three cases: many keys due at one instant (100,000, then 5,000), and single ones while the server has nothing else to
do. `late` in the hub's events is its own word; `arrival` is measured here, from the deadline to the line, and is what
can be compared with Redis (`expired` key events, which come when Redis gets round to deleting).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from .arena import Arena, Server, start
from .callers import set_command
from .fastclient import FastClient
from .fastredis import Answer, FastRedis
from .helper import start_helper
from .report import Goal, Result, Spread, Table, ms, ratio

BATCH = 25
"""Keys in one message: small, so that the deadlines are within a millisecond or two of each other."""
_TRIAL = 1_000
"""Keys that are loaded first to see how fast that goes."""
_LEAD = 0.7
"""Seconds between the end of loading and the first deadline, at least."""
_HOUR = 3600.0


@dataclass
class Case:
    """So many keys, due at one instant or spread over some seconds; and how long to wait for the last of them."""

    name: str
    keys: int
    seconds: float
    patience: float


@dataclass
class Heard:
    """One expiry as a subscriber heard of it, in Unix seconds; `late` is the server's own word, if it has one."""

    arrived: float
    deadline: float
    late: float | None


@dataclass
class Found:
    """What one server did in one case."""

    heard: list[Heard]
    pings: list[float]
    noise: float

    @property
    def arrival(self) -> Spread:
        return Spread.of([each.arrived - each.deadline for each in self.heard])

    @property
    def late(self) -> Spread | None:
        own = [each.late for each in self.heard if each.late is not None]
        return Spread.of(own) if own else None


class Side(Protocol):
    """A server with somebody who sets keys and somebody who hears them expire."""

    @property
    def count(self) -> int:
        """Expiries heard so far."""

    def set(self, number: int, deadline: float) -> Awaitable[Any]: ...

    def heard(self, deadlines: list[float]) -> list[Heard]: ...

    def close(self) -> None: ...


async def run(arena: Arena) -> Result:
    many = arena.scale(100_000, 20_000)
    cases = [
        Case(f"{many:,} at one instant", many, 0.0, arena.scale(20, 5)),
        Case("5,000 at one instant", 5_000, 0.0, arena.scale(10, 5)),
        Case("one by one, idle", arena.scale(1_000, 400), arena.scale(5, 2), 5.0),
    ]
    result = Result()
    for case in cases:
        found = {}
        for server in arena.servers:
            with start(server.kind) as fresh:
                found[server.kind] = await _play(fresh, case)
        result.tables.append(_table(case, found))
        result.goals += _goals(case, found["hub"])
        result.figures[case.name] = {
            kind: {"arrival": each.arrival.figures(), "heard": len(each.heard), "ping": max(each.pings)}
            for kind, each in found.items()
        }
    return result


async def _play(server: Server, case: Case) -> Found:
    side: Side = await HubSide.open(server) if server.kind == "hub" else await RedisSide.open(server)
    began = time.time()
    await _load(side, [began + _HOUR] * _TRIAL)
    cost = (time.time() - began) / _TRIAL
    chance = random.Random(4483)
    begin = time.time() + 1.5 * cost * case.keys + _LEAD
    deadlines = [begin + chance.random() * case.seconds for _ in range(case.keys)]
    with start_helper("pinger", server) as pinger:
        await _load(side, deadlines)
        if time.time() > begin:
            raise RuntimeError("the machine is too busy: loading took longer than its trial promised")
        await asyncio.sleep(max(0.0, begin - time.time() - 0.2))
        pinger.ask()
        while time.time() < begin + case.seconds + case.patience and side.count < case.keys:
            await asyncio.sleep(0.2)
        told = pinger.ask()
    heard = side.heard(deadlines)
    side.close()
    return Found(heard, told["samples"], max(told["oversleeps"]))


async def _load(side: Side, deadlines: list[float]) -> None:
    for first in range(0, len(deadlines), BATCH):
        numbers = range(first, min(first + BATCH, len(deadlines)))
        await [side.set(number, deadlines[number]) for number in numbers][-1]


class HubSide:
    """Sets with a ttl; expiries from a subscription."""

    def __init__(self, setter: FastClient, watcher: FastClient) -> None:
        self._setter = setter
        self._watcher = watcher
        self._lines: list[tuple[float, bytes]] = []
        watcher.on_event = self._event

    @classmethod
    async def open(cls, server: Server) -> HubSide:
        setter, watcher = [await FastClient.open(server.host, server.port) for _ in range(2)]
        side = cls(setter, watcher)
        await watcher.ask(b'"op":"subscribe","patterns":["due:*"],"types":["expire"]')
        return side

    @property
    def count(self) -> int:
        return len(self._lines)

    def set(self, number: int, deadline: float) -> Awaitable[Any]:
        return self._setter.ask(set_command(f"due:{number:06d}", b"1", deadline - time.time()))

    def heard(self, deadlines: list[float]) -> list[Heard]:
        events = [(arrived, msgspec.json.decode(line)) for arrived, line in self._lines]
        return [Heard(arrived, event["deadline"], event["late"]) for arrived, event in events]

    def close(self) -> None:
        self._setter.close()
        self._watcher.close()

    def _event(self, line: bytes) -> None:
        if b'"type":"expire"' in line:
            self._lines.append((time.time(), line))


class RedisSide:
    """Sets with PXAT, so at exactly one instant; `expired` key events."""

    def __init__(self, setter: FastRedis, watcher: FastRedis) -> None:
        self._setter = setter
        self._watcher = watcher
        self._keys: list[tuple[float, Answer]] = []
        watcher.on_push = lambda push: self._keys.append((time.time(), push[2]))

    @classmethod
    async def open(cls, server: Server) -> RedisSide:
        setter, watcher = [await FastRedis.open(server.host, server.port) for _ in range(2)]
        side = cls(setter, watcher)
        await setter.ask(b"CONFIG", b"SET", b"notify-keyspace-events", b"Ex")
        await watcher.ask(b"SUBSCRIBE", b"__keyevent@0__:expired")
        return side

    @property
    def count(self) -> int:
        return len(self._keys)

    def set(self, number: int, deadline: float) -> Awaitable[Any]:
        return self._setter.ask(b"SET", b"due:%06d" % number, b"1", b"PXAT", b"%d" % (deadline * 1000))

    def heard(self, deadlines: list[float]) -> list[Heard]:
        found = []
        for arrived, key in self._keys:
            assert isinstance(key, bytes)
            found.append(Heard(arrived, deadlines[int(key.removeprefix(b"due:"))], None))
        return found

    def close(self) -> None:
        self._setter.close()
        self._watcher.close()


def _table(case: Case, found: dict[str, Found]) -> Table:
    columns = ["", "arrival p50", "p99", "max", "p50 to Redis", "hub's `late` p50", "p99", "max", "heard"]
    table = Table(f"Expiry: {case.name}", [*columns, "slowest ping", "machine's own"])
    redis = found["redis"].arrival if "redis" in found else None
    for kind, each in found.items():
        arrival, late = each.arrival, each.late
        row = [
            kind,
            ms(arrival.p50),
            ms(arrival.p99),
            ms(arrival.max),
            ratio(arrival.p50, redis.p50 if redis else None),
        ]
        row += [ms(late.p50), ms(late.p99), ms(late.max)] if late else ["", "", ""]
        table.rows.append([*row, f"{len(each.heard):,} of {case.keys:,}", ms(max(each.pings)), ms(each.noise)])
    if not case.seconds:
        deadlines = [each.deadline for each in found["hub"].heard]
        apart = max(deadlines) - min(deadlines)
        table.notes.append(f"The hub's deadlines were {ms(apart)} apart: it takes a ttl, not an instant.")
    return table


def _goals(case: Case, hub: Found) -> list[Goal]:
    assert hub.late is not None
    if case.seconds:
        return [Goal("expiry, idle, p99 of `late`", "under 10 ms", ms(hub.late.p99), hub.late.p99 < 0.010)]
    if case.keys == 5_000:
        last = hub.arrival.max
        return [Goal("expiry, 5,000 at one instant, the last arrives", "within 50 ms", ms(last), last <= 0.050)]
    slowest = max(hub.pings)
    return [Goal(f"slowest ping while {case.keys:,} expire", "20 ms", ms(slowest), slowest <= 0.020)]
