"""Lines in: a command, or a refusal that names what to correct and finds its way back; nothing else, whatever comes."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from waggle.wire import messages as m
from waggle_hub.edge.decode import BadLine, decode


def refusal(line: str | dict[str, Any]) -> tuple[Any, str | None, str]:
    """The id that is answered, the field that is named, and the message."""
    text = line if isinstance(line, str) else json.dumps(line)
    with pytest.raises(BadLine) as bad:
        decode(text)
    wire = bad.value.error.to_wire()
    assert wire["code"] == "bad_request"
    assert wire["message"]
    return bad.value.id, wire.get("field"), wire["message"]


def answered(line: str) -> Any:
    """The id under which a line is answered, whether it is a command or not."""
    try:
        return decode(line).id
    except BadLine as bad:
        return bad.id


# --- what is a command ---


def test_a_line_becomes_the_command_of_its_op() -> None:
    command = decode('{"id": 7, "op": "set", "key": "task:1", "value": {"n": 1}, "ttl": 60}')
    assert command == m.Set(id=7, key="task:1", value={"n": 1}, ttl=60.0)


@pytest.mark.parametrize("op", sorted(m.OPS))
def test_every_op_of_the_vocabulary_is_known(op: str) -> None:
    required = {
        field.name: _example(field.name)
        for field in msgspec.structs.fields(m.OPS[op])
        if field.required and field.name != "id"
    }
    assert decode(json.dumps({"id": 1, "op": op, **_renamed(required)})).id == 1


def _example(name: str) -> Any:
    values: dict[str, Any] = {"if_": [], "then": [], "patterns": ["*"], "ttl": 1.0, "confirm": True, "sub": 1,
                              "token": 1}  # fmt: skip
    return values.get(name, "text")


def _renamed(fields: dict[str, Any]) -> dict[str, Any]:
    return {name.rstrip("_"): value for name, value in fields.items()}


@pytest.mark.parametrize("id", [0, -1, 2**63 - 1, -(2**63), "", "x", "é" * 64, "\u0000"])
def test_an_id_is_an_integer_or_a_short_string(id: int | str) -> None:
    assert decode(json.dumps({"id": id, "op": "ping"})).id == id


def test_white_space_around_the_line_is_nothing() -> None:
    assert decode('\t {"id":1,"op":"ping"} \r').id == 1


def test_of_a_field_that_comes_twice_the_last_counts() -> None:
    assert decode('{"id":1,"op":"get","key":"a","key":"b"}') == m.Get(id=1, key="b")


def test_null_is_not_left_out_where_it_has_a_meaning() -> None:
    assert decode('{"id":1,"op":"touch","key":"k","ttl":null}') == m.Touch(id=1, key="k", ttl=None)
    assert refusal({"id": 1, "op": "touch", "key": "k"})[:2] == (1, "ttl")


# --- what is not ---


@pytest.mark.parametrize(
    "line", ["", "x", "{", "[]", "7", '"text"', "null", "{}{}", '{"id":1,"op":"ping"', "\ufeff{}", "{'id':1}"]
)
def test_a_line_that_is_no_json_object_is_refused_without_an_id(line: str) -> None:
    assert refusal(line)[0] is None


@pytest.mark.parametrize("id", [None, True, 1.5, [], {}, 2**63, -(2**63) - 1, "x" * 65])
def test_an_id_that_cannot_be_one_is_not_answered(id: Any) -> None:
    assert refusal({"id": id, "op": "ping"})[:2] == (None, "id")


def test_a_line_without_an_id_names_it() -> None:
    assert refusal({"op": "ping"})[:2] == (None, "id")


@pytest.mark.parametrize(("fields", "field"), [
    ({"op": "pong"}, "op"), ({"op": "ping", "x": 1}, "x"), ({}, "op"), ({"op": 7}, "op"), ({"op": None}, "op"),
    ({"op": "get"}, "key"), ({"op": "get", "key": 7}, "key"), ({"op": "get", "key": None}, "key"),
    ({"op": "set", "key": "k"}, "value"), ({"op": "set", "key": "k", "value": 1, "ttl": "1"}, "ttl"),
    ({"op": "set", "key": "k", "value": 1, "if_rev": 1.5}, "if_rev"),
    ({"op": "set", "key": "k", "value": 1, "if_rev": True}, "if_rev"),
    ({"op": "set", "key": "k", "value": 1, "kind": "other"}, "kind"),
    ({"op": "set", "key": "k", "value": 1, "meta": []}, "meta"),
    ({"op": "set", "key": "k", "value": 1, "rid": 7}, "rid"),
    ({"op": "set", "key": "k", "value": 1, "ephemeral": 1}, "ephemeral"),
    ({"op": "get", "key": "k", "rid": "r"}, "rid"), ({"op": "list", "pattern": "*", "limit": "9"}, "limit"),
    ({"op": "subscribe", "patterns": "*"}, "patterns"), ({"op": "subscribe", "patterns": [1]}, "patterns"),
    ({"op": "subscribe", "patterns": ["*"], "types": ["sett"]}, "types"),
    ({"op": "subscribe", "patterns": ["*"], "since": {"rev": 1}}, "epoch"),
    ({"op": "hello", "cursors": {"x": 1}}, "cursors"), ({"op": "hello", "cursors": [1]}, "cursors"),
    ({"op": "hello", "meta": "text"}, "meta"), ({"op": "unsubscribe", "sub": "1"}, "sub"),
])  # fmt: skip
def test_a_command_that_is_wrong_names_the_field(fields: dict[str, Any], field: str) -> None:
    assert refusal({"id": "mine", **fields})[:2] == ("mine", field)


def test_an_unknown_op_is_told_which_there_are() -> None:
    message = refusal({"id": 1, "op": "lokc"})[2]
    assert all(op in message for op in m.OPS)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "01", "1.", ".5", "0x10", "+1"])
def test_numbers_that_json_does_not_have_are_refused(number: str) -> None:
    refusal(f'{{"id":1,"op":"set","key":"k","value":{number}}}')


@pytest.mark.parametrize("escape", [r"\ud800", r"\udc00", r"\ud800\ud800", r"\ud800x"])
@pytest.mark.parametrize("place", ["value", "key", "deep", "name"])
def test_half_a_surrogate_pair_is_refused_wherever_it_stands(escape: str, place: str) -> None:
    line = {
        "value": '{"id":1,"op":"set","key":"k","value":"%s"}',
        "key": '{"id":1,"op":"set","key":"%s","value":1}',
        "deep": '{"id":1,"op":"set","key":"k","value":[{"a":"%s"}]}',
        "name": '{"id":1,"op":"set","key":"k","value":{"%s":1}}',
    }[place] % escape  # fmt: skip
    id, field, _ = refusal(line)
    assert (id, field) == (1, "key" if place == "key" else "value")


def test_an_id_with_half_a_surrogate_pair_cannot_be_answered() -> None:
    assert refusal('{"id":"\\ud800","op":"ping"}')[0] is None


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_a_line_nested_beyond_all_measure_still_gets_its_answer(opening: str) -> None:
    closing = "]" if opening == "[" else "}"
    for depth in (1_000, 30_000):
        line = f'{{"op":"set","key":"k","value":{opening * depth}1{closing * depth},"id":42}}'
        assert answered(line) == 42


def test_a_line_of_a_million_brackets_is_refused_without_following_them_all() -> None:
    id, _, _ = refusal('{"id":42,"op":"set","key":"k","value":' + "[" * 1_000_000)
    assert id in (42, None)


@pytest.mark.parametrize("digits", [25, 4_000, 5_000, 100_000])
@pytest.mark.parametrize("line", [
    '{"id":%s,"op":"ping"}', '{"id":1,"op":"delete","key":"k","if_rev":%s}', '{"id":1,"op":"hello","cursors":{"%s":1}}',
    '{"id":1,"op":"unsubscribe","sub":%s}', '{"id":1,"op":"list","pattern":"*","limit":%s}', '{"id":1,"op":%s}',
    '{"id":1,"op":"set","key":"k","value":%s}',
])  # fmt: skip
def test_integers_of_any_length_are_answered(line: str, digits: int) -> None:
    assert answered(line % ("9" * digits)) in (None, 1)


# --- anything ---

TEXT = st.text(st.characters(codec="utf-8"), max_size=200)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
)
FIELDS = st.sampled_from(
    sorted(
        {field.encode_name for command in m.REPLIES for field in msgspec.structs.fields(command)} | {"x", "op", "id"}
    )
)
LINES = st.builds(
    lambda op, fields: json.dumps({**fields, "op": op}),
    st.sampled_from([*m.OPS, "other"]) | JSON,
    st.dictionaries(FIELDS, JSON, max_size=6),
)


def _only_command_or_bad_line(line: str) -> None:
    try:
        command = decode(line)
    except BadLine as bad:
        msgspec.json.encode({"id": bad.id, "error": bad.error.to_wire()})
    else:
        assert type(command) in m.REPLIES


@given(TEXT)
@example('{"id":1,"op":"set","key":"k","value":1}{')
@example("\x00")
def test_any_text_is_a_command_or_refused(line: str) -> None:
    _only_command_or_bad_line(line)


@given(LINES)
def test_any_object_is_a_command_or_refused(line: str) -> None:
    _only_command_or_bad_line(line)


@given(LINES, st.integers(0, 300), st.text('{}[]",:\\u0dtfn1e-. \x00', max_size=4))
def test_any_line_that_was_broken_is_a_command_or_refused(line: str, at: int, text: str) -> None:
    at %= len(line) + 1
    _only_command_or_bad_line(line[:at] + text + line[at + 1 :])
    _only_command_or_bad_line(line[:at])
