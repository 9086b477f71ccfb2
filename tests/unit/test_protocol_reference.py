"""docs/protocol.md and its schema say what the vocabulary says: fields, ops, errors and close codes."""

from __future__ import annotations

import re
import typing

import pytest
from jsonschema import Draft202012Validator

from tests.tools.protocol_reference import PAGE, SCHEMA, render, schema, schema_text, tables_in
from waggle.core.backoff import after_close
from waggle.wire.errors import BY_CODE, WaggleError
from waggle.wire.messages import DEFAULT_TYPES, OPS, EventType

TEXT = PAGE.read_text()


def rows_after(heading: str) -> list[list[str]]:
    """The rows of the first table whose first column has this title."""
    table = TEXT.partition(f"\n| {heading} |")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in table.split("\n")[2:]]


def test_the_tables_of_the_page_are_those_of_the_vocabulary() -> None:
    assert render(TEXT) == TEXT, "out of date: make protocol"


def test_the_schema_is_that_of_the_vocabulary() -> None:
    assert SCHEMA.read_text() == schema_text(), "out of date: make protocol"


def test_the_schema_is_a_json_schema() -> None:
    Draft202012Validator.check_schema(schema())


def test_each_op_has_a_table_under_a_heading_of_its_own() -> None:
    sections = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", TEXT, re.DOTALL | re.MULTILINE))
    assert {op for op in OPS if f"<!-- fields: {op} -->" not in sections.get(op, "")} == set()
    assert len(tables_in(TEXT)) == len(set(tables_in(TEXT)))


def test_each_event_type_has_a_row() -> None:
    types = {
        row[0].strip("`") for row in rows_after("type | when | fields beside `sub rev after more? type key ns at by`")
    }
    assert types == set(typing.get_args(EventType))
    named = re.search(r"by default `([a-z ]+)`", TEXT.partition("| `types` |")[2])
    assert named is not None
    assert set(named[1].split()) == DEFAULT_TYPES


def test_each_error_has_a_row_that_says_whether_to_retry() -> None:
    retries = {
        code: retry.startswith(("yes", "later"))
        for codes, retry, *_ in rows_after("error | retry the same command? | also carries")
        for code in re.findall(r"`(\w+)`", codes)
    }
    assert retries == {code: error.retry for code, error in BY_CODE.items()}


def reconnects(code: int) -> bool:
    """Whether the client connects again by itself after this close code."""
    try:
        after_close(code, "2")
    except WaggleError:
        return False
    return True


@pytest.mark.parametrize(("codes", "meaning", "answer"), rows_after("close code | meaning | reconnect?"))
def test_the_client_reconnects_after_the_close_codes_that_say_so(codes: str, meaning: str, answer: str) -> None:
    for code in re.findall(r"\d{4}", codes.replace("others, or none", "1006 1001 4999")):
        assert reconnects(int(code)) is answer.startswith("yes"), f"{code}: {meaning}"


def test_the_schema_has_no_field_without_a_meaning() -> None:
    without = [
        f"{name}.{field}"
        for name, shape in schema()["$defs"].items()
        if "title" in shape
        for field, described in shape.get("properties", {}).items()
        if field != "op" and not described.get("description")
    ]
    assert without == []
