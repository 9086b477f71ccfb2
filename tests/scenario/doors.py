"""The doors of a hub, each with the same few verbs, so that one suite can come by all of them.

An agent's verbs give plain values; what the hub refuses is `Refused`, with the code and what a program would look at.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple, Protocol

import httpx

import waggle
import waggle.sync
from tests.e2e.hubs import HubProcess
from tests.e2e.mcp import mcp_clients
from waggle import WaggleError
from waggle.api.inbox import ID_CHARS


class Refused(Exception):
    """A refusal of the hub: its code, the holders of the lock, and the current value."""

    def __init__(self, code: str, holders: list[str] | None = None, current: Any = None) -> None:
        super().__init__(code)
        self.code, self.holders, self.current = code, holders or [], current


class Seen(NamedTuple):
    """An entry, as far as all doors show it."""

    value: Any
    by: str
    rev: int


class Agent(Protocol):
    """An agent at one door."""

    name: str

    async def set(self, key: str, value: Any, **more: Any) -> int: ...
    async def get(self, key: str) -> Seen | None: ...
    async def keys(self, pattern: str) -> list[str]: ...
    async def search(self, text: str, pattern: str) -> list[str]: ...
    async def delete(self, key: str, **more: Any) -> bool: ...
    async def lock(self, name: str, wait: float = 0) -> int: ...
    async def unlock(self, token: int) -> None: ...
    async def wait(self, key: str, timeout: float) -> Any: ...
    async def take(self, pattern: str, timeout: float = 0) -> tuple[str, int]: ...
    async def send(self, to: str, body: Any) -> None: ...
    async def inbox(self) -> list[tuple[str, Any]]: ...


def _refused(error: WaggleError) -> Refused:
    wire = error.to_wire()
    current = wire.get("current")
    value = current.value if isinstance(current, waggle.Entry) else current and current["value"]
    code = "not_holder" if wire["code"] == "lock_lost" else wire["code"]
    return Refused(code, [one["agent"] for one in wire.get("holders", [])], value)


# --- the Python clients ------------------------------------------------------------------------------------------


class PythonAgent:
    """By either client: ``do`` calls a method of it, by its name, or of what it gave; and gives what that gives."""

    def __init__(self, name: str, do: Callable[..., Awaitable[Any]]) -> None:
        self.name, self._call = name, do
        self._held: dict[int, Any] = {}

    async def _do(self, method: str | Callable[[], Any], *args: Any, **said: Any) -> Any:
        try:
            return await self._call(method, *args, **said)
        except WaggleError as error:
            raise _refused(error) from None

    async def set(self, key: str, value: Any, **more: Any) -> int:
        return int((await self._do("set", key, value, **_guarded(more))).rev)

    async def get(self, key: str) -> Seen | None:
        entry = await self._do("get", key)
        return None if entry is None else Seen(entry.value, entry.by, entry.rev)

    async def keys(self, pattern: str) -> list[str]:
        return [entry.key for entry in await self._do("list", pattern)]

    async def search(self, text: str, pattern: str) -> list[str]:
        return [entry.key for entry in await self._do("search", text, pattern=pattern)]

    async def delete(self, key: str, **more: Any) -> bool:
        return bool(await self._do("delete", key, **_guarded(more)))

    async def lock(self, name: str, wait: float = 0) -> int:
        held = await self._do("lock", name, wait=wait)
        self._held[held.token] = held
        return int(held.token)

    async def unlock(self, token: int) -> None:
        held = self._held.pop(token, None)
        if held is None:
            await self._do("unlock", token)
        else:
            await self._do(held.release if hasattr(held, "release") else held.give_back)

    async def wait(self, key: str, timeout: float) -> Any:
        return (await self._do("wait", key, timeout=timeout)).value

    async def take(self, pattern: str, timeout: float = 0) -> tuple[str, int]:
        job = await self._do("take", pattern, timeout=timeout)
        self._held[job.token] = job
        return job.key, job.token

    async def send(self, to: str, body: Any) -> None:
        await self._do("send", to, body)

    async def inbox(self) -> list[tuple[str, Any]]:
        return list(await self._do("inbox"))


def _guarded(more: dict[str, Any]) -> dict[str, Any]:
    token = more.pop("token", None)
    return more if token is None else {**more, "guard": token}


@asynccontextmanager
async def python(hub: HubProcess, name: str, ns: str) -> AsyncIterator[Agent]:
    async with waggle.connect(hub.url, agent=name, ns=ns) as connected:

        async def do(method: str | Callable[[], Any], *args: Any, **said: Any) -> Any:
            if callable(method):
                return await method()
            if method != "inbox":
                return await getattr(connected, method)(*args, **said)
            found: list[tuple[str, Any]] = []
            inbox = connected.inbox()
            while True:
                try:
                    message = await inbox.receive(timeout=0)
                except waggle.TimedOut:
                    return found
                async with message:
                    found.append((message.sender, message.body))

        yield PythonAgent(name, do)


@asynccontextmanager
async def python_sync(hub: HubProcess, name: str, ns: str) -> AsyncIterator[Agent]:
    with await asyncio.to_thread(waggle.sync.connect, hub.url, agent=name, ns=ns) as connected:

        def do_now(method: str | Callable[[], Any], *args: Any, **said: Any) -> Any:
            if callable(method):
                return method()
            if method == "lock":
                return connected.lock(*args, **said).acquire()
            if method != "inbox":
                return getattr(connected, method)(*args, **said)
            found: list[tuple[str, Any]] = []
            inbox = connected.inbox()
            while True:
                try:
                    message = inbox.receive(timeout=0)
                except waggle.TimedOut:
                    return found
                with message:
                    found.append((message.sender, message.body))

        async def do(method: str | Callable[[], Any], *args: Any, **said: Any) -> Any:
            return await asyncio.to_thread(do_now, method, *args, **said)

        yield PythonAgent(name, do)


# --- HTTP --------------------------------------------------------------------------------------------------------


class HttpAgent:
    """By ``POST /v1/{op}``."""

    def __init__(self, name: str, ns: str, client: httpx.AsyncClient) -> None:
        self.name, self._ns, self._client = name, ns, client

    async def _do(self, op: str, **fields: Any) -> dict[str, Any]:
        answer = await self._client.post(f"/v1/{op}", json=fields)
        body: dict[str, Any] = answer.json()
        if answer.status_code == 200:
            return body
        error = body["error"]
        current = error.get("current")
        raise Refused(error["code"], [one["agent"] for one in error.get("holders", [])], current and current["value"])

    async def set(self, key: str, value: Any, **more: Any) -> int:
        return int((await self._do("set", key=key, value=value, ns=self._ns, **_as_guard(more)))["rev"])

    async def get(self, key: str) -> Seen | None:
        entry = (await self._do("get", key=key, ns=self._ns))["entry"]
        return None if entry is None else Seen(entry["value"], entry["by"], entry["rev"])

    async def keys(self, pattern: str) -> list[str]:
        return [entry["key"] for entry in (await self._do("list", pattern=pattern, ns=self._ns))["entries"]]

    async def search(self, text: str, pattern: str) -> list[str]:
        found = await self._do("search", text=text, pattern=pattern, ns=self._ns)
        return [entry["key"] for entry in found["entries"]]

    async def delete(self, key: str, **more: Any) -> bool:
        return bool((await self._do("delete", key=key, ns=self._ns, **_as_guard(more)))["deleted"])

    async def lock(self, name: str, wait: float = 0) -> int:
        return int((await self._do("lock", name=name, ns=self._ns, wait=wait))["token"])

    async def unlock(self, token: int) -> None:
        await self._do("unlock", token=token)

    async def wait(self, key: str, timeout: float) -> Any:
        waited = await self._do("wait", all=[{"key": key, "ns": self._ns}], timeout=timeout)
        return waited["matched"][0]["value"]

    async def take(self, pattern: str, timeout: float = 0) -> tuple[str, int]:
        taken = await self._do("take", patterns=[pattern], ns=self._ns, timeout=timeout)
        return taken["entry"]["key"], taken["token"]

    async def send(self, to: str, body: Any) -> None:
        key = f"inbox:{to}/{uuid.uuid4().hex[:ID_CHARS]}"
        await self._do("set", key=key, value={"body": body}, ns=self._ns, if_rev=0)

    async def inbox(self) -> list[tuple[str, Any]]:
        pattern = f"inbox:{self.name}/" + "?" * ID_CHARS
        entries = (await self._do("list", pattern=pattern, ns=self._ns))["entries"]
        for entry in entries:
            await self._do("delete", key=entry["key"], ns=self._ns)
        return [(entry["by"], entry["value"]["body"]) for entry in sorted(entries, key=lambda one: int(one["rev"]))]


def _as_guard(more: dict[str, Any]) -> dict[str, Any]:
    token = more.pop("token", None)
    return more if token is None else {**more, "guard": {"token": token}}


@asynccontextmanager
async def http(hub: HubProcess, name: str, ns: str) -> AsyncIterator[Agent]:
    async with httpx.AsyncClient(base_url=hub.url, headers={"X-Waggle-Agent": name}, timeout=60) as client:
        yield HttpAgent(name, ns, client)


# --- MCP ---------------------------------------------------------------------------------------------------------


class McpAgent:
    """By the tools of MCP, over either transport."""

    def __init__(self, name: str, window: mcp_clients.McpClient) -> None:
        self.name, self._window = name, window

    async def _do(self, tool: str, **said: Any) -> dict[str, Any]:
        result = await self._window.result(tool, **said)
        reply: dict[str, Any] = result.structured_content
        if result.is_error:
            error = reply["error"]
            current = error.get("current")
            raise Refused(error["code"], _agents(error), current and current["value"])
        if "code" in reply:
            raise Refused(reply["code"], _agents(reply))
        return reply

    async def set(self, key: str, value: Any, **more: Any) -> int:
        return int((await self._do("set", key=key, value=value, **more))["rev"])

    async def get(self, key: str) -> Seen | None:
        reply = await self._do("get", key=key)
        return Seen(reply["value"], reply["by"], reply["rev"]) if reply["found"] else None

    async def keys(self, pattern: str) -> list[str]:
        return [entry["key"] for entry in (await self._do("list", pattern=pattern))["entries"]]

    async def search(self, text: str, pattern: str) -> list[str]:
        return [entry["key"] for entry in (await self._do("search", text=text, pattern=pattern))["entries"]]

    async def delete(self, key: str, **more: Any) -> bool:
        return bool((await self._do("delete", key=key, **more))["deleted"])

    async def lock(self, name: str, wait: float = 0) -> int:
        return int((await self._do("lock", names=[name], timeout=wait))["token"])

    async def unlock(self, token: int) -> None:
        await self._do("unlock", token=token)

    async def wait(self, key: str, timeout: float) -> Any:
        return (await self._do("wait", keys=[key], timeout=timeout))["entries"][0]["value"]

    async def take(self, pattern: str, timeout: float = 0) -> tuple[str, int]:
        taken = await self._do("take", pattern=pattern, timeout=timeout)
        return taken["key"], taken["token"]

    async def send(self, to: str, body: Any) -> None:
        await self._do("send", to=to, body=body)

    async def inbox(self) -> list[tuple[str, Any]]:
        messages = (await self._do("inbox"))["messages"]
        await self._do("inbox", ack=[one["id"] for one in messages])
        return [(one["from"], one["body"]) for one in messages]


def _agents(reply: dict[str, Any]) -> list[str]:
    return [one["agent"] for one in reply.get("held_by", [])]


def _mcp_http(mode: str) -> Door:
    @asynccontextmanager
    async def enter(hub: HubProcess, name: str, ns: str) -> AsyncIterator[Agent]:
        async with mcp_clients.http(mode, hub.url, name, ns) as window:
            yield McpAgent(name, window)

    return enter


def _mcp_stdio(mode: str) -> Door:
    @asynccontextmanager
    async def enter(hub: HubProcess, name: str, ns: str) -> AsyncIterator[Agent]:
        env = {"WAGGLE_URL": hub.url, "WAGGLE_NS": ns, "WAGGLE_AGENT": name}
        async with mcp_clients.stdio(mode, env) as window:
            yield McpAgent(name, window)

    return enter


# --- all of them -------------------------------------------------------------------------------------------------

Door = Callable[[HubProcess, str, str], Any]
"""Enters as an agent of this name, in this namespace."""

DOORS: dict[str, Door] = {
    "python": python,
    "python-sync": python_sync,
    "http": http,
    "mcp-http": _mcp_http("auto"),
    "mcp-http-legacy": _mcp_http("legacy"),
    "mcp-stdio": _mcp_stdio("legacy"),
}

Enter = Callable[..., Awaitable[Agent]]


@asynccontextmanager
async def room(door: str, hub: HubProcess, ns: str) -> AsyncIterator[Enter]:
    """The room behind a door: ``one = await enter("builder")``, and ``by=`` another door. Names are this test's own."""
    async with AsyncExitStack() as stack:

        async def enter(name: str, by: str = door) -> Agent:
            agent: Agent = await stack.enter_async_context(DOORS[by](hub, f"{name}-{ns}", ns))
            return agent

        yield enter
