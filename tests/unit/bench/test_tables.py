"""Figures and tables of the benchmark, as Markdown."""

from __future__ import annotations

import pytest

from tests.bench.results import Column, Report, Table, Unit, Verdict
from tests.bench.tables import figure, goals_markdown, machine_markdown, markdown, spread


@pytest.mark.parametrize(
    ("value", "unit", "told"),
    [
        (0.0000123, "s", "12.3 µs"), (0.00123, "s", "1.23 ms"), (12.3, "s", "12.3 s"), (0.0, "s", "0.00 µs"),
        (999.0, "/s", "999 /s"), (12_345.0, "/s", "12.3 k/s"), (4.56e6, "/s", "4.56 M/s"),
        (400.0, "B", "400 B"), (22_600.0, "B", "22.6 kB"), (5.78e8, "B", "578 MB"),
        (0.5, "share", "50%"), (1_500.0, "count", "1,500"), (-0.004, "exponent", "-0.00"),
    ],
)  # fmt: skip
def test_a_figure_has_the_digits_that_mean_something(value: float, unit: Unit, told: str) -> None:
    assert figure(value, unit) == told


def test_a_spread_is_told_in_the_unit_of_its_middle() -> None:
    assert spread([0.0009, 0.0010, 0.0125], "s") == "1.00 ms (0.90 to 12.5)"


def test_rounds_that_agree_are_told_once() -> None:
    assert spread([0.001, 0.001], "s") == "1.00 ms"


def _table() -> Table:
    columns = [Column("p50", "s", "less", "redis"), Column("CPU", "share")]
    return Table("t", "A table", columns, {"waggle": [[0.002, 0.004], [0.5]], "redis": [[0.001, 0.001], []]}, ["Note."])


def test_a_column_that_is_compared_has_its_ratios_behind_it() -> None:
    lines = markdown(_table()).splitlines()
    assert lines[0] == "### A table"
    assert lines[2] == "|  | p50 | to redis | CPU |"
    assert lines[4] == "| waggle | 3.00 ms (2.00 to 4.00) | **3.00** (2.00 to 4.00) | 50% |"
    assert lines[5] == "| redis | 1.00 ms | 1 |  |"
    assert lines[-1] == "Note."


def test_without_the_rival_there_are_no_ratios() -> None:
    table = _table()
    del table.rows["redis"]
    assert "| waggle | 3.00 ms (2.00 to 4.00) |  | 50% |" in markdown(table)


def test_a_goal_says_by_how_much_it_was_missed_or_that_it_was_not_measured() -> None:
    text = goals_markdown([Verdict("a", "b", "c", False, "2.0 times"), Verdict("d", "", "", None, "")])
    assert "| a | b | c | **no** | 2.0 times |" in text
    assert "| d |  |  | not measured |  |" in text


def test_the_machine_section_names_other_processes() -> None:
    text = machine_markdown(Report({"CPU": "two"}, "2026-01-01", False, seconds=600.0, others=0.25, steal=0.02))
    assert "* CPU: two" in text
    assert "10 min" in text
    assert "25% of the machine went to others, 2% was not given" in text
