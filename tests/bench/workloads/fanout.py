"""Fan-out: to 1, 10, 100, 500 and 2,000 subscribers, as fast as it goes, and 20 events a second.

The hub is asked twice: to `publish` a message, as the others do, and to `set` a key, which is stored and logged first.
At full rate the events come up to 200 to a write; the time of a delivery is from that write to its arrival.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack

from tests.bench.measurement import Measurement, taking_turns
from tests.bench.results import Better, Chart, Column, Point, Result, Table, Unit
from tests.bench.subscribers import PAYLOAD, Heard, Subscribers, gathered
from tests.bench.systems import System
from tests.bench.systems.waggle import WAGGLE, WAGGLE_SETS

SIZES = {1: 10_000, 10: 5_000, 100: 1_000, 500: 200, 2_000: 100}
"""Subscribers, and how many events they are told at once; the most are left out where it must be quick."""
BATCH = 200
RATE = 20.0
REDIS = "redis"
PATTERN, CHANNEL = "subscribers:*", "subscribers:1"


async def run(measurement: Measurement) -> Result:
    systems = [WAGGLE, WAGGLE_SETS, *(system for system in measurement.systems if system is not WAGGLE)]
    names = [label(system) for system in systems]
    grids = [
        _grid("fanout-rate", "Fan-out at full rate: deliveries a second, by subscribers", "/s", "more", names),
        _grid("fanout-cost", "Fan-out at full rate: processor time of the server for a delivery", "s", "less", names),
        _grid("fanout-delay", f"Fan-out at {RATE:.0f} events a second: p50 of a delivery", "s", "less", names),
        _grid("fanout-delay-p99", f"Fan-out at {RATE:.0f} events a second: p99 of a delivery", "s", "less", names),
    ]
    rate, cost, p50, p99 = grids
    busiest = 0.0
    sizes = {members: events for members, events in SIZES.items() if members <= measurement.scale(2_000, 500)}
    for place, (members, events) in enumerate(sizes.items()):
        bursts, steady = await _measure(measurement, systems, members, events)
        for name in names:
            rate.rows[name][place] = [heard.rate for heard in bursts[name]]
            cost.rows[name][place] = [heard.server for heard in bursts[name]]
            p50.rows[name][place] = [heard.p50 for heard in steady[name]]
            p99.rows[name][place] = [heard.p99 for heard in steady[name]]
            busiest = max(busiest, *(heard.share for heard in bursts[name]))
    told = ", ".join(f"{events:,} to {members:,}" for members, events in SIZES.items())
    rate.notes.append(f"Events at once: {told}. A payload of {PAYLOAD} bytes, up to {BATCH} in a write.")
    rate.notes.append(f"The load, which publishes and hears all of it, took {busiest:.0%} of a core at most.")
    return Result(grids, [_chart(rate, "deliveries a second"), _chart(p50, "p50 of a delivery")])


def label(system: System) -> str:
    """How the tables call it."""
    return "waggle, publish" if system is WAGGLE else system.name


def _grid(name: str, title: str, unit: Unit, better: Better, rows: Sequence[str]) -> Table:
    """A table with a column for each number of subscribers."""
    columns = [Column(f"{members:,}", unit, better, REDIS) for members in SIZES]
    return Table(name, title, columns, {row: [[] for _ in columns] for row in rows}, plot=False)


def _chart(grid: Table, y: str) -> Chart:
    lines = {
        row: [Point(members, rounds) for members, rounds in zip(SIZES, cells, strict=True) if rounds]
        for row, cells in grid.rows.items()
    }
    return Chart(grid.name, grid.title, "subscribers", y, grid.columns[0].unit, lines)


async def _measure(
    measurement: Measurement, systems: Sequence[System], members: int, events: int
) -> tuple[dict[str, list[Heard]], dict[str, list[Heard]]]:
    """Measure audiences of this size for each system: in bursts, and at a steady rate."""
    bursts: dict[str, list[Heard]] = {label(system): [] for system in systems}
    steady: dict[str, list[Heard]] = {label(system): [] for system in systems}
    async with AsyncExitStack() as stack:
        audiences: list[Subscribers] = []
        for system in systems:
            server = stack.enter_context(measurement.start(system))
            audiences.append(stack.enter_context(gathered(measurement.load, system, server, members, PATTERN)))
        for subscribers in audiences:
            await subscribers.burst(CHANNEL, events, BATCH)
        for order in taking_turns(measurement.scale(9, 3), len(audiences)):
            for place in order:
                bursts[label(systems[place])].append(await audiences[place].burst(CHANNEL, events, BATCH))
        for order in taking_turns(measurement.scale(3, 1), len(audiences)):
            for place in order:
                found = await audiences[place].steady(CHANNEL, measurement.scale(20, 10), RATE)
                steady[label(systems[place])].append(found)
    return bursts, steady
