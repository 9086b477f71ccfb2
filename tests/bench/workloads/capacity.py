"""The capacity of a server: sets by the load generator in C, in every durability of a system.

One connection with one set under way; one connection with 64 sets in each write, as fast as they are answered (the
hub's as one message of 64 lines, as its protocol allows); 50 connections with one set under way on each.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from tests.bench.generator import Loaded
from tests.bench.machine import Cpu
from tests.bench.measurement import Measurement, taking_turns
from tests.bench.processes import Server
from tests.bench.results import Column, Result, Table
from tests.bench.systems import System
from tests.bench.systems.port import VALUE

REQUESTS = 32
"""Requests on the tape of each connection, each of other keys."""
CONNECTIONS = 50
BATCH = 64
REDIS = "redis, memory"


@dataclass(frozen=True)
class Contestant:
    """A server that runs."""

    label: str
    system: System
    server: Server


@dataclass(frozen=True)
class Shape:
    """A table, and the load that it is about."""

    table: Table
    connections: int
    batch: int


async def run(measurement: Measurement) -> Result:
    one = Table("capacity-one", "The server itself: one connection, one set after another", _columns("p50"))
    batches = Table("capacity-batch", "The server itself: one connection, 64 sets in each write", _columns("rate"))
    wide = Table("capacity-wide", "The server itself: 50 connections, one set under way on each", _columns("rate"))
    batches.notes.append("p50 and p99 are of a whole write: until all 64 are answered.")
    with ExitStack() as stack:
        contestants = []
        for system in measurement.systems:
            for mode in system.modes:
                server = stack.enter_context(measurement.start(system, mode))
                await (await system.clients[0].open(server)).close()  # makes the bucket of NATS
                contestants.append(Contestant(f"{system.name}, {mode}", system, server))
        for shape in (Shape(one, 1, 1), Shape(batches, 1, BATCH), Shape(wide, CONNECTIONS, 1)):
            await _play(measurement, contestants, shape)
    return Result([one, batches, wide])


async def _play(measurement: Measurement, contestants: Sequence[Contestant], shape: Shape) -> None:
    """Rounds that take turns, after one that does not count, over sockets that are new: nobody answers the pings on
    those that are not used for long."""
    table = shape.table
    table.rows = {contestant.label: [[] for _ in table.columns] for contestant in contestants}
    with ExitStack() as stack:
        sockets = [
            [stack.enter_context(each.system.dial(each.server, who)) for who in range(shape.connections)]
            for each in contestants
        ]
        for place, contestant in enumerate(contestants):
            await _round(measurement, contestant, sockets[place], shape.batch, 0.2)
        for order in taking_turns(measurement.scale(5, 2), len(contestants)):
            for place in order:
                contestant = contestants[place]
                found = await _round(measurement, contestant, sockets[place], shape.batch, measurement.scale(8, 3) / 10)
                for column, cell in zip(table.columns, table.rows[contestant.label], strict=True):
                    cell.append(found[column.name])


def _columns(first: str) -> list[Column]:
    speed = [Column("p50", "s", "less", REDIS if first == "p50" else ""), Column("p99", "s", "less")]
    rate = [Column("rate", "/s", "more", REDIS if first == "rate" else "")]
    cost = [Column("server CPU a set", "s", "less"), Column("CPU of load", "share")]
    return (speed + rate if first == "p50" else rate + speed) + cost


async def _round(
    measurement: Measurement, contestant: Contestant, sockets: Sequence[socket.socket], batch: int, seconds: float
) -> dict[str, float]:
    tapes = [tape(contestant.system, who, batch) for who in range(len(sockets))]
    cpu = Cpu(contestant.server.pid)
    found: Loaded = await measurement.load.ask(sockets, tapes, contestant.system.marker, seconds=seconds, each=batch)
    return {
        "p50": found.p50,
        "p99": found.p99,
        "rate": found.rate,
        "server CPU a set": cpu.seconds()[0] / found.count,
        "CPU of load": found.cpu / found.seconds,
    }


def tape(system: System, who: int, batch: int) -> list[bytes]:
    """Requests of `batch` sets each."""
    pairs = [(f"set:{who}:{number}", VALUE) for number in range(REQUESTS * batch)]
    return [system.sets(pairs[n * batch : (n + 1) * batch], n * batch, who) for n in range(REQUESTS)]
