"""The report of `waggle bench`: a rate, percentiles, and a picture of the times.

Pure functions: times in, figures and text out. All pictures of one run share a logarithmic scale, so that they can
be compared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from msgspec import Struct

__all__ = ["Figures", "Scale", "summarize"]

BARS = " ▁▂▃▄▅▆▇█"
PER_DECADE = 10
"""Bars for each factor of ten."""


class Figures(Struct):
    """The result of a load: the number of operations, the seconds, and the times of an operation in seconds."""

    load: str
    what: str
    """The counted operations: sets, hand-offs, deliveries."""
    count: int
    seconds: float
    rate: float
    """Operations a second."""
    p50: float
    p90: float
    p99: float
    max: float
    cpu: float
    """The processor time of this command, divided by the time that went by: near 1, the command measured itself."""


def summarize(load: str, what: str, times: Sequence[float], seconds: float, cpu: float) -> Figures:
    """Return the figures of at least one time."""
    ordered = sorted(times)
    return Figures(
        load,
        what,
        count=len(ordered),
        seconds=seconds,
        rate=len(ordered) / seconds,
        p50=_percentile(ordered, 0.5),
        p90=_percentile(ordered, 0.9),
        p99=_percentile(ordered, 0.99),
        max=ordered[-1],
        cpu=cpu / seconds,
    )


def _percentile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest time that at least this share of all times does not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


class Scale(NamedTuple):
    """The bars of a picture: the first holds times of at least ``10 ** (first / PER_DECADE)`` seconds."""

    first: int
    last: int

    @classmethod
    def over(cls, everything: Sequence[Sequence[float]]) -> Scale:
        """Return a scale on which all of these times have a place; at least one time."""
        places = [_bar_of(time) for times in everything for time in (min(times), max(times))]
        return cls(min(places), max(places))

    def picture(self, times: Sequence[float]) -> str:
        """Return a bar for each range of times; the fullest range is a full bar, and no range with a time is empty."""
        counts = [0] * (self.last - self.first + 1)
        for time in times:
            counts[_bar_of(time) - self.first] += 1
        top = max(counts)
        return "".join(BARS[math.ceil(count / top * (len(BARS) - 1))] for count in counts)

    def axis(self) -> str:
        """Return the line below the pictures: each power of ten at the bar that begins with it."""
        line = ""
        for place in range(self.first, self.last + 1):
            mark = _power(place // PER_DECADE) if place % PER_DECADE == 0 else ""
            if len(line) <= place - self.first:
                line = line.ljust(place - self.first) + mark
        return line


def _bar_of(time: float) -> int:
    return math.floor(math.log10(max(time, 1e-9)) * PER_DECADE + 1e-9)


def _power(exponent: int) -> str:
    for unit, below in (("s", 0), ("ms", -3), ("µs", -6)):
        if exponent >= below:
            return f"{10 ** (exponent - below)}{unit}"
    return f"{10 ** (exponent + 9)}ns"
