"""The cost of an idle connection: memory of the server, with and without a subscription."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

from tests.bench.machine import rss
from tests.bench.measurement import Measurement
from tests.bench.results import Column, Result, Table

COUNT = 1_000
SETTLE = 0.3
"""Seconds in which the server may finish what the last connection began."""


async def run(measurement: Measurement) -> Result:
    columns = [
        Column("memory of a connection", "B", "less", "redis"),
        Column("and of a subscription on it", "B", "less"),
    ]
    table = Table("connections", f"Memory of a connection that is idle, of {COUNT:,}", columns)
    for system in measurement.systems:
        table.rows[system.name] = [[], []]
        for _ in range(measurement.scale(3, 1)):
            with ExitStack() as stack:
                server = stack.enter_context(measurement.start(system))
                stack.enter_context(system.dial(server))
                before = rss(server.pid)
                sockets = [stack.enter_context(system.dial(server)) for _ in range(COUNT)]
                await asyncio.sleep(SETTLE)
                open_ = rss(server.pid)
                for number, sock in enumerate(sockets):
                    system.subscribe(sock, [f"own:{number}:*"])
                await asyncio.sleep(SETTLE)
                subscribed = rss(server.pid)
            table.rows[system.name][0].append((open_ - before) / COUNT)
            table.rows[system.name][1].append((subscribed - open_) / COUNT)
    table.notes.append("Resident memory of the server's process, by the number of connections. Each has said hello.")
    return Result([table])
