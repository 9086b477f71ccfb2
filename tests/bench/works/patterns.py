"""One subscriber with 10,000 patterns, of which each event matches one: what does it cost to find that one?

Patterns look like `job:17:*`. Redis tries all of them for each message; NATS and the hub have an index. The same is
done with a single pattern, to tell what the others cost.
"""

from __future__ import annotations

from contextlib import AsyncExitStack

from tests.bench.crowd import Heard, gathered
from tests.bench.field import Field, taking_turns
from tests.bench.results import Column, Result, Table

PATTERNS = 10_000
EVENTS = 1_000
BATCH = 50
REDIS = "redis"


async def run(field: Field) -> Result:
    columns = [
        Column("events, 10,000 patterns", "/s", "more", REDIS), Column("events, 1 pattern", "/s", "more", REDIS),
        Column("p50, 10,000 patterns", "s", "less"), Column("p50, 1 pattern", "s", "less"),
        Column("server CPU an event, 10,000 patterns", "s", "less"),
    ]  # fmt: skip
    table = Table("patterns", "10,000 patterns, of which 1 matches", columns)
    table.rows = {system.name: [[] for _ in columns] for system in field.systems}
    many = [f"job:{number}:*" for number in range(PATTERNS)]
    channel = "job:7777:done"
    async with AsyncExitStack() as stack:
        crowds = []
        for system in field.systems:
            server = stack.enter_context(field.start(system))
            crowd = stack.enter_context(gathered(field.load, system, server, 1, *many))
            other = stack.enter_context(field.start(system))
            crowds.append((crowd, stack.enter_context(gathered(field.load, system, other, 1, "job:7777:*"))))
        for crowd, alone in crowds:
            await crowd.burst(channel, BATCH, BATCH)
            await alone.burst(channel, BATCH, BATCH)
        for order in taking_turns(field.scale(5, 2), len(crowds)):
            for place in order:
                crowd, alone = crowds[place]
                found: list[Heard] = []
                for each in (crowd, alone):
                    found.append(await each.burst(channel, EVENTS, BATCH))
                    found.append(await each.steady(channel, 100, 200.0))
                fast, calm, fast_alone, calm_alone = found
                told = [fast.rate, fast_alone.rate, calm.p50, calm_alone.p50, fast.server]
                for cell, figure in zip(table.rows[crowd.system.name], told, strict=True):
                    cell.append(figure)
    table.notes.append(f"At full rate {BATCH} events in each write; p50 is of a delivery at 200 events a second.")
    return Result([table])
