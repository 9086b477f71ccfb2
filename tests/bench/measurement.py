"""The tools of a workload: installed systems, fresh servers, the load generator, and the amount of work."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .generator import Load
from .processes import Server
from .systems import System


@dataclass(frozen=True)
class Measurement:
    """Where the contestants meet."""

    systems: Sequence[System]
    """The systems that are installed."""
    load: Load
    directory: Path
    quick: bool

    def scale(self, full: int, quick: int) -> int:
        """How much work to do."""
        return quick if self.quick else full

    def has(self, name: str) -> bool:
        return any(system.name == name for system in self.systems)

    @contextmanager
    def start(self, system: System, mode: str = "memory") -> Iterator[Server]:
        """A fresh server in a directory of its own, for the block."""
        with tempfile.TemporaryDirectory(dir=self.directory) as home, system.start(mode, Path(home)) as server:
            yield server


def taking_turns(rounds: int, contestants: int) -> Iterator[Sequence[int]]:
    """Yield the contestants' numbers for each round, in an order that changes from round to round."""
    for number in range(rounds):
        order = range(contestants)
        yield order if number % 2 == 0 else order[::-1]
