"""The little statistics there is: the middle of rounds, ratios round by round, percentiles, and how cost grows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import linear_regression, median

from msgspec import Struct


class Spread(Struct):
    """Where the values of a sample lie."""

    p50: float
    p99: float
    max: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        ordered = sorted(values)
        return cls(_at(ordered, 0.5), _at(ordered, 0.99), ordered[-1])


def _at(ordered: Sequence[float], share: float) -> float:
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]


def middle(rounds: Sequence[float]) -> float:
    """The median: one disturbed round does not move it."""
    return median(rounds)


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Ours by theirs, round by round, since rounds of one number were run one after another: what disturbs the machine
    disturbs both. Empty if there is nothing to divide by."""
    return [our / their for our, their in zip(ours, theirs, strict=False) if their]


def exponent(points: Sequence[tuple[float, float]]) -> float:
    """The b of y = a * x ** b that fits best: 0 is flat, 1 is in proportion. Logarithmic growth is near 0, too."""
    logs = [(math.log(x), math.log(y)) for x, y in points]
    return linear_regression([x for x, _ in logs], [y for _, y in logs]).slope
