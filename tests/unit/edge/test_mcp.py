"""The MCP door as far as it goes without the SDK: that nobody else pays for it, and what it says if it is missing."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import Any

import pytest

from tests.unit.mcp.fake import Ok
from waggle_hub.app import build
from waggle_hub.settings import Settings


def test_a_hub_that_no_model_uses_does_not_load_the_sdk() -> None:
    code = "import sys, waggle_hub.__main__, waggle_hub.app; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not {"mcp", "pydantic", "waggle.mcp.server"} & set(done.stdout.split())


def test_the_client_needs_no_sdk_either() -> None:
    code = "import sys, waggle, waggle.sync, waggle.cli.app, waggle.cli.commands.mcp, waggle.ops; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not {"mcp", "pydantic"} & set(done.stdout.split())


async def test_where_the_sdk_is_missing_the_door_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(profile: str) -> Any:
        raise ImportError("No module named 'mcp'")

    monkeypatch.setattr("waggle_hub.edge.mcp._load", missing)
    hub = build(Settings())
    for _ in range(2):
        status, body = await _post(hub.app, "/mcp")
        assert status == 503
        assert body["error"]["code"] == "unavailable"
        assert "pip install 'wagglehub[hub]'" in body["error"]["message"]


async def test_a_door_that_cannot_open_answers_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(profile: str) -> Any:
        raise AttributeError("module 'mcp' has no attribute 'server'")

    monkeypatch.setattr("waggle_hub.edge.mcp._load", broken)
    hub = build(Settings())
    for _ in range(2):
        async with asyncio.timeout(5):
            status, body = await _post(hub.app, "/mcp")
        assert (status, body["error"]["code"]) == (503, "unavailable")
        assert "has no attribute 'server'" in body["error"]["message"]


async def _post(app: Any, path: str) -> tuple[int, Ok]:
    """The answer to an empty request."""
    sent: list[Ok] = []

    async def receive() -> Ok:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(message: Ok) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b""}
    headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")]
    await app({**scope, "headers": headers, "root_path": "", "scheme": "http", "http_version": "1.1"}, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"])
