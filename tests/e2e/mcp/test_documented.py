"""docs/mcp.md: each line to paste is what `waggle install` writes, and what it starts has the tools. The pages of the
earlier systems: what is pasted in the place of theirs has the tools that they had, under the name that they had."""

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
from tests.e2e.mcp.transports import pasted
from waggle.cli.install.editors import EDITORS, entry_of
from waggle.mcp import NATIVE, PROFILES
from waggle.mcp.profiles import make_profile

pytestmark = pytest.mark.e2e

DOCS = Path(__file__).resolve().parents[3] / "docs"
PAGE = (DOCS / "mcp.md").read_text()
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


# --- the pages of earlier systems --------------------------------------------------------------------------------

SEEDS = {"octocode": "octocode-local-memory.md", "flow": "claude-flow.md", "shared-memory": "shared-memory-mcp.md"}
URL = re.compile(r'"url": "(http[^"]+)"')


def tool_names(profile: str) -> list[str]:
    return [tool.name for tool in make_profile(profile).tools]


def test_the_page_names_every_profile_with_its_tools() -> None:
    for profile in PROFILES:
        assert f"| `{profile}` |" in PAGE
        if profile != NATIVE:
            assert all(f"`{name}`" in PAGE for name in tool_names(profile))
    assert set(SEEDS) == set(PROFILES) - {NATIVE}


@pytest.mark.parametrize("profile", SEEDS)
async def test_one_configured_server_replaces_the_original_and_has_its_tools(
    profile: str, hub: HubProcess, tmp_path: Path
) -> None:
    text = (DOCS / "migrating" / SEEDS[profile]).read_text()
    *before, after = [
        json.loads(fence[2])["mcpServers"] for fence in FENCE.finditer(text) if '"mcpServers"' in fence[2]
    ]
    assert all(list(entries) == list(after) for entries in before)
    for entry in (*after.values(), *({"url": url} for url in URL.findall(text))):
        async with pasted(entry, hub, tmp_path) as tools:
            assert [tool.name for tool in (await tools.client.list_tools()).tools] == tool_names(profile)


async def test_several_profiles_stand_beside_each_other(hub: HubProcess, tmp_path: Path) -> None:
    (text,) = [fence[2] for fence in FENCE.finditer(PAGE.partition("## Profiles")[2])]
    told = []
    for entry in json.loads(text)["mcpServers"].values():
        async with pasted(entry, hub, tmp_path) as tools:
            told.append([tool.name for tool in (await tools.client.list_tools()).tools])
    assert told == [tool_names("octocode"), tool_names(NATIVE)]
