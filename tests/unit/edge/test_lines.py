"""Lines in: each becomes a command, or a refusal that finds its way and names what to correct."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waggle import messages as m
from waggle_hub.edge.lines import BadLine, decode

DEEP = "[" * 100_000 + "]" * 100_000


def refusal(line: str) -> BadLine:
    with pytest.raises(BadLine) as refused:
        decode(line)
    return refused.value


@pytest.mark.parametrize(
    ("line", "id", "field"),
    [
        ("nope", None, None),
        ("", None, None),
        ("[1]", None, None),
        ('{"id": 1, "op": "ping"', None, None),
        ('{"id": 1, "op": "ping"} x', None, None),
        ('{"op": "ping"}', None, "id"),
        ('{"id": null, "op": "ping"}', None, "id"),
        ('{"id": true, "op": "ping"}', None, "id"),
        ('{"id": 1.5, "op": "ping"}', None, "id"),
        ('{"id": 9223372036854775808, "op": "ping"}', None, "id"),
        (json.dumps({"id": "x" * 65, "op": "ping"}), None, "id"),
        ('{"id": 1}', 1, "op"),
        ('{"id": 1, "op": "zap"}', 1, "op"),
        ('{"id": 1, "op": 7}', 1, "op"),
        ('{"id": "a", "op": "get"}', "a", "key"),
        ('{"id": 1, "op": "get", "key": 7}', 1, "key"),
        ('{"id": 1, "op": "get", "key": "k", "zap": 1}', 1, "zap"),
        ('{"id": 1, "op": "get", "key": "k", "rid": "r"}', 1, "rid"),
        ('{"id": 1, "op": "set", "key": "k"}', 1, "value"),
        ('{"id": 1, "op": "set", "key": "k", "value": 1e999}', 1, "value"),
        ('{"id": 1, "op": "set", "key": "k", "value": [1, {"a": -1e999}]}', 1, "value"),
        ('{"id": 1, "op": "set", "key": "k", "value": 1, "ttl": true}', 1, "ttl"),
        ('{"id": 1, "op": "set", "key": "k", "value": 1, "kind": "odd"}', 1, "kind"),
        ('{"id": 1, "op": "set", "key": "k", "value": "\\ud800"}', 1, "value"),
        ('{"id": 1, "op": "set", "key": "\\ud800", "value": 1}', 1, "key"),
        ('{"id": 1, "op": "touch", "key": "k"}', 1, "ttl"),
        ('{"id": 1, "op": "hello", "got": {"x": 1}}', 1, "got"),
        ('{"id": 1, "op": "subscribe", "patterns": "x"}', 1, "patterns"),
        ('{"id": 1, "op": "subscribe", "patterns": ["x"], "types": ["odd"]}', 1, "types"),
        ('{"id": 1, "op": "subscribe", "patterns": ["x"], "since": {"epoch": "e"}}', 1, "rev"),
        (f'{{"id": 1, "op": "set", "key": "k", "value": {DEEP}}}', None, None),
    ],
)
def test_a_line_that_is_no_command_is_refused_under_its_id(line: str, id: m.Id | None, field: str | None) -> None:
    bad = refusal(line)
    if DEEP not in line:
        assert bad.id == id
    assert bad.error.code == "bad_request"
    if field is not None:
        assert bad.error.details["field"] in (field, "since")


def test_a_line_nested_beyond_all_measure_is_still_answered_under_its_id() -> None:
    deep = "[" * 20_000 + "]" * 20_000
    assert refusal(f'{{"id": 7, "op": "set", "key": "k", "value": {deep}}}').id == 7


def test_every_op_has_a_command_and_every_command_a_reply() -> None:
    assert set(m.OPS.values()) == set(m.REPLIES)
    assert {command.__struct_config__.tag for command in m.REPLIES} == set(m.OPS)


@given(st.text(max_size=60))
def test_any_text_is_a_command_or_a_bad_line(text: str) -> None:
    with contextlib.suppress(BadLine):
        decode(text)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
FIELDS = sorted({name for command in m.REPLIES for name in command.__struct_fields__} | {"if", "else", "zap"})


@given(st.sampled_from(sorted(m.OPS)), st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=5))
def test_any_fields_make_a_command_or_a_bad_line_with_its_id(op: str, fields: dict[str, object]) -> None:
    line = json.dumps({**fields, "op": op, "id": 5})
    id: m.Id | None
    try:
        id = decode(line).id
    except BadLine as bad:
        id = bad.id
    assert id == 5
