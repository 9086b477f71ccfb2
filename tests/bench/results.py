"""The result of a workload: tables and charts of rounds, as plain data; `tables` and `plots` draw them.

Everything that is published is made of these, and these are kept as JSON: so every figure of the page can be looked up,
round by round, and the page can be made again without measuring.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

from . import rounds

Unit = Literal["s", "/s", "B", "share", "count", "exponent"]
Better = Literal["less", "more", ""]


class Column(Struct):
    """A measured column. `of` says against which row its cells are compared, round by round; empty: not at all."""

    name: str
    unit: Unit
    better: Better = ""
    of: str = ""


class Table(Struct):
    """A row for each contestant, a cell for each column, in it a figure for each round (none: does not apply)."""

    name: str
    """Unique in the whole report, and the name of its picture."""
    title: str
    columns: list[Column]
    rows: dict[str, list[list[float]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    plot: bool = True
    """True if the first column is shown as bars."""

    def rounds(self, row: str, column: str) -> list[float]:
        """The figures of one cell, empty if that row is not there."""
        place = next(n for n, each in enumerate(self.columns) if each.name == column)
        return self.rows[row][place] if row in self.rows else []

    def ratios(self, row: str, column: Column) -> list[float]:
        """Return the cell divided by the cell it is compared with, for each round; empty if there is none."""
        theirs = self.rounds(column.of, column.name) if column.of and column.of != row else []
        return rounds.ratios(self.rounds(row, column.name), theirs)


class Point(Struct):
    """At x, these rounds of y."""

    x: float
    rounds: list[float]


class Chart(Struct):
    """Lines over x, both axes logarithmic."""

    name: str
    title: str
    x: str
    """The unit of x."""
    y: str
    unit: Unit
    lines: dict[str, list[Point]] = field(default_factory=dict)


class Result(Struct):
    """All that one work has to say."""

    tables: list[Table] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)
    seconds: float = 0.0
    others: float = 0.0
    """The share of the machine that others took meanwhile."""
    missing: list[str] = field(default_factory=list)
    """Parts that were left out, with the reason."""


class Verdict(Struct):
    """A goal, what was measured, and whether that is enough; None where it could not be measured."""

    what: str
    goal: str
    measured: str
    met: bool | None
    short: str
    """By how much it was missed; empty if it was not."""


class Report(Struct):
    """One run."""

    machine: dict[str, str]
    at: str
    """The day."""
    quick: bool
    results: dict[str, Result] = field(default_factory=dict)
    goals: list[Verdict] = field(default_factory=list)
    seconds: float = 0.0
    others: float = 0.0
    steal: float = 0.0

    def table(self, name: str) -> Table | None:
        """The table of that name, if that work was done."""
        tables = (table for result in self.results.values() for table in result.tables)
        return next((table for table in tables if table.name == name), None)
