"""The report of `waggle bench`: percentiles, and pictures on one scale."""

from __future__ import annotations

import pytest

from waggle.cli.bench.report import PER_DECADE, Scale, summarize


def test_percentiles_are_times_that_were_taken() -> None:
    figures = summarize("one", "sets", [n / 1000 for n in range(100, 0, -1)], seconds=2.0, cpu=1.0)
    assert (figures.p50, figures.p90, figures.p99, figures.max) == (0.050, 0.090, 0.099, 0.100)
    assert (figures.count, figures.rate, figures.cpu) == (100, 50.0, 0.5)


def test_of_one_time_everything_is_that() -> None:
    figures = summarize("one", "sets", [0.25], seconds=1.0, cpu=0.0)
    assert {figures.p50, figures.p90, figures.p99, figures.max} == {0.25}


def test_a_single_slow_one_shows_beside_thousands() -> None:
    times = [0.001] * 10_000 + [0.1]
    picture = Scale.over([times]).picture(times)
    assert len(picture) == 2 * PER_DECADE + 1
    assert picture[0] == "█"
    assert picture[-1] == "▁"
    assert set(picture[1:-1]) == {" "}


def test_pictures_of_one_run_have_their_bars_at_the_same_place() -> None:
    slow, fast = [0.1], [0.001]
    scale = Scale.over([slow, fast])
    assert scale.picture(fast).index("█") == 0
    assert scale.picture(slow).index("█") == 2 * PER_DECADE


@pytest.mark.parametrize("exponent", range(-8, 2))
def test_a_power_of_ten_stands_at_its_mark(exponent: int) -> None:
    time = 10.0**exponent
    scale = Scale.over([[time / 3, time * 3]])
    marks = ["10ns", "100ns", "1µs", "10µs", "100µs", "1ms", "10ms", "100ms", "1s", "10s"]
    assert scale.axis().index(marks[exponent + 8]) == scale.picture([time]).index("█")


def test_marks_never_run_into_each_other() -> None:
    axis = Scale.over([[1e-7, 30.0]]).axis()
    assert axis.split() == ["100ns", "1µs", "10µs", "100µs", "1ms", "10ms", "100ms", "1s", "10s"]


def test_a_clock_that_did_not_move_has_a_place() -> None:
    assert Scale.over([[0.0]]).picture([0.0]) == "█"
