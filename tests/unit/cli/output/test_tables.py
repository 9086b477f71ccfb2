"""Rows: every rule of `waggle.cli.output.tables`, without a hub."""

from __future__ import annotations

import re
from typing import Any

import pytest

from waggle import Entry
from waggle.cli.output.tables import Rows, agent_row, entry_row, tab_line

NASTY = "\x1b[2J \x7f \x9b31m \u202e \u2066 end"


def entry(**fields: Any) -> Entry:
    known: dict[str, Any] = {
        "key": "task:1", "ns": "default", "rev": 105, "version": 2, "kind": "persistent", "created_at": 1000.0,
        "updated_at": 1000.0, "expires_at": None, "by": "impl-1", "value": {"n": 1},
    }  # fmt: skip
    return Entry(**{**known, **fields})


def test_rows_for_programs_are_lines_with_tabs() -> None:
    rows = [entry_row(entry(value="a\tb\nc", expires_at=1100.0), 1000.0), entry_row(entry(by=NASTY), 1000.0)]
    lines = "".join(map(tab_line, rows)).splitlines()
    assert lines[0].split("\t") == ["task:1", '"a\\tb\\nc"', "1m 40s", "impl-1", "105"]
    assert len(lines) == 2
    assert lines[1].split("\t")[1] == '{"n":1}'


def test_agents_show_role_state_and_status() -> None:
    value = {"session": "s", "connected": True, "since": 900.0, "meta": {"role": "tester"}, "status": "at work"}
    assert agent_row(entry(key="t-1", value=value), 1000.0) == ["t-1", "tester", "here", "1m 40s", "at work"]
    value |= {"connected": False, "meta": None, "status": {"step": 2}}
    assert agent_row(entry(key="t-1", value=value), 1000.0)[1:] == ["", "away", "1m 40s", '{"step":2}']
    value |= {"meta": {"role": 7}, "status": None}
    assert agent_row(entry(key="t-1", value=value), 1000.0)[1::3] == ["7", ""]


@pytest.mark.parametrize("key", ["k", "k" * 255])
def test_a_table_fits_the_terminal(
    key: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    rows = [[key, "v" * 200, "1m", "[bold]impl[/]", "105"]] * 3
    Rows(("KEY", "VALUE", "LEFT", "BY", "REV"), wide=1).as_table(rows)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert all(len(line) <= 80 for line in lines)
    assert all(re.search(r"^k+…? +v+… +1m +\[bold\]impl\[/\] +105 *$", line) for line in lines[1:])


def test_a_table_without_rows_is_its_heading(capsys: pytest.CaptureFixture[str]) -> None:
    Rows(("KEY", "VALUE"), wide=1).as_table([])
    assert capsys.readouterr().out.split() == ["KEY", "VALUE"]


def test_without_values_a_row_has_none() -> None:
    assert entry_row(entry(), 1000.0, values=False) == ["task:1", "-", "impl-1", "105"]


def test_rows_that_come_later_go_on_below_in_the_same_columns(capsys: pytest.CaptureFixture[str]) -> None:
    rows = Rows(("KEY", "REV"), wide=0, numbers=(1,))
    rows.as_table([["a" * 10, "123"]])
    rows.as_table([["b", "7"], ["c" * 50, "8"]])
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        "KEY         REV", "aaaaaaaaaa  123", "b             7", "ccccccccc…    8",
    ]  # fmt: skip


def test_without_a_terminal_rows_have_no_heading(capsys: pytest.CaptureFixture[str]) -> None:
    rows = Rows(("KEY", "REV"), wide=0)
    rows.print([["a", "1"]])
    rows.print([])
    assert capsys.readouterr().out == "a\t1\n"
