"""Hand-off: one sets a key, another who waits for it has the value. Both in one loop, on connections of their own.

The clock runs from before the set until the waiter has the value. With Redis there are three ways: a keyspace
notification and then a GET; a published message (which nobody finds who comes later); a list and BLPOP (one waiter).
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

from tests.bench.measurement import Measurement, taking_turns
from tests.bench.results import Column, Result, Table
from tests.bench.rounds import Spread
from tests.bench.systems.port import Give

BLPOP = "redis, redis-py, BLPOP"
PATIENCE = 10.0
"""Seconds for one value to arrive."""


class Arrival:
    """Where the waiter says that it has the value."""

    def __init__(self) -> None:
        self._future: asyncio.Future[float] | None = None

    def expect(self) -> asyncio.Future[float]:
        self._future = asyncio.get_running_loop().create_future()
        return self._future

    def now(self) -> None:
        if self._future is not None and not self._future.done():
            self._future.set_result(time.perf_counter())


async def run(measurement: Measurement) -> Result:
    columns = [Column("p50", "s", "less", BLPOP), Column("p99", "s", "less")]
    table = Table("handoff", "Hand-off: set by one, the waiter has the value", columns)
    async with AsyncExitStack() as stack:
        contestants = []
        for system in measurement.systems:
            server = stack.enter_context(measurement.start(system))
            contestants += [(label, way, server) for label, way in system.ways().items()]
        table.rows = {label: [[], []] for label, _, _ in contestants}
        for order in taking_turns(measurement.scale(6, 2), len(contestants)):
            for place in order:
                label, way, server = contestants[place]
                arrival = Arrival()
                async with way(server, arrival.now) as give:
                    spread = await _pass_on(give, arrival, measurement.scale(600, 200))
                table.rows[label][0].append(spread.p50)
                table.rows[label][1].append(spread.p99)
    return Result([table])


async def _pass_on(give: Give, arrival: Arrival, count: int) -> Spread:
    """The first 50 do not count."""
    taken = []
    for number in range(count + 50):
        waiting = arrival.expect()
        start = time.perf_counter()
        await give()
        try:
            arrived = await asyncio.wait_for(waiting, PATIENCE)
        except TimeoutError:
            raise TimeoutError(f"a value did not arrive within {PATIENCE:.0f} s") from None
        if number >= 50:
            taken.append(arrived - start)
    return Spread.of(taken)
