"""The changes between two values, one line for each place."""

from __future__ import annotations

import random
from typing import Any

import pytest
from msgspec import UNSET

from waggle.cli.output.diff import change_line, changes


def said(before: Any, after: Any, width: int = 200) -> list[str]:
    return [change_line(change, width) for change in changes(before, after)]


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        (1, 1, []),
        (1, 2, ["~ value: 1 -> 2"]),
        (None, {"a": 1}, ['~ value: null -> {"a":1}']),
        (1, True, ["~ value: 1 -> true"]),
        ({"a": 1, "b": 2}, {"b": 2, "c": None}, ["- a: 1", "+ c: null"]),
        ({"a": {"b": [1]}}, {"a": {"b": [2]}}, ["~ a.b[0]: 1 -> 2"]),
        ({"a b": {"c": 1}}, {"a b": {"c": 2}}, ['~ ["a b"].c: 1 -> 2']),
        ([1, 2, 3], [0, 1, 2, 3], ["+ [0]: 0"]),
        ([1, 2, 3], [1, 3], ["- [1]: 2"]),
        ([1, 2], [1, 2, 3], ["+ [2]: 3"]),
        ([{"a": 1}, 9], [{"a": 2}, 9], ["~ [0].a: 1 -> 2"]),
        ([], [], []),
    ],
)
def test_a_change_is_named_by_its_place(before: Any, after: Any, lines: list[str]) -> None:
    assert said(before, after) == lines


def test_the_difference_of_long_values_is_shown() -> None:
    long = "word " * 50
    (line,) = said({"text": f"{long}one"}, {"text": f"{long}two"}, 80)
    assert line.endswith('…d word word one" -> …d word word two"')
    assert len(line) <= 80
    (line,) = said("a" * 500, "b" * 500, 80)
    assert line.startswith('~ value: "aaa')
    assert '… -> "bbb' in line
    assert len(line) <= 80


def test_values_of_agents_cannot_control_the_terminal() -> None:
    nasty = "\x1b[2J\u202e"
    for line in said({nasty: nasty, "a": 1}, {nasty + "x": nasty, "a": nasty}):
        assert line.isprintable()


def test_there_are_changes_exactly_where_values_differ() -> None:
    """A thousand random pairs: no change for equals, some change for others, and never one that changes nothing."""
    chance = random.Random(7)

    def value(depth: int) -> Any:
        kind = chance.randrange(6 if depth else 4)
        if kind < 4:
            return chance.choice([None, True, False, 0, 1, 2.5, "", "a"])
        if kind == 4:
            return [value(depth - 1) for _ in range(chance.randrange(4))]
        return {chance.choice("abc"): value(depth - 1) for _ in range(chance.randrange(4))}

    def same(one: Any, other: Any) -> bool:
        return repr(one) == repr(other) or (one == other and not {type(one), type(other)} & {bool, dict, list})

    for _ in range(1000):
        before, after = value(3), value(3)
        found = list(changes(before, after))
        if repr(before) == repr(after):
            assert not found
        if not found:
            assert before == after
        for change in found:
            assert change.before is UNSET or change.after is UNSET or not same(change.before, change.after)
