"""Expiry: how late a subscriber hears that a key's time has come.

Three cases: many keys due at one instant (100,000, then 5,000), and single ones while the server has nothing else to
do. `late` in the hub's events is its own word; `arrival` is measured here, from the deadline to the line, and is what
can be compared with Redis (`expired` key events, which come when Redis gets round to deleting).
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field

import msgspec

from .arena import Arena, Server, start
from .callers import set_command
from .fastclient import FastClient
from .fastredis import Answer, FastRedis
from .helper import start_helper
from .report import Goal, Result, Spread, Table, ms, ratio

BATCH = 25
"""Keys in one message: small, so that the deadlines are within a millisecond or two of each other."""
_LEAD = 2.0
"""Seconds between the end of loading and the deadline, at least."""
_COST = 1e-4
"""Seconds that loading one key may take."""


@dataclass
class Case:
    """So many keys, due at one instant or spread over some seconds."""

    name: str
    keys: int
    seconds: float
    patience: float = 60.0


@dataclass
class Found:
    """What was heard: lateness at arrival and in the server's words, and when the last one came."""

    arrivals: list[float] = field(default_factory=list)
    own: list[float] = field(default_factory=list)
    deadlines: list[float] = field(default_factory=list)
    heard: int = 0
    pings: list[float] = field(default_factory=list)
    noise: float = 0.0


async def run(arena: Arena) -> Result:
    many = arena.scale(100_000, 20_000)
    cases = [
        Case(f"{many:,} at one instant", many, 0.0, patience=arena.scale(20, 5)),
        Case("5,000 at one instant", 5_000, 0.0, patience=arena.scale(10, 5)),
        Case("one by one, idle", arena.scale(1_000, 400), arena.scale(5, 2)),
    ]
    result = Result()
    for case in cases:
        found = {}
        for server in arena.servers:
            with start(server.kind) as fresh:
                found[server.kind] = await (_hub if server.kind == "hub" else _redis)(fresh, case)
        result.tables.append(_table(case, found))
        result.figures[case.name] = {
            kind: {"arrival": Spread.of(each.arrivals).figures(), "heard": each.heard, "ping": max(each.pings)}
            for kind, each in found.items()
        }
        result.goals += _goals(case, found["hub"])
    return result


def _table(case: Case, found: dict[str, Found]) -> Table:
    table = Table(
        f"Expiry: {case.name}",
        [
            "",
            "late p50",
            "p99",
            "max",
            "arrival p50",
            "p99",
            "max",
            "p50 to Redis",
            "heard",
            "slowest ping",
            "machine's own",
        ],
    )
    redis = Spread.of(found["redis"].arrivals) if "redis" in found else None
    for kind, each in found.items():
        arrival = Spread.of(each.arrivals)
        own = Spread.of(each.own) if each.own else None
        late = [ms(own.p50), ms(own.p99), ms(own.max)] if own else ["", "", ""]
        table.rows.append(
            [
                kind, *late, ms(arrival.p50), ms(arrival.p99), ms(arrival.max),
                ratio(arrival.p50, redis.p50 if redis else None), f"{each.heard:,} of {case.keys:,}",
                ms(max(each.pings)), ms(each.noise),
            ]
        )  # fmt: skip
    if not case.seconds:
        apart = max(found["hub"].deadlines) - min(found["hub"].deadlines)
        table.notes.append(f"The hub's deadlines were {ms(apart)} apart (a ttl is given when the key is set).")
    return table


def _goals(case: Case, hub: Found) -> list[Goal]:
    own, arrival = Spread.of(hub.own), Spread.of(hub.arrivals)
    if case.seconds:
        return [Goal("expiry, idle, p99 of `late`", "under 10 ms", ms(own.p99), own.p99 < 0.010)]
    if case.keys == 5_000:
        return [
            Goal("expiry, 5,000 at one instant, the last one", "within 50 ms", ms(arrival.max), arrival.max <= 0.050)
        ]
    slowest = max(hub.pings)
    return [Goal(f"slowest ping while {case.keys:,} expire", "20 ms", ms(slowest), slowest <= 0.020)]


def _due(case: Case) -> tuple[float, list[float]]:
    """The instant at which loading ends, and the deadline of each key."""
    chance = random.Random(4483)
    begin = time.time() + case.keys * _COST + _LEAD
    return begin, [begin + chance.random() * case.seconds for _ in range(case.keys)]


async def _hub(server: Server, case: Case) -> Found:
    found = Found()
    lines: list[tuple[float, bytes]] = []
    clock = time.time
    watcher = await FastClient.open(server.host, server.port)
    watcher.on_event = lambda line: lines.append((clock(), line))
    await watcher.ask(b'"op":"subscribe","patterns":["due:*"],"types":["expire"]')
    setter = await FastClient.open(server.host, server.port)
    with start_helper("pinger", server) as pinger:
        begin, deadlines = _due(case)
        for first in range(0, case.keys, BATCH):
            replies = [
                setter.ask(set_command(f"due:{number:06d}", b"1", deadlines[number] - clock()))
                for number in range(first, min(first + BATCH, case.keys))
            ]
            await replies[-1]
        assert clock() < begin, "loading took too long"
        await asyncio.sleep(max(0.0, begin - clock() - 0.2))
        pinger.ask()
        until = begin + case.seconds + case.patience
        while clock() < until and sum(1 for _, line in lines if b'"expire"' in line) < case.keys:
            await asyncio.sleep(0.2)
        _pings(found, pinger.ask())
    for arrived, line in lines:
        event = msgspec.json.decode(line)
        if event["type"] == "expire":
            found.heard += 1
            found.own.append(event["late"])
            found.arrivals.append(arrived - event["deadline"])
            found.deadlines.append(event["deadline"])
    watcher.close()
    setter.close()
    return found


async def _redis(server: Server, case: Case) -> Found:
    found = Found()
    heard: list[tuple[float, Answer]] = []
    clock = time.time
    setter = await FastRedis.open(server.host, server.port)
    await setter.ask(b"CONFIG", b"SET", b"notify-keyspace-events", b"Ex")
    watcher = await FastRedis.open(server.host, server.port)
    watcher.on_push = lambda push: heard.append((clock(), push[2]))
    await watcher.ask(b"SUBSCRIBE", b"__keyevent@0__:expired")
    with start_helper("pinger", server) as pinger:
        begin, deadlines = _due(case)
        for first in range(0, case.keys, BATCH):
            answers = [
                setter.ask(b"SET", b"due:%06d" % number, b"1", b"PXAT", b"%d" % (deadlines[number] * 1000))
                for number in range(first, min(first + BATCH, case.keys))
            ]
            await answers[-1]
        assert clock() < begin, "loading took too long"
        await asyncio.sleep(max(0.0, begin - clock() - 0.2))
        pinger.ask()
        until = begin + case.seconds + case.patience
        while clock() < until and len(heard) < case.keys:
            await asyncio.sleep(0.2)
        _pings(found, pinger.ask())
    for arrived, key in heard:
        assert isinstance(key, bytes)
        found.heard += 1
        found.arrivals.append(arrived - deadlines[int(key[4:])])
    watcher.close()
    setter.close()
    return found


def _pings(found: Found, told: dict[str, list[float]]) -> None:
    found.pings = told["samples"]
    found.noise = max(told["oversleeps"])
