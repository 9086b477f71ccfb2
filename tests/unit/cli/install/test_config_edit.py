"""One member more or less in a person's file, and nothing else changed."""

from __future__ import annotations

import pytest

from waggle.cli.install.config_edit import (
    ConfigEditError,
    json_data,
    json_with,
    json_without,
    toml_data,
    toml_with,
    toml_without,
)

ENTRY = {"command": "waggle", "args": ["mcp"]}

JSON = {
    "two": '{\n  "theme": "dark",\n  "mcpServers": {\n    "other": {"command": "x"}\n  },\n  "last": [1,2]\n}\n',
    "tabs": '{\n\t"mcpServers": {\n\t\t"other": {\n\t\t\t"command": "x"\n\t\t}\n\t}\n}',
    "four": '{\n    "mcpServers": {\n        "other": {}\n    }\n}\n',
    "one line": '{"mcpServers":{"other":{"command":"x"}},"a":1}',
    "commented": '// mine\n{\n  /* servers */\n  "mcpServers": {\n    "other": {} // it\n  },\n  "a": "// no"\n}\n',
    "windows": '{\r\n  "mcpServers": {\r\n    "other": {}\r\n  }\r\n}\r\n',
    "braces": '{\n  "a": "}{\\"",\n  "mcpServers": {\n    "o{": {"x": "}"}\n  }\n}\n',
    "unicode": '{\n  "n": "\u00fc\\u00e9",\n  "mcpServers": {\n    "other": {}\n  }\n}\n',
    "without": '{\n  "theme": "dark"\n}\n',
}


@pytest.mark.parametrize("text", JSON.values(), ids=list(JSON))
def test_an_edit_of_json_changes_nothing_else_and_can_be_undone(text: str) -> None:
    changed = json_with(text, "mcpServers", "waggle", ENTRY)
    before, after = json_data(text), json_data(changed)
    assert after.pop("mcpServers") == {**before.pop("mcpServers", {}), "waggle": ENTRY}
    assert after == before
    assert any(changed.startswith(text[:place]) and changed.endswith(text[place:]) for place in range(len(text)))
    assert json_without(changed, "mcpServers", "waggle") == text


def test_an_entry_looks_as_those_around_it() -> None:
    assert json_with(JSON["four"], "mcpServers", "waggle", {"command": "w"}) == (
        '{\n    "mcpServers": {\n        "other": {},\n        "waggle": {\n            "command": "w"\n        }\n'
        "    }\n}\n"
    )
    assert "\n" not in json_with(JSON["windows"], "mcpServers", "waggle", ENTRY).replace("\r\n", "")


@pytest.mark.parametrize("text", ["", "  \n", "{}", '{"mcpServers": {}}', '{"mcpServers": {}, "a": 1}'])
def test_an_empty_file_or_table_gets_its_first_entry(text: str) -> None:
    changed = json_with(text, "mcpServers", "waggle", ENTRY)
    assert json_data(changed)["mcpServers"] == {"waggle": ENTRY}
    assert "mcpServers" not in json_data(json_without(changed, "mcpServers", "waggle"))


def test_the_first_of_several_is_taken_out() -> None:
    text = '{\n  "mcpServers": {\n    "waggle": {"command": "w"},\n    "other": {}\n  }\n}\n'
    assert json_without(text, "mcpServers", "waggle") == '{\n  "mcpServers": {\n    "other": {}\n  }\n}\n'


@pytest.mark.parametrize(
    "text", ["[]", "{", '{"a": 1,}', '{"mcpServers": []}', '{"mcpServers": 1}', "no", '{"mcpServers": {/* */}}']
)
def test_a_file_that_cannot_be_changed_safely_is_left_alone(text: str) -> None:
    with pytest.raises(ConfigEditError):
        json_with(text, "mcpServers", "waggle", ENTRY)


TOML = {
    "empty": "",
    "others": 'model = "x" # mine\n\n[mcp_servers.other]\ncommand = "y"\n',
    "no end of line": "[a]\nb = 1",
    "windows": "[a]\r\nb = 1\r\n",
}


@pytest.mark.parametrize("text", TOML.values(), ids=list(TOML))
def test_an_edit_of_toml_changes_nothing_else_and_can_be_undone(text: str) -> None:
    entry = {**ENTRY, "env": {"WAGGLE_NS": 'a "shop"', "WAGGLE_URL": "http://h"}, "tool_timeout_sec": 300}
    changed = toml_with(text, "mcp_servers", "waggle", entry)
    assert changed.startswith(text)
    assert toml_data(changed)["mcp_servers"]["waggle"] == entry
    assert toml_without(changed, "mcp_servers", "waggle").rstrip() == text.rstrip()
    more = changed + "\n[after]\nc = 1\n"
    assert toml_data(toml_without(more, "mcp_servers", "waggle")) == {**toml_data(text), "after": {"c": 1}}


@pytest.mark.parametrize("text", ["a =", "mcp_servers = {}", 'mcp_servers = "x"', "[mcp_servers.waggle]\na = 1"])
def test_toml_that_cannot_be_changed_safely_is_left_alone(text: str) -> None:
    with pytest.raises((ConfigEditError, TypeError)):
        toml_with(text, "mcp_servers", "waggle", ENTRY)


def test_comments_of_the_next_toml_table_stay_when_a_table_is_taken_out() -> None:
    text = '[mcp_servers.waggle]\ncommand = "waggle"\n\n# mine\n[after]\nc = 1\n'
    assert toml_without(text, "mcp_servers", "waggle") == "\n# mine\n[after]\nc = 1\n"
