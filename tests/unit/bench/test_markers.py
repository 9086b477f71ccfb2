"""The generated parts of a page."""

from __future__ import annotations

import pytest

from tests.bench import publishing
from tests.bench.markers import filled, names
from tests.bench.workloads import WORKLOADS

PAGE = "Before.\n<!-- bench: a -->\nold\n<!-- end: a -->\nBetween.\n<!-- bench: b-2 -->\n<!-- end: b-2 -->\nAfter.\n"


def test_what_is_around_the_parts_stays() -> None:
    (page,) = filled([PAGE], {"a": "new\n", "b-2": "two\n"})
    assert page == PAGE.replace("old\n", "new\n").replace("b-2 -->\n<", "b-2 -->\ntwo\n<")


def test_a_part_that_was_not_made_stays_as_it_was() -> None:
    assert filled([PAGE], {"b-2": ""}) == [PAGE]


def test_each_page_gets_the_parts_that_it_has_a_place_for() -> None:
    other = PAGE.replace("bench: a", "bench: c").replace("end: a", "end: c")
    assert filled([PAGE, other], {"a": "one\n", "c": "two\n"}) == [
        PAGE.replace("old", "one"),
        other.replace("old", "two"),
    ]


def test_filling_twice_is_filling_once() -> None:
    once = filled([PAGE], {"a": r"\1 | new" + "\n"})
    assert filled(once, {"a": r"\1 | new" + "\n"}) == once


def test_a_part_without_a_place_is_not_lost_in_silence() -> None:
    with pytest.raises(ValueError, match="bench: c"):
        filled([PAGE, PAGE], {"c": "?"})


def test_the_pages_have_a_place_for_every_work() -> None:
    assert [name for page in publishing.PAGES for name in names(page.read_text())] == ["machine", "goals", *WORKLOADS]
