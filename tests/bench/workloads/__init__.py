"""The workloads: each is a module with one `run(measurement)` that gives a `Result`.

A new one: a module with `async def run(measurement: Measurement) -> Result`, its line here with the seconds it may
take, and its place in docs/measurements.md: `<!-- bench: NAME -->` and `<!-- end: NAME -->`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from tests.bench.measurement import Measurement
from tests.bench.results import Result

from . import capacity, connections, expiry, fanout, growth, handoff, locks, million, page, patterns, sets


class Workload(NamedTuple):
    run: Callable[[Measurement], Awaitable[Result]]
    limit: float
    """Seconds, after which it is ended: on a machine that is not too busy it takes less than half."""


WORKLOADS: dict[str, Workload] = {
    "sets": Workload(sets.run, 240),
    "capacity": Workload(capacity.run, 240),
    "handoff": Workload(handoff.run, 120),
    "fanout": Workload(fanout.run, 300),
    "patterns": Workload(patterns.run, 120),
    "expiry": Workload(expiry.run, 180),
    "million": Workload(million.run, 400),
    "growth": Workload(growth.run, 240),
    "connections": Workload(connections.run, 90),
    "locks": Workload(locks.run, 60),
    "page": Workload(page.run, 180),
}
