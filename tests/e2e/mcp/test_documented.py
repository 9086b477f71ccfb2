"""docs/mcp.md: each line to paste is what `waggle install` writes, and what it starts has the tools."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters

from tests.e2e.hubs import HubProcess
from waggle.cli.editors import EDITORS, entry_of

pytestmark = pytest.mark.e2e

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "mcp.md").read_text()
SECTION = re.compile(r"^### (.+?)\n(.*?)(?=^##)", re.DOTALL | re.MULTILINE)
FENCE = re.compile(r"^```(json|toml)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def entries() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each section with the entry that is to be pasted."""
    for section in SECTION.finditer(PAGE):
        for fence in FENCE.finditer(section[2]):
            data = tomllib.loads(fence[2])["mcp_servers"] if fence[1] == "toml" else json.loads(fence[2])["mcpServers"]
            yield section[1], data["waggle"]


ENTRIES = list(entries())


def test_each_editor_has_its_section_with_what_is_installed() -> None:
    shown = dict(ENTRIES)
    assert set(shown) == {editor.title for editor in EDITORS.values()} | {"Anything else"}
    for editor in EDITORS.values():
        assert shown[editor.title] == entry_of(editor, "waggle")


@pytest.mark.parametrize(("title", "entry"), ENTRIES, ids=[title for title, _ in ENTRIES])
async def test_what_is_pasted_has_the_tools(title: str, entry: dict[str, Any], hub: HubProcess) -> None:
    server: Any
    if "url" in entry:
        server = entry["url"].replace("http://127.0.0.1:4483", hub.url)
    else:
        assert entry["command"] == "waggle"
        command = str(Path(sys.executable).with_name(entry["command"]))
        server = StdioServerParameters(command=command, args=entry["args"], env={"WAGGLE_URL": hub.url})
    async with Client(server, mode="legacy") as client:
        assert len((await client.list_tools()).tools) == 12
        assert not (await client.call_tool("who", {})).is_error


def test_the_page_names_every_tool() -> None:
    from waggle.mcp.tools import TOOLS

    assert all(f"`{name}`" in PAGE for name in TOOLS)
