"""The `where` of a condition: which values it holds for (protocol 7)."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import UNSET

from waggle.wire import messages as m
from waggle.wire.errors import BadRequest
from waggle_hub.state.waits.predicate import Predicate


def holds(value: Any, op: Any, wanted: Any = UNSET, pointer: str = "") -> bool:
    return Predicate(m.Where(pointer=pointer, op=op, value=wanted)).holds(value)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [(1, 1), (1, 1.0), ("a", "a"), (None, None), (True, True), ([1, {"a": 2}], [1.0, {"a": 2}]), ({}, {}),
     ({"a": 1, "b": 2}, {"b": 2, "a": 1})],
)  # fmt: skip
def test_eq_holds_for_equal_values_and_ne_does_not(value: Any, wanted: Any) -> None:
    assert holds(value, "eq", wanted)
    assert not holds(value, "ne", wanted)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [(1, True), (0, False), (1, "1"), (None, False), (None, 0), ([], {}), ([1], [True]), ({"a": 0}, {"a": False}),
     ([1, 2], [2, 1]), ("a", "A"), (0, ""), ([], None)],
)  # fmt: skip
def test_values_of_different_types_are_never_equal_and_true_is_not_1(value: Any, wanted: Any) -> None:
    assert not holds(value, "eq", wanted)
    assert holds(value, "ne", wanted)
    assert not holds(wanted, "eq", value)


def test_a_where_without_an_op_compares_with_eq() -> None:
    assert Predicate(m.Where(value=3)).holds(3)


@pytest.mark.parametrize(("low", "high"), [(1, 2), (1, 1.5), (-0.5, 0), ("a", "b"), ("a", "aa"), ("Z", "a"), ("", "a"),
                                           (2**53, 2**53 + 1)])  # fmt: skip
def test_numbers_and_texts_are_ordered(low: Any, high: Any) -> None:
    assert [holds(low, op, high) for op in ("lt", "le", "gt", "ge")] == [True, True, False, False]
    assert [holds(high, op, low) for op in ("lt", "le", "gt", "ge")] == [False, False, True, True]
    assert [holds(low, op, low) for op in ("lt", "le", "gt", "ge")] == [False, True, False, True]


@pytest.mark.parametrize(
    ("value", "wanted"),
    [(1, "2"), ("1", 2), (True, 2), (0, True), (True, False), (None, 1), (1, None), ([1], [2]), ({}, {"a": 1}),
     (None, None), ([], [])],
)  # fmt: skip
@pytest.mark.parametrize("op", ["lt", "le", "gt", "ge"])
def test_nothing_else_is_ordered(op: str, value: Any, wanted: Any) -> None:
    assert not holds(value, op, wanted)


def test_in_holds_if_the_value_equals_one_of_several() -> None:
    assert holds(2, "in", [1, 2.0])
    assert holds([1], "in", [[1], 2])
    assert holds(None, "in", [None])
    assert not holds(1, "in", [True, "1", [1]])
    assert not holds(1, "in", [])


def test_contains_holds_for_an_item_a_part_of_a_text_or_a_member() -> None:
    assert holds([1, 2], "contains", 2)
    assert holds([[1], None], "contains", [1])
    assert not holds([1], "contains", True)
    assert holds("waggle", "contains", "gg")
    assert holds({"done": None}, "contains", "done")
    assert not holds({"1": 0}, "contains", 1)
    assert not holds("1", "contains", 1)
    assert not holds(12, "contains", 1)
    assert not holds(None, "contains", None)


def test_exists_holds_if_the_pointer_leads_to_a_value() -> None:
    assert holds({"a": None}, "exists", pointer="/a")
    assert holds({"a": None}, "exists", True, pointer="/a")
    assert not holds({"a": None}, "exists", False, pointer="/a")
    assert holds({}, "exists", False, pointer="/a")
    assert not holds({}, "exists", pointer="/a")
    assert holds(None, "exists")


@pytest.mark.parametrize(
    ("value", "pointer"),
    [({}, "/a"), ({"a": 1}, "/a/b"), ([1], "/1"), ([1], "/-"), ([1], "/00"), ([1], "/a"), (None, "/a"), ("text", "/0"),
     ({"a": {}}, "/a/"), ([], "/0")],
)  # fmt: skip
def test_a_pointer_that_leads_nowhere_meets_only_ne_and_exists_false(value: Any, pointer: str) -> None:
    met = {op: holds(value, op, wanted, pointer) for op, wanted in (
        ("eq", None), ("ne", None), ("lt", 1), ("le", 1), ("gt", 1), ("ge", 1), ("in", [None]), ("contains", "a"),
        ("exists", True),
    )}  # fmt: skip
    assert [op for op, meets in met.items() if meets] == ["ne"]
    assert holds(value, "exists", False, pointer)


@pytest.mark.parametrize(
    ("pointer", "found"),
    [("/a", 1), ("/b/0", 2), ("/b/1/c", 3), ("/x~1y", 4), ("/m~0n", 5), ("/", 6), ("/~01", 7), ("/0", 8)],
)
def test_a_pointer_leads_to_a_part_of_the_value(pointer: str, found: int) -> None:
    value = {"a": 1, "b": [2, {"c": 3}], "x/y": 4, "m~n": 5, "": 6, "~1": 7, "0": 8}
    assert holds(value, "eq", found, pointer)


@pytest.mark.parametrize(
    "asked",
    [
        m.Where(pointer="a", value=1),
        m.Where(pointer="/a~2", value=1),
        m.Where(),
        m.Where(op="ge"),
        m.Where(op="in"),
        m.Where(op="in", value="abc"),
        m.Where(op="in", value={"a": 1}),
        m.Where(op="exists", value=1),
        m.Where(op="exists", value=None),
        m.Where(op="contains"),
    ],
)
def test_a_malformed_where_is_refused_with_the_field(asked: m.Where) -> None:
    with pytest.raises(BadRequest) as refused:
        Predicate(asked)
    assert refused.value.details["field"] == "where"
