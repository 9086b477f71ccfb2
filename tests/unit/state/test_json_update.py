"""Updates of a JSON value: the examples of the RFCs, and hostile input."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waggle.wire.errors import BadRequest, LimitReached, TooLarge
from waggle_hub.state.json_pointer import ABSENT, equal, kind_of, parse_pointer
from waggle_hub.state.json_update import (
    Patch,
    PatchTestFailed,
    append,
    increment,
    merge,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-100, 100) | st.floats(-10, 10) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)

MERGES = [  # RFC 7396, appendix A
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    (ABSENT, {"a": 1, "b": None}, {"a": 1}),
]


@pytest.mark.parametrize(("value", "change", "expected"), MERGES)
def test_a_merge_follows_the_examples_of_its_rfc(value: Any, change: Any, expected: Any) -> None:
    assert merge(value, change) == expected


PATCHES = [  # RFC 6902, appendix A, and the edges beside it
    ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}], {"foo": "bar", "baz": "qux"}),
    ({"foo": ["bar", "baz"]}, [{"op": "add", "path": "/foo/1", "value": "q"}], {"foo": ["bar", "q", "baz"]}),
    ({"foo": ["bar"]}, [{"op": "add", "path": "/foo/-", "value": ["x"]}], {"foo": ["bar", ["x"]]}),
    ({"foo": ["bar"]}, [{"op": "add", "path": "/foo/1", "value": 1}], {"foo": ["bar", 1]}),
    ({"baz": "qux", "foo": "bar"}, [{"op": "remove", "path": "/baz"}], {"foo": "bar"}),
    ({"foo": ["a", "b", "c"]}, [{"op": "remove", "path": "/foo/1"}], {"foo": ["a", "c"]}),
    ({"baz": "qux"}, [{"op": "replace", "path": "/baz", "value": "boo"}], {"baz": "boo"}),
    ({"a": {"b": 1}, "c": {}}, [{"op": "move", "from": "/a/b", "path": "/c/d"}], {"a": {}, "c": {"d": 1}}),
    ({"a": [1, 2, 3]}, [{"op": "move", "from": "/a/0", "path": "/a/2"}], {"a": [2, 3, 1]}),
    ({"a": [1]}, [{"op": "copy", "from": "/a", "path": "/b"}], {"a": [1], "b": [1]}),
    (
        {"a/b": 1, "m~n": 2},
        [{"op": "remove", "path": "/a~1b"}, {"op": "test", "path": "/m~0n", "value": 2}],
        {"m~n": 2},
    ),
    ({"a": 1}, [{"op": "replace", "path": "", "value": [1]}], [1]),
    (ABSENT, [{"op": "add", "path": "/a", "value": 1}], {"a": 1}),
    ({"a": 1}, [{"op": "test", "path": "/a", "value": 1.0, "more": "is ignored"}], {"a": 1}),
    ({"a": 1}, [], {"a": 1}),
]


@pytest.mark.parametrize(("value", "operations", "expected"), PATCHES)
def test_a_patch_follows_the_examples_of_its_rfc(value: Any, operations: list[Any], expected: Any) -> None:
    assert Patch(value, 1000).apply(operations) == expected


@pytest.mark.parametrize(
    "operation",
    [
        "remove",
        {},
        {"op": "zap", "path": ""},
        {"op": "add", "path": "/b"},
        {"op": "add", "value": 1},
        {"op": "add", "path": "b", "value": 1},
        {"op": "add", "path": "/x/y", "value": 1},
        {"op": "add", "path": "/a/b", "value": 1},
        {"op": "add", "path": "/list/5", "value": 1},
        {"op": "add", "path": "/list/01", "value": 1},
        {"op": "add", "path": "/list/-1", "value": 1},
        {"op": "add", "path": "/list/²", "value": 1},
        {"op": "add", "path": "/a~2", "value": 1},
        {"op": "remove", "path": ""},
        {"op": "remove", "path": "/none"},
        {"op": "remove", "path": "/list/2"},
        {"op": "remove", "path": "/list/-"},
        {"op": "replace", "path": "/none", "value": 1},
        {"op": "replace", "path": "/a/b", "value": 1},
        {"op": "move", "path": "/c"},
        {"op": "move", "from": "/obj", "path": "/obj/in"},
        {"op": "copy", "from": "/none", "path": "/c"},
        {"op": "test", "path": "/none", "value": None},
    ],
)
def test_a_patch_operation_that_does_not_fit_is_refused_with_its_number(operation: Any) -> None:
    with pytest.raises(BadRequest, match="operation 1 of the patch") as refused:
        Patch({"a": 1, "list": [1, 2], "obj": {}}, 1000).apply([{"op": "test", "path": "/a", "value": 1}, operation])
    assert refused.value.details["field"] == "patch"


@pytest.mark.parametrize("value", [True, "1", [1], None, 2])
def test_the_test_of_a_patch_compares_as_json_does(value: Any) -> None:
    with pytest.raises(PatchTestFailed):
        Patch({"a": 1}, 1000).apply([{"op": "test", "path": "/a", "value": value}])


def test_a_copy_is_independent_of_its_original() -> None:
    patched = Patch({"a": [1]}, 1000).apply(
        [{"op": "copy", "from": "/a", "path": "/b"}, {"op": "add", "path": "/b/-", "value": 2}]
    )
    assert patched == {"a": [1], "b": [1, 2]}


def test_a_patch_that_copies_a_value_into_itself_again_and_again_is_refused() -> None:
    doubling = [{"op": "copy", "from": "", "path": f"/x{number}"} for number in range(64)]
    with pytest.raises((TooLarge, BadRequest)):
        Patch({"a": "x" * 1000}, 1_000_000).apply(doubling)


def test_a_patch_that_nests_too_deeply_is_refused() -> None:
    deeper = [{"op": "copy", "from": "", "path": "/a" * 2**number} for number in range(20)]
    with pytest.raises((TooLarge, BadRequest)):
        Patch({"a": 1}, 10**9).apply(deeper)


@pytest.mark.parametrize(
    ("value", "amount", "pointer", "expected"),
    [
        (ABSENT, 1, "", 1),
        (ABSENT, 1, "/n", {"n": 1}),
        (5, -2, "", 3),
        (1, 0.5, "", 1.5),
        ({"a": {"b": 1}}, 1, "/a/b", {"a": {"b": 2}}),
        ({"a": {}}, 1, "/a/b", {"a": {"b": 1}}),
        ({"a": [1, 2]}, 1, "/a/1", {"a": [1, 3]}),
    ],
)
def test_incr_adds_at_the_pointer_and_absent_counts_as_zero(
    value: Any, amount: float, pointer: str, expected: Any
) -> None:
    assert increment(value, amount, pointer) == expected


@pytest.mark.parametrize(
    ("value", "pointer"),
    [("1", ""), (True, ""), (None, ""), ({"a": []}, "/a"), ({}, "/a/b"), ([], "/0"), ({}, "a"), (1, "/a"), (1e308, "")],
)
def test_incr_on_anything_but_a_number_is_refused(value: Any, pointer: str) -> None:
    with pytest.raises(BadRequest):
        increment(value, 1e308, pointer)


def test_append_adds_at_the_end_and_absent_counts_as_empty() -> None:
    assert append(ABSENT, 1, "") == [1]
    assert append(ABSENT, 1, "/a") == {"a": [1]}
    assert append({"a": [1]}, [2], "/a") == {"a": [1, [2]]}
    with pytest.raises(BadRequest):
        append({"a": 1}, 1, "/a")


@given(JSON, JSON)
def test_equal_is_json_equality(left: Any, right: Any) -> None:
    assert equal(left, left)
    assert equal(left, right) == equal(right, left)
    if json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True):
        assert equal(left, right)


@given(JSON, JSON)
def test_a_merge_is_idempotent(value: Any, change: Any) -> None:
    once = merge(json.loads(json.dumps(value)), change)
    twice = merge(json.loads(json.dumps(once)), change)
    assert equal(once, twice)


@given(st.lists(st.text(max_size=4), max_size=4))
def test_parse_pointer_reverses_the_escaping_of_tokens(tokens: list[str]) -> None:
    pointer = "".join("/" + token.replace("~", "~0").replace("/", "~1") for token in tokens)
    assert parse_pointer(pointer) == tokens


def test_kind_of_returns_the_json_type_in_words() -> None:
    values: list[Any] = [None, True, 1, 1.5, "a", [], {}]
    named = [kind_of(value) for value in values]
    assert named == ["null", "a boolean", "a number", "a number", "text", "an array", "an object"]


@pytest.mark.parametrize("value", ["text", 7, None, True])
@pytest.mark.parametrize("op", ["add", "remove", "replace", "test"])
def test_a_patch_into_a_scalar_is_refused(value: Any, op: str) -> None:
    with pytest.raises(BadRequest) as refused:
        Patch(value, 1_000).apply([{"op": op, "path": "/n", "value": 1}])
    assert refused.value.details["field"] == "patch"


def test_a_patch_does_not_change_its_operations() -> None:
    operations = [{"op": "add", "path": "/n", "value": [1]}, {"op": "add", "path": "/n/-", "value": 2}]
    for _ in range(2):  # a command may be decided a second time
        assert Patch({}, 1_000).apply(operations) == {"n": [1, 2]}


def test_a_patch_that_moves_too_many_items_is_refused_with_the_bound() -> None:
    value = list(range(100))
    first, end = {"op": "add", "path": "/0", "value": 1}, {"op": "add", "path": "/-", "value": 1}
    with pytest.raises(LimitReached, match="moves 1045 or more") as refused:
        Patch(list(value), 1_000, 1_000).apply([first] * 50)
    assert (refused.value.details["limit"], refused.value.details["field"]) == (1_000, "patch")
    with pytest.raises(LimitReached):
        Patch(list(value), 1_000, 1_000).apply([{"op": "remove", "path": "/0"}] * 50)
    assert len(Patch(value, 1_000, 1_000).apply([first] * 9 + [end] * 5_000)) == 5_109
