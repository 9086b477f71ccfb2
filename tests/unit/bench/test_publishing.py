"""A report becomes JSON, pictures and a page, and nothing else changes."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from msgspec import json

from tests.bench import publishing
from tests.bench.goals import GOALS
from tests.bench.results import Chart, Column, Point, Report, Result, Table, Verdict

ROWS = {"waggle": [[0.00123456789, 0.002]], "redis": [[0.001, 0.001]]}


def _report() -> Report:
    table = Table("sets-one", "One set", [Column("p50", "s", "less", "redis")], ROWS)
    chart = Chart("growth", "Growth", "keys", "cost", "s", {"keys": [Point(1, [1.0]), Point(10, [1.0])]})
    done = {"sets": Result([table], [chart]), "page": Result(missing=["page: no browser"])}
    return Report({"CPU": "two"}, "2026-01-01", False, done, [Verdict("a", "b", "c", True, "")])


@pytest.fixture
def page(tmp_path: Path) -> Path:
    page = tmp_path / "performance.md"
    parts = "\n".join(f"<!-- bench: {name} -->\n<!-- end: {name} -->" for name in ("machine", "goals", "sets", "page"))
    page.write_text(f"# Title\n\n{parts}\n\nThe end.\n")
    return page


def test_everything_is_written_where_it_belongs(page: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    publishing.publish(_report(), [page], images)
    text = page.read_text()
    assert text.startswith("# Title\n")
    assert text.endswith("The end.\n")
    assert "| waggle | 1.62 ms" in text
    assert "![One set](images/bench/sets-one.svg)" in text
    assert "![Growth](images/bench/growth.svg)" in text
    assert "Not measured: page: no browser" in text
    assert "| a | b | c | yes |  |" in text
    assert {file.name for file in images.iterdir()} == {"sets-one.svg", "growth.svg", "results.json"}


def test_a_picture_of_what_is_no_more_goes(page: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    (images / "gone.svg").write_text("<svg/>")
    publishing.publish(_report(), [page], images)
    assert not (images / "gone.svg").exists()


def test_the_figures_that_are_kept_make_the_same_page_again(page: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    publishing.publish(_report(), [page], images)
    first = page.read_text()
    kept = json.decode((images / "results.json").read_bytes(), type=Report)
    assert kept.results["sets"].tables[0].rows["waggle"][0][0] == 0.0012346
    publishing.publish(kept, [page], images)
    assert page.read_text() == first


def test_what_is_kept_of_a_figure_is_what_is_shown(page: Path, tmp_path: Path) -> None:
    """Rounded to be kept, and rounded again to be shown, a figure may be another than rounded once."""
    chance = random.Random(1)
    report = _report()
    rows = report.results["sets"].tables[0].rows
    rows |= {f"row {number}": [[chance.uniform(1e-3, 1e-2)]] for number in range(1_000)}
    publishing.publish(report, [page], tmp_path / "images")
    kept = json.decode((tmp_path / "images" / "results.json").read_bytes(), type=Report)
    assert publishing.parts(kept)["sets"] in page.read_text()


def test_a_page_without_a_place_for_a_work_is_refused_before_it_is_touched(page: Path, tmp_path: Path) -> None:
    report = _report()
    report.results["other"] = Result()
    before = page.read_text()
    with pytest.raises(ValueError, match="other"):
        publishing.publish(report, [page], tmp_path / "images")
    assert page.read_text() == before


def test_what_is_published_is_what_the_figures_say() -> None:
    """Of the page as it is: no figure was written by hand, and each goal names a table that is there."""
    report = publishing.stored()
    assert report is not None
    text = "".join(page.read_text() for page in publishing.PAGES)
    for name, part in publishing.parts(report).items():
        assert f"<!-- bench: {name} -->\n{part}<!-- end: {name} -->" in text
    for goal in GOALS:
        table = report.table(goal.table)
        if table is not None:
            assert goal.column in [column.name for column in table.columns], goal.what
    for name, picture in publishing.pictures(report).items():
        assert text.count(f"(images/bench/{name}.svg)") == 1
        assert (publishing.IMAGES / f"{name}.svg").read_text() == picture
