"""Both doors for models, seen by the official inspector's command line: another implementation, in another language."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cli.shell import WAGGLE
from tests.e2e.hubs import HubProcess

pytestmark = pytest.mark.e2e

INSPECTOR = Path(__file__).resolve().parents[2] / "node_modules" / ".bin" / "mcp-inspector"

Inspect = Callable[..., Any]


@pytest.fixture(params=["http", "stdio"])
def inspect(request: pytest.FixtureRequest, hub: HubProcess, ns: str) -> Inspect:
    """Asks for a method at one of the doors, and gives the result."""
    where = {
        "http": [f"{hub.url}/mcp?agent=inspector&ns={ns}", "--transport", "http"],
        "stdio": ["-e", f"WAGGLE_URL={hub.url}", WAGGLE, "mcp", "--ns", ns, "--agent", "inspector"],
    }[request.param]

    def ask(method: str, tool: str = "", **said: str) -> Any:
        assert INSPECTOR.exists(), "the inspector is missing: sh tests/needs.sh"
        arguments = [part for name, value in said.items() for part in ("--tool-arg", f"{name}={value}")]
        named = ["--tool-name", tool] if tool else []
        command = [str(INSPECTOR), "--cli", *where, "--method", method, *named, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    return ask


def test_the_inspector_finds_the_tools_and_uses_them(inspect: Inspect) -> None:
    tools = {tool["name"]: tool for tool in inspect("tools/list")["tools"]}
    assert len(tools) == 12
    assert tools["get"]["annotations"]["readOnlyHint"] is True
    inspect("tools/call", "set", key="a", value="hello")
    read = inspect("tools/call", "get", key="a")
    assert read["structuredContent"]["value"] == "hello"
    assert read["structuredContent"]["by"] == "inspector"
    assert json.loads(read["content"][0]["text"]) == read["structuredContent"]
    found = inspect("tools/call", "search", text="hell*")["structuredContent"]
    assert [one["key"] for one in found["entries"]] == ["a"]
    refused = inspect("tools/call", "set", key="a", value="again", if_rev="0")
    assert (refused["isError"], refused["structuredContent"]["error"]["code"]) == (True, "conflict")


def test_the_inspector_finds_the_resources(inspect: Inspect, ns: str) -> None:
    inspect("tools/call", "set", key="b", value="hello")
    assert f"waggle://{ns}/b" in [one["uri"] for one in inspect("resources/list")["resources"]]
    assert inspect("resources/templates/list")["resourceTemplates"][0]["uriTemplate"] == "waggle://{ns}/{key}"
