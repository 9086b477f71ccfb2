"""Statistics: counts of what this process has done since it started, for `stats` (protocol 8).

They are no part of the state: hubs that apply the same commands have the same state, and each has its own counts.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from typing import Final

from waggle.wire import messages as m

from .delivery.connection import Connection
from .state.effects import Reply
from .state.log import Commit

SAMPLE_INTERVAL_S: Final = 1.0
"""Seconds between two samples of the totals."""
_MAX_SAMPLES: Final = 10
"""Samples kept: rates are averages over this many intervals."""
_MAX_LATENESSES: Final = 1_000
"""Expiries whose lateness is kept."""
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


class Stats:
    """Counts, and their rates over the last ten seconds. `sends` gives the number of frames sent so far."""

    def __init__(self, now: float, sends: Callable[[], int]) -> None:
        self.started_at = round(now, 3)
        self._sends = sends
        self._ops: dict[type[m.Command], _Op] = {}
        self._events: dict[str, int] = {}
        self._revisions = 0
        self._writes = self._hits = self._misses = 0
        self._late: deque[float] = deque(maxlen=_MAX_LATENESSES)
        self._samples: deque[tuple[float, ...]] = deque(maxlen=_MAX_SAMPLES)
        self.sample(now)

    def on_decided(self, command: m.Command, seconds: float) -> None:
        """Count a command, and the time that its decision took."""
        op = self._ops.get(type(command))
        if op is None:
            op = self._ops[type(command)] = _Op()
        op.count += 1
        op.seconds += seconds

    def on_replied(self, command: m.Command, reply: Reply) -> None:
        """Count a reply: an error, or whether a get has found its entry."""
        if reply.outcome.error is not None:
            self._ops.setdefault(type(command), _Op()).errors += 1
        elif type(reply.outcome.ok) is m.Got:
            if reply.outcome.ok.entry is None:
                self._misses += 1
            else:
                self._hits += 1

    def on_committed(self, commit: Commit) -> None:
        """Count the events of a commit."""
        self._revisions += 1
        for event in commit.events:
            self._events[event.type] = self._events.get(event.type, 0) + 1
            if event.type == "set" and not event.ns.startswith("$"):
                self._writes += 1
            elif event.late is not None:
                self._late.append(event.late)

    def sample(self, now: float) -> None:
        """Take a sample of the totals. Call it every `SAMPLE_INTERVAL_S` seconds."""
        self._samples.append(self._totals(now))

    def complete(self, statistics: m.Statistics, now: float, durability: str, connections: list[Connection]) -> None:
        """Fill in the fields that the machine cannot know."""
        statistics.started_at = self.started_at
        statistics.durability = durability
        statistics.reads = self._hits + self._misses
        statistics.writes = self._writes
        statistics.hits = self._hits
        statistics.misses = self._misses
        statistics.evictions = self._events.get("evict", 0)
        statistics.expiries = self._events.get("expire", 0)
        statistics.events = sum(self._events.values())
        statistics.sends = self._sends()
        statistics.connections = len(connections)
        statistics.slow = sum(1 for connection in connections if connection.behind or connection.lost)
        statistics.ops = {str(kind.__struct_config__.tag): op.view() for kind, op in self._ops.items()}
        statistics.rates = self._rates(now)
        statistics.lateness = self._lateness()
        statistics.memory = resident_bytes()

    def _totals(self, now: float) -> tuple[float, ...]:
        commands = sum(op.count for op in self._ops.values())
        return (now, commands, self._revisions, sum(self._events.values()), self._sends())

    def _rates(self, now: float) -> m.Rates:
        before, after = self._samples[0], self._totals(now)
        seconds = max(after[0] - before[0], SAMPLE_INTERVAL_S)  # right after the start there is hardly an interval
        return m.Rates(*(round((after[n] - before[n]) / seconds, 1) for n in range(1, len(after))))

    def _lateness(self) -> m.Lateness:
        ordered = sorted(self._late)
        if not ordered:
            return m.Lateness()
        last = len(ordered) - 1
        return m.Lateness(self._events.get("expire", 0), ordered[last // 2], ordered[int(last * 0.99)], ordered[last])


class _Op:
    """The number of commands and errors of an op, and the sum of their times in seconds."""

    __slots__ = ("count", "errors", "seconds")

    def __init__(self) -> None:
        self.count = self.errors = 0
        self.seconds = 0.0

    def view(self) -> m.OpCount:
        return m.OpCount(self.count, self.errors, round(self.seconds / max(self.count, 1), 9))


def resident_bytes() -> int:
    """Return the resident memory of this process."""
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * _PAGE_BYTES
    except OSError:  # no such file outside of Linux: the peak is better than nothing
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
