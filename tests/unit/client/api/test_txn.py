"""A txn is written as dicts; an item that is not a dict of plain JSON is refused with its position, and results
have types.
"""

from __future__ import annotations

from typing import Any, get_args, get_type_hints

import msgspec
import pytest

from waggle.api import txn
from waggle.api.txn import Condition, Step, decoded, txn_of
from waggle.wire import messages
from waggle.wire.errors import BadRequest
from waggle.wire.messages import Deleted, Done, Published, Touched, Updated, Written

EVERY_STEP: list[Step] = [
    {"op": "set", "key": "a", "value": 1, "ttl": 5},
    {"op": "delete", "key": "b"},
    {"op": "touch", "key": "c", "ttl": None},
    {"op": "update", "key": "d", "incr": 1},
    {"op": "publish", "channel": "e", "data": None},
]
EVERY_RESULT: list[Any] = [
    {"rev": 5, "version": 1, "expires_at": 9.0},
    {"deleted": True, "rev": 5},
    {"expires_at": None, "rev": 5},
    {"rev": 5, "version": 2, "value": 3, "expires_at": None},
    {"rev": 5, "receivers": 0},
]
TYPES = [Written, Deleted, Touched, Updated, Published]


def test_steps_and_conditions_go_out_as_they_were_written() -> None:
    conditions: list[Condition] = [
        {"key": "a", "rev": 0},
        {"key": "b", "exists": True, "ns": "n"},
        {"key": "c", "pointer": "/x", "equals": None},
    ]
    line = msgspec.to_builtins(txn_of(conditions, EVERY_STEP, EVERY_STEP[:1]))
    assert line == {"op": "txn", "id": 0, "if": conditions, "then": EVERY_STEP, "else": EVERY_STEP[:1]}


def test_any_iterable_will_do() -> None:
    command = txn_of((), (step for step in EVERY_STEP), ())
    assert command.then == EVERY_STEP
    assert "else" not in msgspec.to_builtins(command)


def test_results_are_what_the_steps_give_outside_of_a_txn() -> None:
    command = txn_of((), EVERY_STEP, EVERY_STEP[1:2])
    done = decoded(command, Done("then", 5, EVERY_RESULT))
    assert [type(result) for result in done.results] == TYPES
    assert done.results[3].value == 3
    done = decoded(command, Done("else", 5, EVERY_RESULT[1:2]))
    assert done.results == [Deleted(True, 5)]


@pytest.mark.parametrize(
    ("if_", "then", "field", "index"),
    [
        ([], EVERY_STEP[0], "then", None),
        ({"key": "a", "rev": 0}, [], "if", None),
        ([], "abc", "then", None),
        ([], [EVERY_STEP[0], "set"], "then", 1),
        ([{"key": "a", "rev": 0}, ["a", 0]], [], "if", 1),
        ([{"key": "a", "rev": 0}, {"key": "a", "revision": 0}], [], "if", 1),
        ([{"rev": 0}], [], "if", 0),
    ],
)
def test_a_list_with_other_items_than_dicts_is_reported_with_its_index(
    if_: Any, then: Any, field: str, index: int | None
) -> None:
    with pytest.raises(BadRequest, match=field) as refused:
        txn_of(if_, then, ())
    assert (refused.value.details["field"], refused.value.details.get("index")) == (field, index)


def test_values_are_plain_json() -> None:
    with pytest.raises(BadRequest, match=r"then\[1\]\['value'\]\['n'\]"):
        txn_of((), [EVERY_STEP[1], {"op": "set", "key": "a", "value": {"n": {1}}}], ())
    with pytest.raises(BadRequest, match=r"if\[0\]\['equals'\]"):
        txn_of([{"key": "a", "equals": float("nan")}], (), ())


def test_the_types_have_the_words_of_the_wire() -> None:
    wire = {str(command.__struct_config__.tag): command for command in get_args(messages.Step)}
    for typed in get_args(Step):
        (op,) = get_args(get_type_hints(typed)["op"])
        assert set(typed.__annotations__) == {"op", *wire.pop(op).__struct_fields__} - {"id", "rid"}, op
    assert not wire
    words = {word for condition in get_args(Condition) for word in condition.__annotations__}
    assert words == set(messages.Condition.__struct_fields__)
    assert {cls.__name__ for cls in (*get_args(Step), *get_args(Condition))} < set(txn.__all__)
