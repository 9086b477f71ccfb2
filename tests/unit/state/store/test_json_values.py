"""Values: JSON within its limits goes in and comes out as it was; anything else is refused, and the field is named."""

from __future__ import annotations

import math
import sys
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from waggle.wire.errors import BadRequest, TooLarge
from waggle_hub.state.store.json_values import encode_value

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4),
)  # fmt: skip


def encode(value: Any, limit: int = 1_000_000, depth: int = 100) -> bytes:
    return encode_value(value, "value", limit=limit, depth=depth)


def nested(depth: int, leaf: Any = None) -> Any:
    value = leaf
    for level in range(depth):
        value = [value] if level % 2 else {"in": value}
    return value


@given(JSON)
def test_a_stored_value_decodes_to_the_value_that_was_given(value: Any) -> None:
    assert msgspec.json.decode(encode(value)) == value


def test_text_is_stored_compact_and_in_utf8() -> None:
    assert encode({"a": [1, "ü", 1.5, None, True]}) == '{"a":[1,"ü",1.5,null,true]}'.encode()


def test_a_value_may_be_as_long_as_the_limit_and_no_longer() -> None:
    assert encode("x" * 8, limit=10) == b'"xxxxxxxx"'
    with pytest.raises(TooLarge) as refused:
        encode("x" * 9, limit=10)
    assert refused.value.details == {"limit": 10, "field": "value"}


def test_length_is_counted_in_bytes() -> None:
    with pytest.raises(TooLarge):
        encode("ü" * 8, limit=10)


@pytest.mark.parametrize("leaf", [None, 1, "text", [], {}])
def test_a_value_may_be_as_deep_as_the_limit_and_no_deeper(leaf: Any) -> None:
    room = 5 - isinstance(leaf, list | dict)
    assert msgspec.json.decode(encode(nested(room, leaf), depth=5)) == nested(room, leaf)
    with pytest.raises(BadRequest) as refused:
        encode(nested(room + 1, leaf), depth=5)
    assert refused.value.details["field"] == "value"


def test_depth_beyond_what_the_encoder_could_follow_is_refused_before_it_tries() -> None:
    value: Any = []
    for _ in range(sys.getrecursionlimit() * 3):
        value = [value]
    with pytest.raises(BadRequest):
        encode(value)


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**30])
@pytest.mark.parametrize("place", ["alone", "in a list", "deep", "among others"])
def test_integers_beyond_64_bits_are_refused_at_every_depth(number: int, place: str) -> None:
    value = {
        "alone": number,
        "in a list": [1, 2, number],
        "deep": {"a": [{"b": number}]},
        "among others": [True, "x", number, 1.5, None],
    }[place]
    with pytest.raises(BadRequest, match="64 bits") as refused:
        encode(value)
    assert refused.value.details["field"] == "value"


def test_true_is_not_an_integer() -> None:
    assert encode([True, False, 2**63 - 1, -(2**63)]) == b"[true,false,9223372036854775807,-9223372036854775808]"


@pytest.mark.parametrize("value", ["\ud800", ["\udfff"], {"\ud800": 1}, {"a": {"b": "x\udc00y"}}])
def test_half_a_surrogate_pair_is_refused_at_every_depth(value: Any) -> None:
    with pytest.raises(BadRequest, match="surrogate") as refused:
        encode(value)
    assert refused.value.details["field"] == "value"


def test_a_million_numbers_are_checked_in_a_few_passes() -> None:
    """Level by level, not one by one: no Python code runs for each of them."""
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    value = [[1] * 1_000 for _ in range(100)]
    sys.setprofile(count)
    try:
        encode(value)
    finally:
        sys.setprofile(None)
    assert calls < 2_000
    assert math.isfinite(calls)
