"""One subscriber with 10,000 patterns, of which each event matches one: what does it cost to find that one?

Patterns look like `job:17:*`. Redis tries all of them for each message; NATS and the hub have an index. The same is
done with a single pattern, to tell what the others cost.
"""

from __future__ import annotations

from contextlib import AsyncExitStack

from tests.bench.measurement import Measurement, taking_turns
from tests.bench.results import Column, Result, Table
from tests.bench.subscribers import Heard, gathered

PATTERNS = 10_000
EVENTS = 1_000
BATCH = 50
REDIS = "redis"


async def run(measurement: Measurement) -> Result:
    columns = [
        Column("events, 10,000 patterns", "/s", "more", REDIS), Column("events, 1 pattern", "/s", "more", REDIS),
        Column("p50, 10,000 patterns", "s", "less"), Column("p50, 1 pattern", "s", "less"),
        Column("server CPU an event, 10,000 patterns", "s", "less"),
    ]  # fmt: skip
    table = Table("patterns", "10,000 patterns, of which 1 matches", columns)
    table.rows = {system.name: [[] for _ in columns] for system in measurement.systems}
    many = [f"job:{number}:*" for number in range(PATTERNS)]
    channel = "job:7777:done"
    async with AsyncExitStack() as stack:
        audiences = []
        for system in measurement.systems:
            server = stack.enter_context(measurement.start(system))
            members = stack.enter_context(gathered(measurement.load, system, server, 1, *many))
            other = stack.enter_context(measurement.start(system))
            audiences.append((members, stack.enter_context(gathered(measurement.load, system, other, 1, "job:7777:*"))))
        for members, alone in audiences:
            await members.burst(channel, BATCH, BATCH)
            await alone.burst(channel, BATCH, BATCH)
        for order in taking_turns(measurement.scale(5, 2), len(audiences)):
            for place in order:
                members, alone = audiences[place]
                found: list[Heard] = []
                for each in (members, alone):
                    found.append(await each.burst(channel, EVENTS, BATCH))
                    found.append(await each.steady(channel, 100, 200.0))
                fast, calm, fast_alone, calm_alone = found
                told = [fast.rate, fast_alone.rate, calm.p50, calm_alone.p50, fast.server]
                for cell, figure in zip(table.rows[members.system.name], told, strict=True):
                    cell.append(figure)
    table.notes.append(f"At full rate {BATCH} events in each write; p50 is of a delivery at 200 events a second.")
    return Result([table])
