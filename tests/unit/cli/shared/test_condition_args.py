"""The conditions of `waggle wait`, parsed from arguments."""

from __future__ import annotations

from typing import Any

import pytest
import typer

from waggle import WaitFor, Where
from waggle.api.wait import conditions_of
from waggle.cli.shared.condition_args import build_conditions, parse_conditions, parse_where


def on(*keys: str, patterns: tuple[str, ...] = (), wheres: tuple[Where, ...] = (), **fields: Any) -> list[WaitFor]:
    known: dict[str, Any] = {"count": 1, "absent": False, "unlocked": False, "since": None, **fields}
    return build_conditions(list(keys), list(patterns), wheres=list(wheres), **known)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("/state == done", {"pointer": "/state", "op": "eq", "value": "done"}),
        ('/state = "done"', {"pointer": "/state", "op": "eq", "value": "done"}),
        ("  /n  >=  3 ", {"pointer": "/n", "op": "ge", "value": 3}),
        ("== 5", {"pointer": "", "op": "eq", "value": 5}),
        ("!= null", {"pointer": "", "op": "ne", "value": None}),
        ("/text == two words", {"pointer": "/text", "op": "eq", "value": "two words"}),
        ('/text == "3"', {"pointer": "/text", "op": "eq", "value": "3"}),
        ("/tags contains urgent", {"pointer": "/tags", "op": "contains", "value": "urgent"}),
        ('/state in ["done", "failed"]', {"pointer": "/state", "op": "in", "value": ["done", "failed"]}),
        ("/error exists", {"pointer": "/error", "op": "exists"}),
        ("/a/b~1c lt 1.5", {"pointer": "/a/b~1c", "op": "lt", "value": 1.5}),
    ],
)
def test_a_condition_on_the_value_is_a_pointer_an_op_and_a_value(said: str, meant: object) -> None:
    assert parse_where(said) == meant


@pytest.mark.parametrize("said", ["", "done", "/state", "/state done", "/state==done", "/n >=", "/e exists 1", "~ 3"])
def test_an_invalid_condition_is_refused_with_an_example(said: str) -> None:
    with pytest.raises(typer.BadParameter, match="/state == done"):
        parse_where(said)


def test_each_key_and_pattern_is_a_condition_and_each_where_of_a_key() -> None:
    first, second = parse_where("/n > 1"), parse_where("/n < 9")
    assert [(one.get("key"), one.get("pattern"), one["where"]) for one in on("a", "b", patterns=("c*",))] == [
        ("a", None, None), ("b", None, None), (None, "c*", None),
    ]  # fmt: skip
    assert [one["where"] for one in on("a", wheres=(first, second))] == [first, second]
    assert [(one["count"], one["where"]) for one in on(patterns=("c*",), count=3, wheres=(first,))] == [(3, first)]


def test_a_pattern_with_several_conditions_on_the_value_could_mean_two_things() -> None:
    with pytest.raises(typer.BadParameter, match="several entries"):
        on(patterns=("a*",), wheres=(parse_where("== 1"), parse_where("== 2")))
    with pytest.raises(typer.BadParameter, match="--pattern"):
        on("a", count=2)


def test_they_may_be_said_in_the_words_of_the_wire() -> None:
    said = '["spec", {"pattern": "result:*", "count": 3, "where": {"pointer": "/ok", "value": true}}]'
    conditions = parse_conditions(said)
    assert conditions[0] == {"key": "spec"}
    assert conditions_of(conditions, "conditions")[1].count == 3
