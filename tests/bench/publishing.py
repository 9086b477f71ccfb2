"""Publish a report: as JSON, as pictures, and between the markers of docs/performance.md and docs/measurements.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec import json, to_builtins

from . import markers, plots, tables
from .results import Report, Result

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "docs" / "performance.md", ROOT / "docs" / "measurements.md")
"""The summary, with the machine and the goals; and the tables and pictures of every workload."""

IMAGES = ROOT / "docs" / "images" / "bench"
RESULTS = IMAGES / "results.json"
DIGITS = 5
"""Digits that are kept of a figure: more are noise."""


def stored() -> Report | None:
    """The report that was published last."""
    return json.decode(RESULTS.read_bytes(), type=Report) if RESULTS.exists() else None


def publish(report: Report, pages: Sequence[Path] = PAGES, images: Path = IMAGES) -> None:
    """Write the figures, the pictures and the pages, and remove pictures that are no longer drawn.

    The pages are made from the rounded figures of the JSON, so that the JSON gives the same pages again. Raises
    ValueError, and writes nothing, if no page has a place for one of the parts.
    """
    kept = to_json(report)
    report = json.decode(kept, type=Report)
    texts = markers.filled([page.read_text() for page in pages], parts(report))
    images.mkdir(parents=True, exist_ok=True)
    (images / RESULTS.name).write_text(kept)
    drawn = pictures(report)
    for old in images.glob("*.svg"):
        if old.stem not in drawn:
            old.unlink()
    for name, picture in drawn.items():
        (images / f"{name}.svg").write_text(picture)
    for page, text in zip(pages, texts, strict=True):
        page.write_text(text)


def to_json(report: Report) -> str:
    """The report, with the digits that mean something."""
    return json.encode(_short(to_builtins(report))).decode() + "\n"


def pictures(report: Report) -> dict[str, str]:
    """All pictures by name."""
    drawn: dict[str, str] = {}
    for result in report.results.values():
        drawn |= {table.name: plots.bars(table) for table in result.tables if table.plot and len(table.rows) > 1}
        drawn |= {chart.name: plots.lines(chart) for chart in result.charts if all(chart.lines.values())}
    return drawn


def parts(report: Report) -> dict[str, str]:
    """Return the generated parts of the pages, by name."""
    drawn = pictures(report)
    works = {name: _part(result, drawn) for name, result in report.results.items()}
    return {"machine": tables.machine_markdown(report), "goals": tables.goals_markdown(report.goals), **works}


def _part(result: Result, drawn: dict[str, str]) -> str:
    said = [_image(chart.name, chart.title) for chart in result.charts if chart.name in drawn]
    for table in result.tables:
        said.append(tables.markdown(table))
        if table.plot and table.name in drawn:
            said.append(_image(table.name, table.title))
    said += [f"Not measured: {each}\n" for each in result.missing]
    return "\n".join(["", *said, f"Other processes took {result.others:.0%} of the machine meanwhile.\n", ""])


def _image(name: str, title: str) -> str:
    return f"![{title}](images/bench/{name}.svg)\n"


def _short(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, dict):
        return {name: _short(each) for name, each in value.items()}
    return [_short(each) for each in value] if isinstance(value, list) else value
