"""Tables and figures as Markdown. Figures are told with two or three digits: more would only look exact."""

from __future__ import annotations

from collections.abc import Sequence

from .results import Report, Table, Unit, Verdict
from .rounds import middle

SCALES: dict[str, tuple[tuple[str, float], ...]] = {
    "s": (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)),
    "/s": (("M/s", 1e6), ("k/s", 1e3), ("/s", 1.0)),
    "B": (("GB", 1e9), ("MB", 1e6), ("kB", 1e3), ("B", 1.0)),
}


def figure(value: float, unit: Unit) -> str:
    """One figure with its unit."""
    if unit in SCALES:
        name, size = _scale(value, unit)
        return f"{_digits(value / size)} {name}"
    match unit:
        case "share":
            return f"{value:.0%}"
        case "exponent":
            return f"{value:.2f}"
        case _:
            return f"{value:,.0f}"


def _scale(value: float, unit: Unit) -> tuple[str, float]:
    """The greatest of the unit's sizes that this is not below; else the least."""
    return next((scale for scale in SCALES[unit] if abs(value) >= scale[1]), SCALES[unit][-1])


def _digits(value: float) -> str:
    return f"{value:,.{0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2}f}"


def times(ratio: float) -> str:
    """A ratio."""
    return _digits(ratio)


def spread(rounds: Sequence[float], unit: Unit) -> str:
    """The middle of the rounds; and in brackets the least and the greatest, if they say something else."""
    told = figure(middle(rounds), unit)
    if unit in SCALES:
        _, size = _scale(middle(rounds), unit)
        low, high = _digits(min(rounds) / size), _digits(max(rounds) / size)
    else:
        low, high = figure(min(rounds), unit), figure(max(rounds), unit)
    return told if low == high else f"{told} ({low} to {high})"


def ratio_spread(ratios: Sequence[float]) -> str:
    """The same of ratios."""
    told, low, high = times(middle(ratios)), times(min(ratios)), times(max(ratios))
    return f"**{told}**" if low == high else f"**{told}** ({low} to {high})"


def markdown(table: Table) -> str:
    """The table with its title, and a column of ratios behind each column that is compared."""
    head = [""]
    for column in table.columns:
        head += [column.name, f"to {column.of}"] if column.of else [column.name]
    lines = [f"### {table.title}", "", _row(head), _row(["---"] + ["---:"] * (len(head) - 1))]
    for row, cells in table.rows.items():
        told = [row]
        for column, rounds in zip(table.columns, cells, strict=True):
            told.append(spread(rounds, column.unit) if rounds else "")
            if column.of:
                ratios = table.ratios(row, column)
                told.append(ratio_spread(ratios) if ratios else "1" if row == column.of else "")
        lines.append(_row(told))
    return "\n".join([*lines, *(f"\n{note}" for note in table.notes)]) + "\n"


def goals_markdown(goals: Sequence[Verdict]) -> str:
    words = {True: "yes", False: "**no**", None: "not measured"}
    lines = [_row(["work", "goal", "measured", "met", "short by"]), _row(["---", "---:", "---:", "---:", "---:"])]
    lines += [_row([goal.what, goal.goal, goal.measured, words[goal.met], goal.short]) for goal in goals]
    return "\n".join(lines) + "\n"


def machine_markdown(report: Report) -> str:
    lines = [f"* {name}: {words}" for name, words in report.machine.items()]
    took = f"{report.seconds / 60:.0f} min" if report.seconds >= 90 else f"{report.seconds:.0f} s"
    others = f"{report.others:.0%} of the machine went to others" + _stolen(report.steal)
    return "\n".join([*lines, f"* The run: {report.at}, {took}; {others}"]) + "\n"


def _stolen(steal: float) -> str:
    return f", {steal:.0%} was not given to it at all (steal)" if steal >= 0.005 else ", none of it was stolen from it"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
