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

from tests.bench.measurement import Measurement
from tests.bench.pinger import Pings, pinging
from tests.bench.processes import Server
from tests.bench.results import Column, Result, Table
from tests.bench.rounds import Spread
from tests.bench.systems import System
from tests.bench.systems.fastclient import FastClient
from tests.bench.systems.fastredis import Answer, FastRedis
from tests.bench.systems.waggle import set_command

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
    title: str
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
    """Figures of one server in one case."""

    heard: list[Heard]
    pings: Pings

    def figures(self) -> list[list[float]]:
        """A row of the table."""
        arrival = Spread.of([each.arrived - each.deadline for each in self.heard])
        own = [each.late for each in self.heard if each.late is not None]
        late = Spread.of(own) if own else None
        ping, machine = max(self.pings.samples), max(self.pings.oversleeps)
        told = [arrival.max, arrival.p50, arrival.p99, ping, machine, late.p99 if late else None]
        return [[] if figure is None else [figure] for figure in told]


class Side(Protocol):
    """A server with one client that sets keys and one that hears them expire."""

    @property
    def count(self) -> int:
        """Expiries heard so far."""

    def set(self, number: int, deadline: float) -> Awaitable[Any]: ...

    def heard(self, deadlines: list[float]) -> list[Heard]: ...

    def close(self) -> None: ...


async def run(measurement: Measurement) -> Result:
    many = measurement.scale(100_000, 20_000)
    cases = [
        Case("expiry-many", f"{many:,} at one instant", many, 0.0, measurement.scale(20, 10)),
        Case("expiry-some", "5,000 at one instant", 5_000, 0.0, 10.0),
        Case(
            "expiry-idle",
            "one by one, while nothing else happens",
            measurement.scale(1_000, 400),
            measurement.scale(5, 2),
            5.0,
        ),
    ]
    return Result([await _table(measurement, case) for case in cases])


async def _table(measurement: Measurement, case: Case) -> Table:
    columns = [
        Column("the last arrives after", "s", "less", "redis"), Column("p50", "s", "less"), Column("p99", "s", "less"),
        Column("slowest ping", "s", "less"), Column("the machine's own pause", "s"),
        Column("hub's own `late`, p99", "s", "less"),
    ]  # fmt: skip
    table = Table(case.name, f"Expiry: {case.title}", columns)
    for system in measurement.systems:
        kind = SIDES.get(system.name)
        if kind is None:
            continue
        with measurement.start(system) as server:
            found = await _play(system, server, kind, case)
        table.rows[system.name] = found.figures()
        heard = [each.deadline for each in found.heard]
        if len(heard) < case.keys:
            table.notes.append(f"Of {system.name} only {len(heard):,} of {case.keys:,} were heard in time.")
        if system.name == "waggle" and not case.seconds:
            apart = (max(heard) - min(heard)) * 1000
            table.notes.append(f"The hub's deadlines were {apart:.0f} ms apart: it takes a ttl, not an instant.")
    return table


async def _play(system: System, server: Server, kind: type[HubSide | RedisSide], case: Case) -> Found:
    side: Side = await kind.open(server)
    began = time.time()
    await _load(side, [began + _HOUR] * _TRIAL)
    cost = (time.time() - began) / _TRIAL
    chance = random.Random(4483)
    begin = time.time() + 2 * cost * case.keys + _LEAD
    deadlines = [begin + chance.random() * case.seconds for _ in range(case.keys)]
    async with pinging(system, server) as pinger:
        await _load(side, deadlines)
        if time.time() > begin:
            raise RuntimeError("the machine is too busy: loading took longer than its trial promised")
        await asyncio.sleep(max(0.0, begin - time.time() - 0.2))
        await pinger.ask()
        while time.time() < begin + case.seconds + case.patience and side.count < case.keys:
            await asyncio.sleep(0.2)
        pings = await pinger.ask()
    heard = side.heard(deadlines)
    side.close()
    return Found(heard, pings)


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
        return [Heard(arrived, event["expires_at"], event["late"]) for arrived, event in events]

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


SIDES: dict[str, type[HubSide | RedisSide]] = {"waggle": HubSide, "redis": RedisSide}
"""NATS has no expiry of single keys."""
