"""Pictures as SVG, made by hand: bars for a table, lines for a chart. Readable on light and on dark.

A bar is the middle of the rounds, its whisker the least and the greatest. Both axes of a chart are logarithmic.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from .results import Chart, Point, Table
from .rounds import middle
from .tables import figure

WIDTH = 760
LETTER = 7
"""How wide a letter is, about."""
STYLE = """<style>
.ground { fill: #ffffff } text { fill: #1f2328; font: 13px system-ui, sans-serif }
.small { font-size: 11px; fill: #59636e }
.title { font-weight: 600; font-size: 14px } .grid { stroke: #d1d9e0; stroke-width: 1 } .whisker { stroke: #1f2328 }
.waggle { fill: #b35900; stroke: #b35900 } .redis { fill: #cf222e; stroke: #cf222e }
.nats, .other3 { fill: #0969da; stroke: #0969da } .other { fill: #59636e; stroke: #59636e }
.other1 { fill: #1a7f37; stroke: #1a7f37 } .other2 { fill: #8250df; stroke: #8250df }
.other4 { fill: #b35900; stroke: #b35900 }
.line { fill: none; stroke-width: 2 } .thin { stroke-dasharray: 5 4 } .dots { stroke-dasharray: 2 3 }
@media (prefers-color-scheme: dark) {
.ground { fill: #0d1117 } text { fill: #f0f6fc } .small { fill: #9198a1 } .grid { stroke: #3d444d }
.whisker { stroke: #f0f6fc } .waggle { fill: #f0a050; stroke: #f0a050 } .redis { fill: #ff7b72; stroke: #ff7b72 }
.nats, .other3 { fill: #58a6ff; stroke: #58a6ff } .other { fill: #9198a1; stroke: #9198a1 }
.other1 { fill: #3fb950; stroke: #3fb950 } .other2 { fill: #ab7df8; stroke: #ab7df8 }
.other4 { fill: #f0a050; stroke: #f0a050 }
.line { fill: none } }
</style>"""
OTHER = "other"
"""Lines that belong to no system have colours of their own, `other1` and so on."""
DASHES = ("", " thin", " dots")
"""The lines of one system are told apart by these."""


def bars(table: Table) -> str:
    """The first column of a table."""
    column = table.columns[0]
    rows = {row: cells[0] for row, cells in table.rows.items() if cells[0]}
    top = max((max(rounds) for rounds in rows.values()), default=1.0) or 1.0
    left, right, step = 30 + LETTER * max(map(len, rows), default=0), 110, 26
    scale = (WIDTH - left - right) / top
    better = f", {column.better} is better" if column.better else ""
    parts = [_title(table.title, f"{column.name}{better}")]
    for number, (row, rounds) in enumerate(rows.items()):
        y = 58 + number * step
        value, low, high = (left + scale * each for each in (middle(rounds), min(rounds), max(rounds)))
        width = max(1.0, value - left)
        parts += [
            f'<text x="{left - 10}" y="{y + 13}" text-anchor="end">{escape(row)}</text>',
            f'<rect class="{_colour(row)}" x="{left}" y="{y}" width="{width:.1f}" height="17" rx="2"/>',
            f'<line class="whisker" x1="{low:.1f}" x2="{high:.1f}" y1="{y + 8.5}" y2="{y + 8.5}"/>',
            f'<text class="small" x="{high + 7:.1f}" y="{y + 13}">{figure(middle(rounds), column.unit)}</text>',
        ]
    return _svg(parts, 58 + len(rows) * step + 10, table.title)


def lines(chart: Chart) -> str:
    """A chart, with the names of its lines on the right, as they end."""
    left, right, upper, height = 70, 190, 60, 300
    points = [point for line in chart.lines.values() for point in line]
    xs, ys = _axis([point.x for point in points]), _axis([middle(point.rounds) for point in points])

    def place(point: Point) -> tuple[float, float]:
        x = left + _share(point.x, xs) * (WIDTH - left - right)
        return x, upper + height - _share(middle(point.rounds), ys) * height

    parts = [_title(chart.title, f"{chart.y}, over {chart.x}")]
    for value in _ticks(ys):
        y = upper + height - _share(value, ys) * height
        parts.append(f'<line class="grid" x1="{left}" x2="{WIDTH - right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(
            f'<text class="small" x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{figure(value, chart.unit)}</text>'
        )
    for value, x in _labels([point.x for point in points], xs, WIDTH - left - right):
        parts.append(
            f'<text class="small" x="{left + x:.1f}" y="{upper + height + 18}" text-anchor="middle">{value:,.0f}</text>'
        )
    ends: list[tuple[float, str, str]] = []
    seen: dict[str, int] = {}
    for name, line in chart.lines.items():
        colour = _colour(name)
        number = seen[colour] = seen.get(colour, -1) + 1
        if colour == OTHER and number:
            colour, number = f"{OTHER}{number}", 0
        path = [place(point) for point in line]
        drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in path)
        look = f"{colour} line{DASHES[number % len(DASHES)]}"
        parts.append(f'<polyline class="{look}" points="{drawn}"/>')
        parts += [f'<circle class="{colour}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in path]
        ends.append((path[-1][1], name, look))
    x = WIDTH - right + 12
    for y, name, look in _apart(ends, 16):
        parts.append(f'<line class="{look}" x1="{x}" x2="{x + 22}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="small" x="{x + 28}" y="{y + 4:.1f}">{escape(name)}</text>')
    return _svg(parts, upper + height + 30, chart.title)


def _svg(parts: Sequence[str], height: int, title: str) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    ground = f'<rect class="ground" width="{WIDTH}" height="{height}" rx="6"/>'
    return "\n".join([f'{head} role="img" aria-label="{escape(title)}">', STYLE, ground, *parts, "</svg>"]) + "\n"


def _title(title: str, below: str) -> str:
    return (
        f'<text class="title" x="16" y="24">{escape(title)}</text>\n'
        f'<text class="small" x="16" y="42">{escape(below)}</text>'
    )


def _colour(name: str) -> str:
    return next((system for system in ("waggle", "redis", "nats") if name.startswith(system)), OTHER)


def _axis(values: Sequence[float]) -> tuple[float, float]:
    """The logarithms between which these lie, with some room. At least a factor of ten: what is flat has to look so."""
    low, high = math.log10(min(values)), math.log10(max(values))
    room = max(0.1, 0.05 * (high - low), (1 - high + low) / 2)
    return low - room, high + room


def _share(value: float, axis: tuple[float, float]) -> float:
    return (math.log10(value) - axis[0]) / (axis[1] - axis[0])


def _labels(values: Sequence[float], axis: tuple[float, float], width: float) -> list[tuple[float, float]]:
    """Values and where they stand on so wide an axis, as many as have room; powers of ten come first."""
    placed: list[tuple[float, float]] = []
    for value in sorted(set(values), key=lambda value: (math.log10(value) % 1 > 0, value)):
        x = _share(value, axis) * width
        if all(
            abs(x - other) > 3 + LETTER / 2 * (len(f"{value:,.0f}") + len(f"{near:,.0f}")) for near, other in placed
        ):
            placed.append((value, x))
    return placed


def _ticks(axis: tuple[float, float]) -> list[float]:
    """Round values on the axis: powers of ten, and where these are few, twice and five times them."""
    powers = range(math.floor(axis[0]), math.ceil(axis[1]) + 1)
    steps = (1, 2, 5) if axis[1] - axis[0] < 2 else (1,)
    ticks = [step * 10.0**power for power in powers for step in steps]
    return [tick for tick in ticks if axis[0] <= math.log10(tick) <= axis[1]]


def _apart(ends: Sequence[tuple[float, str, str]], gap: float) -> list[tuple[float, str, str]]:
    """Names at heights that do not run into each other, each beside the end of its line or below it."""
    placed: list[tuple[float, str, str]] = []
    for y, name, look in sorted(ends):
        placed.append((max(y, placed[-1][0] + gap) if placed else y, name, look))
    return placed
