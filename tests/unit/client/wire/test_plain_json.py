"""Data that JSON cannot hold exactly is refused before it is sent, with its position and a remedy."""

from __future__ import annotations

import enum
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from waggle.wire import plain_json
from waggle.wire.errors import BadRequest

NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_plain_data_passes_and_survives(value: Any) -> None:
    plain_json.check(value, "value")
    plain_json.check_large(value, "value")
    assert json.loads(msgspec.json.encode(value)) == value


def deep(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


class Level(enum.IntEnum):
    LOW = 1


def test_a_value_may_be_as_deep_as_the_hub_takes_it() -> None:
    plain_json.check(deep(100), "value")
    plain_json.check_large(deep(100), "value")
    plain_json.check((1, (2,)), "value")
    plain_json.check(Level.LOW, "value")


LOOP: list[Any] = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (float("nan"), "value: nan is no JSON number; use None or text"),
        ({"a": [1, float("inf")]}, "value['a'][1]: inf is no JSON number"),
        ({1, 2}, "value: set is not JSON; use"),
        ({"when": {3: 4}}, "value['when']: the key 3 is not text; use '3'"),
        (2**63, "does not fit into 64 bits; send it as text"),
        (-(2**63) - 1, "does not fit into 64 bits"),
        (b"bytes", "bytes is not JSON"),
        ([object()], "value[0]: object is not JSON"),
        (deep(101), "nested deeper than 100 levels"),
        (LOOP, "nested deeper than 100 levels"),
    ],
)
def test_anything_else_is_refused_with_place_and_remedy(value: Any, says: str) -> None:
    with pytest.raises(BadRequest) as refused:
        plain_json.check_large(value, "value")
    assert refused.value.details == {"field": "value"}
    with pytest.raises(BadRequest) as refused:
        plain_json.check(value, "value")
    assert says in str(refused.value)
    assert refused.value.details == {"field": "value"}
