"""What may be said to the nine tools, and the words in which they say that it may not: those of the original."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.mcp.memories import Ok, id_of
from waggle.compat.shared_memory import SharedMemory
from waggle.compat.shared_memory.memory_schemas import Refused, read
from waggle.compat.shared_memory.memory_tools import TOOLS

ADD: Ok = {"agent_name": "a", "content": "x"}
ID = id_of(1)


def refused(tool: str, said: Any) -> str:
    with pytest.raises(Refused) as caught:
        read(TOOLS[tool].arguments, said)
    return str(caught.value)


def accepted(tool: str, said: Ok) -> Ok:
    return read(TOOLS[tool].arguments, said).model_dump()


def test_the_nine_tools_are_listed_with_the_annotations_of_the_document() -> None:
    listed = {tool.name: tool for tool in SharedMemory().tools}
    hints = {}
    for name, tool in listed.items():
        found = tool.annotations
        assert found is not None
        assert found.title
        assert found.open_world_hint is False
        hints[name] = (found.read_only_hint, found.destructive_hint, found.idempotent_hint)
    assert hints == {
        "add_memory": (False, False, False),
        "read_memory": (True, False, True),
        "update_memory": (False, False, True),
        "delete_memory": (False, True, True),
        "get_memory": (True, False, True),
        "search_memory": (True, False, True),
        "get_memory_stats": (True, False, True),
        "clear_memory": (False, True, True),
        "health_check": (True, False, True),
    }


def test_their_arguments_are_listed_flat_with_those_that_are_required_and_the_defaults() -> None:
    schemas = {tool.name: tool.input_schema for tool in SharedMemory().tools}
    assert {name: schema["required"] for name, schema in schemas.items()} == {
        "add_memory": ["agent_name", "content"],
        "read_memory": [],
        "update_memory": ["entry_id"],
        "delete_memory": ["entry_id"],
        "get_memory": ["entry_id"],
        "search_memory": ["query"],
        "get_memory_stats": [],
        "clear_memory": ["confirm"],
        "health_check": [],
    }
    assert all(schema["additionalProperties"] is False for schema in schemas.values())
    assert "$ref" not in json.dumps(schemas)
    defaults = {
        (name, field): one["default"]
        for name, schema in schemas.items()
        for field, one in schema["properties"].items()
        if one.get("default") is not None
    }
    assert defaults == {
        ("add_memory", "priority"): "medium",
        ("read_memory", "response_format"): "markdown",
        ("read_memory", "sort_order"): "chronological",
        ("get_memory", "response_format"): "json",
        ("search_memory", "case_sensitive"): False,
        ("search_memory", "response_format"): "markdown",
        ("get_memory_stats", "response_format"): "json",
    }
    assert schemas["read_memory"]["properties"].keys() == {
        "response_format", "limit", "agent_filter", "tags", "priority", "sort_order", "cursor",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("tool", "said", "message"),
    [
        (
            "add_memory",
            {"agent_name": "a", "content": "w " * 201},
            "Content exceeds maximum of 200 words. Current word count: 201. Please shorten your message.",
        ),
        (
            "update_memory",
            {"entry_id": ID, "content": "w " * 201},
            "Content exceeds maximum of 200 words. Current word count: 201.",
        ),
        ("get_memory", {"entry_id": "{nothing}"}, "Invalid entry_id format: {nothing}"),
        ("delete_memory", {"entry_id": "abc"}, "Invalid entry_id format: abc"),
        ("update_memory", {"entry_id": ""}, "Invalid entry_id format: "),
        ("add_memory", {"agent_name": "a", "content": "   "}, "content: String should have at least 1 character"),
        ("add_memory", {"content": "x"}, "agent_name: Field required"),
        ("add_memory", {**ADD, "agent_name": "a" * 101}, "agent_name: String should have at most 100 characters"),
        ("add_memory", {**ADD, "tags": ["t"] * 11}, "tags: List should have at most 10 items after validation, not 11"),
        (
            "update_memory",
            {"entry_id": ID, "tags": ["t"] * 11},
            "tags: List should have at most 10 items after validation, not 11",
        ),
        ("add_memory", {**ADD, "priority": "urgent"}, "priority: Input should be 'low', 'medium' or 'high'"),
        ("add_memory", {**ADD, "metadata": []}, "metadata: Input should be a valid dictionary"),
        ("add_memory", {**ADD, "tags": "a"}, "tags: Input should be a valid list"),
        ("add_memory", {**ADD, "content": 5}, "content: Input should be a valid string"),
        (
            "add_memory",
            {**ADD, "colour": 1},
            "colour: there is no such parameter; there are: agent_name, content, tags, priority, metadata",
        ),
        ("health_check", {"verbose": True}, "verbose: there is no such parameter; there are: none"),
        (
            "read_memory",
            {"tags": [f"t{number}" for number in range(101)]},
            "tags: List should have at most 100 items after validation, not 101",
        ),
        ("read_memory", {"limit": 0}, "limit: Input should be greater than or equal to 1"),
        ("read_memory", {"limit": 1001}, "limit: Input should be less than or equal to 1000"),
        ("read_memory", {"response_format": "xml"}, "response_format: Input should be 'markdown' or 'json'"),
        (
            "read_memory",
            {"sort_order": "newest"},
            "sort_order: Input should be 'chronological', 'reverse' or 'priority'",
        ),
        ("search_memory", {"query": " "}, "query: String should have at least 1 character"),
        ("search_memory", {"query": "q" * 201}, "query: String should have at most 200 characters"),
        ("clear_memory", {}, "confirm: Field required"),
        ("clear_memory", {"confirm": "maybe"}, "confirm: Input should be a valid boolean, unable to interpret input"),
        ("add_memory", {"params": ADD, "more": 1}, "agent_name: Field required"),
        ("add_memory", {"params": "no object"}, "params is an object"),
        ("add_memory", {"params": [1]}, "arguments: Input should be a valid dictionary"),
    ],
)
def test_what_may_not_be_said_is_refused_in_the_words_of_the_original(tool: str, said: Ok, message: str) -> None:
    told = refused(tool, said)
    if said.keys() & {"params", "more"}:
        assert message in told
    else:
        assert told == message


def test_all_that_is_wrong_is_told_at_once_and_within_bounds() -> None:
    told = refused("add_memory", {"content": " ", "colour": 1})
    assert told.count(";") == 3
    assert len(refused("add_memory", {f"field{number}": 1 for number in range(10_000)})) < 1_100
    assert len(refused("get_memory", {"entry_id": "x" * 1_000_000})) < 1_100


@pytest.mark.parametrize("tool", list(TOOLS))
def test_each_takes_its_arguments_flat_and_under_params_and_as_text(tool: str) -> None:
    said: Ok = {
        "add_memory": ADD,
        "search_memory": {"query": "q"},
        "clear_memory": {"confirm": False},
        "get_memory_stats": {},
        "health_check": {},
        "read_memory": {},
    }.get(tool, {"entry_id": ID})
    assert accepted(tool, said) == accepted(tool, {"params": said}) == accepted(tool, {"params": json.dumps(said)})


def test_text_is_stripped_and_tags_are_put_in_order_where_they_filter_too() -> None:
    said = accepted("add_memory", {"agent_name": " a ", "content": "\n x \t", "tags": [" Done ", " ", "A B"]})
    assert (said["agent_name"], said["content"], said["tags"]) == ("a", "x", ["done", "a b"])
    assert accepted("read_memory", {"tags": ["ANALYSIS "]})["tags"] == ["analysis"]
    assert accepted("update_memory", {"entry_id": f" {ID} ", "tags": ["A"]})["tags"] == ["a"]
    assert accepted("get_memory", {"entry_id": f" {ID} "})["entry_id"] == ID


def test_what_models_say_in_other_words_is_taken_as_the_original_did() -> None:
    assert accepted("read_memory", {"limit": "10"})["limit"] == 10
    assert (
        accepted("read_memory", {"limit": None, "tags": None, "agent_filter": None, "priority": None})["limit"] is None
    )
    assert accepted("search_memory", {"query": "q", "case_sensitive": "true"})["case_sensitive"] is True
    assert accepted("clear_memory", {"confirm": "false"})["confirm"] is False


def test_two_hundred_words_are_not_too_many_however_they_are_apart() -> None:
    assert accepted("add_memory", {"agent_name": "a", "content": "w\n\t " * 200})["content"].startswith("w")
