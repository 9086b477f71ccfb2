"""What a scenario gives, and how it is printed: Markdown tables, and the same figures as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import Any


@dataclass
class Table:
    """One table: a row for each contestant. `notes` say what the reader has to know."""

    title: str
    columns: list[str]
    rows: list[list[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def markdown(self) -> str:
        lines = [f"### {self.title}", "", _row(self.columns), _row(["---"] + ["---:"] * (len(self.columns) - 1))]
        lines += [_row(row) for row in self.rows]
        lines += [f"\n{note}" for note in self.notes]
        return "\n".join(lines) + "\n"


@dataclass
class Goal:
    """What was aimed at, what was measured, and whether that is enough; None where the rival was not there."""

    what: str
    goal: str
    measured: str
    met: bool | None


@dataclass
class Result:
    """All that one scenario has to say."""

    tables: list[Table] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    """For `--json`: plain numbers, seconds and bytes."""


def goals_table(goals: list[Goal]) -> str:
    words = {True: "yes", False: "**no**", None: "no rival"}
    rows = [[goal.what, goal.goal, goal.measured, words[goal.met]] for goal in goals]
    return Table("Goals", ["work", "goal", "measured", "met"], rows).markdown()


@dataclass(frozen=True)
class Spread:
    """Where the values of a sample lie."""

    p50: float
    p99: float
    max: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        ordered = sorted(values)
        return cls(_at(ordered, 0.5), _at(ordered, 0.99), ordered[-1])

    def figures(self) -> dict[str, float]:
        return {"p50": self.p50, "p99": self.p99, "max": self.max}


def middle(values: list[float]) -> float:
    """The median over rounds: one disturbed round does not move it."""
    return median(values)


def lowest_highest(values: list[float], unit: float, pattern: str = "{:.0f}") -> str:
    return f"{pattern.format(min(values) / unit)} to {pattern.format(max(values) / unit)}"


def us(seconds: float) -> str:
    return f"{seconds * 1e6:.0f} µs"


def ms(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms"


def percent(share: float) -> str:
    return f"{share * 100:.0f} %"


def ratio(ours: float, theirs: float | None) -> str:
    return "" if not theirs else f"{ours / theirs:.2f}"


def _at(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
