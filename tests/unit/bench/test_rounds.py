"""What the benchmark makes of rounds."""

from __future__ import annotations

import math

import pytest

from tests.bench.rounds import Spread, exponent, middle, ratios


def test_a_percentile_is_a_value_of_the_sample() -> None:
    spread = Spread.of([float(n) for n in range(100, 0, -1)])
    assert (spread.p50, spread.p99, spread.max) == (50.0, 99.0, 100.0)
    assert Spread.of([3.0]) == Spread(3.0, 3.0, 3.0)


def test_one_disturbed_round_does_not_move_the_middle() -> None:
    assert middle([1.0, 1.1, 50.0, 0.9, 1.0]) == 1.0


def test_ratios_are_of_rounds_that_were_run_together() -> None:
    assert ratios([1.0, 10.0], [2.0, 20.0]) == [0.5, 0.5]
    assert ratios([1.0, 2.0, 3.0], [1.0, 0.0]) == [1.0]
    assert ratios([1.0], []) == []


@pytest.mark.parametrize(("grows", "fitted"), [(lambda n: 7.0, 0.0), (lambda n: 3 * n, 1.0), (lambda n: n * n, 2.0)])
def test_the_exponent_tells_flat_from_linear_from_square(grows: object, fitted: float) -> None:
    assert callable(grows)
    points = [(float(n), float(grows(n))) for n in (10, 100, 1_000, 10_000)]
    assert math.isclose(exponent(points), fitted, abs_tol=1e-9)


def test_a_logarithm_has_an_exponent_near_0() -> None:
    assert 0 < exponent([(n, 20 + math.log(n)) for n in (10.0, 1e3, 1e6)]) < 0.1
