"""The checks of `waggle doctor`: each uses one door of the hub as its clients do.

A door is a transport: WebSocket, HTTP, events, MCP, the dashboard. A check writes something and reads it again. So
it finds a proxy that lets a page through and holds back events, and a program that an editor could not start. A
check raises CheckFailed, or another error, which says what was seen.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from waggle import connect
from waggle.cli.commands.serve import missing_packages
from waggle.cli.install.editors import own_command

__all__ = ["CHECKS", "CHECK_TIMEOUT_S", "NS", "Check", "CheckFailed", "Target"]

CHECK_TIMEOUT_S = 5.0
"""Limit for the answer of a door."""
START_TIMEOUT_S = 60.0
"""Limit for a program, or for the hub's tools of MCP, that have to be loaded first."""
TTL_S = 60
"""Lifetime of the written entry, if it cannot be deleted."""
NS = "waggle-doctor"
JSON = "application/json"


class CheckFailed(Exception):
    """A failed check; the message says what was seen."""


class Target(NamedTuple):
    """The hub to check, and a key of our own in it."""

    url: str
    token: str | None
    key: str

    def connection(self, timeout: float | None = None) -> http.client.HTTPConnection:
        """Return a new HTTP connection to the hub."""
        parts = urlsplit(self.url if "://" in self.url else f"http://{self.url}")
        secure = parts.scheme in ("https", "wss")
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        return kind(parts.hostname or "", parts.port, timeout=timeout or CHECK_TIMEOUT_S)

    def headers(self, **more: str) -> dict[str, str]:
        """Return the headers of a request."""
        token = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        return {"X-Waggle-Agent": NS, **token, **more}

    def request(
        self, method: str, path: str, body: Any = None, accept: str = JSON, timeout: float | None = None
    ) -> tuple[int, bytes]:
        """Send a request with a JSON body. Returns the status and the body of the answer."""
        connection = self.connection(timeout)
        try:
            text = None if body is None else json.dumps(body).encode()
            connection.request(method, path, text, self.headers(Accept=accept, **{"Content-Type": JSON}))
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    @property
    def entry(self) -> str:
        """The path of the key's entry."""
        return f"/v1/keys/{quote(self.key)}?ns={NS}"


class Check(NamedTuple):
    """A check of one door: its name, its function, and what to look at if it fails."""

    name: str
    use: Callable[[Target], Awaitable[None]]
    remedy: str


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise CheckFailed(message)


def _excerpt(text: bytes) -> str:
    return text[:300].decode(errors="replace").strip() or "nothing"


async def _web_socket(target: Target) -> None:
    meta = {"role": "cli"}
    async with connect(target.url, ns=NS, token=target.token, meta=meta, connect_timeout=CHECK_TIMEOUT_S) as hub:
        await hub.set(target.key, 1, ttl=TTL_S)
        entry = await hub.get(target.key)
        _require(entry is not None and entry.value == 1, "what was written was not read")


async def _http(target: Target) -> None:
    status, text = await asyncio.to_thread(target.request, "PUT", f"{target.entry}&ttl={TTL_S}", 2)
    _require(status in (200, 201, 204), f"a write was answered with {status}: {_excerpt(text)}")
    status, text = await asyncio.to_thread(target.request, "GET", target.entry)
    _require(status == 200 and b"2" in text, f"a read was answered with {status}: {_excerpt(text)}")


async def _events(target: Target) -> None:
    await asyncio.to_thread(_expect_event, target)


def _expect_event(target: Target) -> None:
    """Subscribe, write an entry, and wait for its event."""
    stream = target.connection()
    try:
        path = f"/v1/events?ns={NS}&pattern={quote(target.key)}"
        stream.request("GET", path, headers=target.headers(Accept="text/event-stream"))
        answer = stream.getresponse()
        _require(answer.status == 200, f"answered with {answer.status}")
        target.request("PUT", f"{target.entry}&ttl={TTL_S}", "heard")
        deadline = time.monotonic() + CHECK_TIMEOUT_S
        while b"heard" not in answer.readline():
            _require(time.monotonic() < deadline, "the stream is open, and no event came")
    finally:
        stream.close()


async def _mcp_http(target: Target) -> None:
    call = _request(1, "tools/call", {"name": "set", "arguments": {"key": target.key, "value": 3, "ttl": TTL_S}})
    accept = f"{JSON}, text/event-stream"
    path = f"/mcp?ns={NS}&agent={NS}"
    status, text = await asyncio.to_thread(target.request, "POST", path, call, accept, START_TIMEOUT_S)
    _require(
        status == 200 and b"rev" in text and b'"isError":true' not in text, f"answered with {status}: {_excerpt(text)}"
    )


async def _mcp_stdio(target: Target) -> None:
    _require(not missing_packages(["mcp"]), "the package mcp is not installed: pip install 'wagglehub[hub]'")
    command = [own_command(), "mcp", "--no-start", "--url", target.url, "--ns", NS, "--agent", f"{NS}-stdio"]
    token = [] if target.token is None else ["--token", target.token]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, *token, stdin=pipe, stdout=pipe, stderr=pipe)
    meta = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": NS, "version": "1"}}
    lines: list[dict[str, Any]] = [
        _request(1, "initialize", meta),
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        _request(2, "tools/call", {"name": "get", "arguments": {"key": target.key}}),
    ]
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            process.stdin.write(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
            async for line in process.stdout:
                answer = json.loads(line)
                if answer.get("id") == 2:
                    result = answer.get("result", {"isError": True})
                    _require(not result.get("isError"), f"a tool failed: {_excerpt(line)}")
                    return
            raise CheckFailed(f"the program ended without an answer: {_excerpt(await process.stderr.read())}")
    finally:
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), CHECK_TIMEOUT_S)
        except TimeoutError:
            process.kill()
            await process.wait()


def _request(id: int, method: str, params: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id, "method": method, "params": params}


async def _dashboard(target: Target) -> None:
    for path, part in (("/", b"<html"), ("/app.js", b"import")):
        status, text = await asyncio.to_thread(target.request, "GET", path)
        _require(status == 200 and part in text, f"{path} was answered with {status}: {_excerpt(text)}")


_PROXY = "if a proxy is in between, it must let {} through"

CHECKS = [
    Check("WebSocket", _web_socket, _PROXY.format("the upgrade at /ws")),
    Check("HTTP", _http, _PROXY.format("all methods below /v1")),
    Check("events (SSE)", _events, _PROXY.format("/v1/events unbuffered")),
    Check("MCP over HTTP", _mcp_http, _PROXY.format("POST at /mcp, unbuffered")),
    Check("MCP over stdio", _mcp_stdio, "run `waggle mcp --no-start` by hand, and see what it says"),
    Check("dashboard", _dashboard, _PROXY.format("all paths")),
]
"""In the order of the checks: the connection that all need comes first."""
