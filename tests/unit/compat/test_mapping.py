"""Where the entries of earlier systems stand in a hub."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from waggle.compat import mapping
from waggle.wire.errors import BadRequest
from waggle.wire.export_lines import ExportLine

MEMORY = {
    "entry_id": "550e8400-e29b-41d4-a716-446655440000",
    "timestamp": "2025-10-30T12:34:56.789012+00:00",
    "agent_name": "claude-alpha",
    "content": "Analysis complete. Found 3 insights.",
    "word_count": 5,
    "tags": ["analysis", "complete"],
    "priority": "high",
    "metadata": {"confidence": 0.95},
    "updated_at": None,
}


def value(line: ExportLine) -> Any:
    return msgspec.json.decode(line.value)


# --- Shared Memory MCP -------------------------------------------------------------------------------------------


def test_a_memory_is_an_entry_under_its_id() -> None:
    line = mapping.memory_line(MEMORY)
    assert (line.place, line.kind, line.meta, line.expires_at) == (
        ("memory", MEMORY["entry_id"]),
        "persistent",
        None,
        None,
    )
    assert value(line) == MEMORY
    assert list(value(line)) == list(MEMORY)


def test_a_memory_of_version_1_gets_an_id_the_same_each_time() -> None:
    old = {field: MEMORY[field] for field in ("timestamp", "agent_name", "content", "word_count")}
    line, again = mapping.memory_line(old), mapping.memory_line(old)
    assert line == again
    assert line.key != mapping.memory_line({**old, "content": "other"}).key
    assert value(line) == {**MEMORY, "entry_id": line.key, "tags": [], "priority": "medium", "metadata": {}}


def test_tags_and_word_counts_are_made_as_they_should_be() -> None:
    found = value(mapping.memory_line({**MEMORY, "tags": [" Analysis ", "", "B"], "word_count": 99}))
    assert (found["tags"], found["word_count"]) == (["analysis", "b"], 5)


@pytest.mark.parametrize(
    "record",
    [
        None,
        7,
        [],
        {},
        {**MEMORY, "content": None},
        {**MEMORY, "content": " "},
        {**MEMORY, "content": "half \ud800"},
        {**MEMORY, "agent_name": ""},
        {**MEMORY, "priority": "urgent"},
        {**MEMORY, "tags": "one"},
        {**MEMORY, "tags": [1]},
        {**MEMORY, "metadata": []},
        {**MEMORY, "metadata": {"n": 2**70}},
        {**MEMORY, "metadata": {"n": float("nan")}},
        {**MEMORY, "timestamp": "yesterday"},
        {**MEMORY, "updated_at": 7},
        {**MEMORY, "entry_id": "42"},
        {**MEMORY, "entry_id": None},
        {**MEMORY, "more": 1},
    ],
)
def test_an_invalid_memory_is_refused(record: Any) -> None:
    with pytest.raises((BadRequest, msgspec.MsgspecError)):
        mapping.memory_line(record)


# --- SharedMemoryStore -------------------------------------------------------------------------------------------


def test_an_entry_of_the_store_keeps_its_place_its_kind_and_what_was_said_of_it() -> None:
    metadata = {
        "namespace": "task_results", "dataType": "versioned", "version": 3, "createdAt": 1, "updatedAt": 2,
        "expiresAt": 1_755_186_133_389, "accessCount": 4, "size": 41, "agentId": "analyzer", "compressed": False,
        "analysisType": "code-quality",
    }  # fmt: skip
    line = mapping.hive_line("analysis", {"score": 85}, metadata)
    assert line.place == ("task_results", "analysis")
    assert (line.kind, line.expires_at) == ("versioned", 1_755_186_133.389)
    assert line.meta == {"agentId": "analyzer", "analysisType": "code-quality"}
    assert value(line) == {"score": 85}


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("persistent", "persistent"),
        ("transient", "transient"),
        ("cached", "cached"),
        ("versioned", "versioned"),
        ("shared", "persistent"),
        ("locked", "persistent"),
        (None, "persistent"),
    ],
)
def test_each_of_its_six_data_types_has_its_kind(said: str | None, kind: str) -> None:
    assert mapping.hive_line("k", 1, {"dataType": said}).kind == kind


def test_an_entry_without_metadata_is_in_its_default_namespace() -> None:
    line = mapping.hive_line("k", None, None)
    assert (line.place, line.kind, line.meta, line.expires_at) == (("shared_state", "k"), "persistent", None, None)
    assert mapping.hive_line("k", 1, {"expiresAt": 0}).expires_at is None


@pytest.mark.parametrize(
    "metadata", [7, [], {"dataType": "solid"}, {"expiresAt": "soon"}, {"expiresAt": True}, {"namespace": 7}]
)
def test_metadata_that_is_none_is_refused(metadata: Any) -> None:
    with pytest.raises(BadRequest):
        mapping.hive_line("k", 1, metadata)


# --- claude-flow -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": [1]}', {"a": [1]}),
        ("123", 123),
        ("null", None),
        ('"quoted"', '"quoted"'),
        ('"[1]"', '"[1]"'),
        ("plain text", "plain text"),
        ("", ""),
        ("{broken", "{broken"),
        ("NaN", "NaN"),
        ("1e999", "1e999"),
        (str(2**64), str(2**64)),
        ("[" * 200 + "]" * 200, "[" * 200 + "]" * 200),
    ],
)
def test_a_text_that_it_stored_is_what_it_says_unless_that_is_text(text: str, expected: Any) -> None:
    assert value(mapping.flow_line("k", text, None, None, None)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": [1]}', {"a": [1]}),
        (" 123\n", 123),
        ("null", None),
        ('"quoted"', "quoted"),
        ('"[1]"', "[1]"),
        ('"\\"twice\\""', '"twice"'),
        ("plain text", "plain text"),
        ("", ""),
        ("{broken", "{broken"),
        ("NaN", "NaN"),
        ("1e999", "1e999"),
        (str(2**64), str(2**64)),
        ('{"half": "\\ud800"}', '{"half": "\\ud800"}'),
        ("[" * 200 + "]" * 200, "[" * 200 + "]" * 200),
    ],
)
def test_a_value_is_given_back_the_same_whichever_client_wrote_it(text: str, expected: Any) -> None:
    assert mapping.flow_read(mapping.flow_value(text)) == expected
    assert mapping.flow_read(text) == expected, "written by another door as it is"


def test_a_row_of_the_store_keeps_its_namespace_its_metadata_and_its_deadline() -> None:
    line = mapping.flow_line("swarm/coder/status", "1", "coordination", '{"agent": "coder"}', 1_755_186_133)
    assert (line.place, line.meta, line.expires_at) == (
        ("coordination", "swarm/coder/status"), {"agent": "coder"}, 1_755_186_133,
    )  # fmt: skip
    bare = mapping.flow_line("k", "1", None, "null", None)
    assert (bare.place, bare.meta, bare.expires_at) == (("default", "k"), None, None)


@pytest.mark.parametrize(
    "row",
    [
        (7, "1", None, None, None),
        ("k", None, None, None, None),
        ("k", "1", 7, None, None),
        ("k", "1", None, "{", None),
        ("k", "1", None, "[1]", None),
        ("k", "1", None, None, "soon"),
    ],
)
def test_an_invalid_row_is_refused(row: tuple[Any, ...]) -> None:
    with pytest.raises(BadRequest):
        mapping.flow_line(*row)
