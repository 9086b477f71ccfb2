"""Whether a goal is met is computed from the tables."""

from __future__ import annotations

import pytest

from tests.bench import goals
from tests.bench.goals import ANY, GOALS, Goal, verdicts
from tests.bench.results import Column, Report, Result, Table


def _report(**rows: list[float]) -> Report:
    columns = [Column("p50", "s", "less", "redis"), Column("rate", "/s", "more", "redis")]
    table = Table("sets", "Sets", columns, {row: [values, values] for row, values in rows.items()})
    return Report({}, "2026-01-01", False, {"sets": Result([table])})


def _only(monkeypatch: pytest.MonkeyPatch, goal: Goal) -> None:
    monkeypatch.setattr(goals, "GOALS", [goal])


def test_a_goal_of_a_rival_is_met_by_the_middle_of_the_ratios(monkeypatch: pytest.MonkeyPatch) -> None:
    _only(monkeypatch, Goal("sets", "sets", "waggle", "p50", 0.6, "redis"))
    (met,) = verdicts(_report(waggle=[1e-3, 1e-3, 9e-3], redis=[2e-3, 2e-3, 2e-3]))
    assert (met.met, met.short, met.goal) == (True, "", "at most 0.60 of redis")
    (missed,) = verdicts(_report(waggle=[3e-3], redis=[2e-3]))
    assert (missed.met, missed.short) == (False, "2.50 times")
    assert missed.measured == "3.00 ms, **1.50**"


def test_where_more_is_better_a_goal_is_a_least(monkeypatch: pytest.MonkeyPatch) -> None:
    _only(monkeypatch, Goal("sets", "sets", "waggle", "rate", 5, "redis"))
    (verdict,) = verdicts(_report(waggle=[2000.0], redis=[1000.0]))
    assert (verdict.met, verdict.short, verdict.goal) == (False, "2.50 times", "at least 5.00 times redis")


def test_a_goal_can_be_a_figure_and_be_held_by_the_worst_row(monkeypatch: pytest.MonkeyPatch) -> None:
    _only(monkeypatch, Goal("longest", "sets", ANY, "p50", 0.1))
    (verdict,) = verdicts(_report(first=[0.02], second=[0.2], third=[]))
    assert (verdict.met, verdict.measured, verdict.short) == (False, "200 ms", "2.00 times")


def test_without_the_rival_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    _only(monkeypatch, Goal("sets", "sets", "waggle", "p50", 0.6, "redis"))
    assert [verdict.met for verdict in verdicts(_report(waggle=[1e-3]))] == [None]
    assert [verdict.met for verdict in verdicts(Report({}, "", False))] == [None]


def test_a_quick_run_does_not_judge_what_it_has_too_little_of(monkeypatch: pytest.MonkeyPatch) -> None:
    _only(monkeypatch, Goal("memory", "sets", "waggle", "p50", 1.0, full_only=True))
    report = _report(waggle=[0.1])
    report.quick = True
    assert [verdict.met for verdict in verdicts(report)] == [None]


def test_no_two_goals_have_one_name() -> None:
    assert len({goal.what for goal in GOALS}) == len(GOALS)
