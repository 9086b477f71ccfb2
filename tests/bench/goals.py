"""The goals of the project, and how far the measured figures are from them.

A goal names one cell of one table, and either a figure that it must reach, or another row and the share of that. Which
of less and more is better, its column says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .results import Column, Report, Table, Verdict
from .rounds import middle, ratios
from .tables import figure, ratio_spread, spread, times

ANY = "*"
"""As a row: the worst of all."""


@dataclass(frozen=True)
class Goal:
    """`what` is measured in this cell, and must reach `limit`: of the row `rival`, if there is one."""

    what: str
    table: str
    row: str
    column: str
    limit: float
    rival: str = ""
    full_only: bool = False
    """True if a quick run, with less of everything, cannot judge this goal."""


GOALS: Sequence[Goal] = (
    Goal("one set after another, own client", "sets-one", "waggle, own client", "p50", 0.6, "redis, redis-py"),
    Goal("one set after another, bare socket", "sets-one", "waggle, bare socket", "p50", 0.6, "redis, redis-py"),
    Goal("64 sets at a time, own client", "sets-many", "waggle, own client", "rate", 5, "redis, redis-py"),
    Goal("64 sets at a time, bare socket", "sets-many", "waggle, bare socket", "rate", 5, "redis, redis-py"),
    Goal(
        "64 sets at a time in `full`, bare socket", "sets-kept-many", "waggle, bare socket, full", "rate", 3,
        "redis, redis-py, always",
    ),
    Goal("sets from 50 connections, load in C", "capacity-wide", "waggle, memory", "rate", 0.5, "redis, memory"),
    Goal("hand-off, own client", "handoff", "waggle, own client, watch", "p50", 0.6, "redis, redis-py, BLPOP"),
    Goal("hand-off, bare socket", "handoff", "waggle, bare socket, subscription", "p50", 0.6, "redis, redis-py, BLPOP"),
    Goal("500 subscribers, 200 events at once", "fanout-rate", "waggle, publish", "500", 2, "redis"),
    Goal("500 subscribers, 20 events a second", "fanout-delay", "waggle, publish", "500", 1.0, "redis"),
    Goal("memory of a key, beyond its value", "million", "waggle", "memory a key", 400, full_only=True),
    Goal("a million keys loaded: longest wait of others", "million", "waggle", "slowest ping", 0.020, full_only=True),
    Goal("100,000 expire: the last event", "expiry-many", "waggle", "the last arrives after", 2.0, full_only=True),
    Goal("100,000 expire: longest wait of others", "expiry-many", "waggle", "slowest ping", 0.020, full_only=True),
    Goal("5,000 expire: the last event", "expiry-some", "waggle", "the last arrives after", 0.050),
    Goal("expiry on a hub that is idle, `late` at p99", "expiry-idle", "waggle", "hub's own `late`, p99", 0.010),
    Goal("longest task of the dashboard", "page", ANY, "longest task", 0.100),
    Goal("elements of the dashboard, at most", "page", ANY, "elements", 1_500),
)  # fmt: skip


def verdicts(report: Report) -> list[Verdict]:
    """All goals, in their order, also those that could not be measured."""
    return [_verdict(goal, report) for goal in GOALS]


def _verdict(goal: Goal, report: Report) -> Verdict:
    table = report.table(goal.table)
    if table is None or (report.quick and goal.full_only):
        return Verdict(goal.what, "", "", None, "")
    column = next(column for column in table.columns if column.name == goal.column)
    rounds = _rounds(goal, table, column)
    if goal.rival:
        compared = ratios(rounds, table.rounds(goal.rival, column.name))
        measured, told = compared, ratio_spread(compared) if compared else ""
        share = f"at most {times(goal.limit)}" if column.better == "less" else f"at least {times(goal.limit)}"
        wanted = f"{share} of {goal.rival}" if goal.limit <= 1 else f"{share} times {goal.rival}"
    else:
        measured, told = rounds, spread(rounds, column.unit) if rounds else ""
        wanted = f"{'at most' if column.better == 'less' else 'at least'} {figure(goal.limit, column.unit)}"
    if not measured:
        return Verdict(goal.what, wanted, "", None, "")
    value = middle(measured)
    met = value <= goal.limit if column.better == "less" else value >= goal.limit
    beyond = value / goal.limit if column.better == "less" else goal.limit / value
    if goal.rival:
        told = f"{figure(middle(rounds), column.unit)}, {told}"
    return Verdict(goal.what, wanted, told, met, "" if met else f"{times(beyond)} times")


def _rounds(goal: Goal, table: Table, column: Column) -> list[float]:
    if goal.row != ANY:
        return table.rounds(goal.row, column.name)
    cells = [table.rounds(row, column.name) for row in table.rows]
    worst = max if column.better == "less" else min
    return worst((cell for cell in cells if cell), key=middle, default=[])
