"""The pictures of the benchmark."""

from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree

from tests.bench.plots import STYLE, bars, lines
from tests.bench.results import Chart, Column, Point, Table

SVG = "{http://www.w3.org/2000/svg}"


def _table(rows: dict[str, list[list[float]]]) -> Table:
    return Table("t", "Sets & more", [Column("rate", "/s", "more")], rows)


def _widths(picture: str) -> list[float]:
    found = ElementTree.fromstring(picture).findall(f"{SVG}rect")
    return [float(rect.attrib["width"]) for rect in found if rect.attrib["class"] != "ground"]


def test_a_bar_is_as_long_as_its_figure() -> None:
    widths = _widths(bars(_table({"waggle": [[50.0]], "redis, a": [[100.0]], "nats": [[25.0]]})))
    assert [round(width / widths[1], 2) for width in widths] == [0.5, 1.0, 0.25]


def test_a_row_without_a_figure_has_no_bar() -> None:
    assert len(_widths(bars(_table({"waggle": [[1.0]], "redis": [[]]})))) == 1


def test_nothing_but_zeros_can_be_drawn() -> None:
    assert _widths(bars(_table({"waggle": [[0.0]]}))) == [1.0]


def test_names_are_text_and_not_markup() -> None:
    picture = bars(_table({"<script>": [[1.0]]}))
    assert "<script>" not in picture
    assert "&lt;script&gt;" in picture
    assert "Sets &amp; more" in picture


def _chart() -> Chart:
    points = [Point(x, [y, y]) for x, y in ((1, 1e3), (10, 1e4), (100, 1e5))]
    return Chart("c", "Growth", "subscribers", "rate", "/s", {"waggle, a": points, "waggle, b": points, "keys": points})


def test_on_logarithmic_axes_a_power_is_a_straight_line() -> None:
    drawn = ElementTree.fromstring(lines(_chart())).find(f"{SVG}polyline")
    assert drawn is not None
    (x0, y0), (x1, y1), (x2, y2) = (map(float, pair.split(",")) for pair in drawn.attrib["points"].split())
    assert abs((x1 - x0) - (x2 - x1)) < 0.2
    assert abs((y0 - y1) - (y1 - y2)) < 0.2
    assert y0 > y2


def test_lines_of_one_system_are_told_apart_and_their_names_do_not_overlap() -> None:
    picture = ElementTree.fromstring(lines(_chart()))
    classes = [line.attrib["class"] for line in picture.findall(f"{SVG}polyline")]
    assert classes == ["waggle line", "waggle line thin", "other line"]
    names = [text for text in picture.findall(f"{SVG}text") if text.text in _chart().lines]
    heights = sorted(float(text.attrib["y"]) for text in names)
    assert all(later - earlier >= 15 for earlier, later in pairwise(heights))


def test_every_colour_has_one_for_the_dark() -> None:
    light, dark = STYLE.split("@media (prefers-color-scheme: dark) {")
    rules = [re.findall(r"([^{}]+)\{[^}]*(?:fill|stroke): #", style) for style in (light, dark)]
    classes = [{name for rule in each for name in re.findall(r"\.(\w+)", rule)} for each in rules]
    assert len(classes[0]) > 8
    assert classes[0] == classes[1]


def test_labels_that_would_run_into_each_other_are_left_out_powers_of_ten_last() -> None:
    points = [Point(x, [1.0]) for x in (10, 1_000, 1_100, 100_000)]
    picture = lines(Chart("c", "C", "keys", "cost", "s", {"keys": points}))
    assert all(f">{label}</text>" in picture for label in ("10", "1,000", "100,000"))
    assert ">1,100</text>" not in picture


def test_what_is_flat_looks_flat() -> None:
    points = [Point(x, [y]) for x, y in ((1, 20e-6), (10, 22e-6))]
    drawn = ElementTree.fromstring(lines(Chart("c", "C", "keys", "cost", "s", {"keys": points}))).find(f"{SVG}polyline")
    assert drawn is not None
    (_, y0), (_, y1) = (map(float, pair.split(",")) for pair in drawn.attrib["points"].split())
    assert abs(y0 - y1) < 15
