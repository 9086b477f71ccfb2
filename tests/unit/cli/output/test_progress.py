"""The progress line: drawn on a terminal after a moment, and nowhere else."""

from __future__ import annotations

import pytest

from waggle.cli.output import progress
from waggle.cli.output.progress import Progress


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SHOW_AFTER_S", 0.0)
    monkeypatch.setattr(progress, "REDRAW_EVERY_S", 0.0)


@pytest.mark.usefixtures("at_once")
def test_a_person_sees_how_far_it_is_and_nothing_of_it_stays(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with Progress("deleted", of=5000) as deleting:
        deleting.add(1000)
        deleting.add(500)
    assert deleting.done == 1500
    said = capsys.readouterr()
    assert said.out == ""
    assert [part for part in said.err.split("\r\x1b[K") if part] == [
        "deleted: 1,000 of 5,000",
        "deleted: 1,500 of 5,000",
    ]
    assert said.err.endswith("\r\x1b[K")


@pytest.mark.usefixtures("at_once")
def test_a_program_sees_none(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("deleted") as deleting:
        deleting.add(1000)
    assert capsys.readouterr() == ("", "")


def test_a_short_task_shows_no_progress(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with Progress("deleted") as deleting:
        deleting.add(1000)
    assert capsys.readouterr().err == ""
