"""What is measured: each work is a module with one `run(field)` that gives a `Result`.

A new one: a module with `async def run(field: Field) -> Result`, its line here with the seconds it may take, and its
place in docs/measurements.md: `<!-- bench: NAME -->` and `<!-- end: NAME -->`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from tests.bench.field import Field
from tests.bench.results import Result

from . import capacity, connections, expiry, fanout, growth, handoff, locks, million, page, patterns, sets


class Work(NamedTuple):
    run: Callable[[Field], Awaitable[Result]]
    limit: float
    """Seconds, after which it is ended: on a machine that is not too busy it takes less than half."""


WORKS: dict[str, Work] = {
    "sets": Work(sets.run, 240),
    "capacity": Work(capacity.run, 240),
    "handoff": Work(handoff.run, 120),
    "fanout": Work(fanout.run, 300),
    "patterns": Work(patterns.run, 120),
    "expiry": Work(expiry.run, 180),
    "million": Work(million.run, 400),
    "growth": Work(growth.run, 240),
    "connections": Work(connections.run, 90),
    "locks": Work(locks.run, 60),
    "page": Work(page.run, 180),
}
