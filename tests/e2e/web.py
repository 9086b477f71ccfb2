"""HTTP for tests: a hub as a program without the client sees it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx

from tests.e2e.hubs import HubProcess

JSON = {"content-type": "application/json"}


class Web:
    """One who asks a hub over HTTP, by name or without one."""

    def __init__(self, hub: HubProcess, agent: str | None = None, ns: str | None = None) -> None:
        headers = {} if agent is None else {"x-waggle-agent": agent}
        self.ns = ns
        # Without TLS there is nothing to verify, and loading the certificates of the system takes 25 ms.
        self.client = httpx.AsyncClient(base_url=hub.url, headers=headers, timeout=60, verify=False)

    async def close(self) -> None:
        await self.client.aclose()

    async def post(self, op: str, /, **fields: Any) -> httpx.Response:
        """A command of this one's namespace."""
        params = {} if self.ns is None else {"ns": self.ns}
        return await self.client.post(f"/v1/{op}", json=fields, params=params)

    async def ok(self, op: str, /, **fields: Any) -> Any:
        """Run a command that must succeed; return its `ok`."""
        answer = await self.post(op, **fields)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def no(self, op: str, /, **fields: Any) -> tuple[int, str]:
        """The status and the code with which a command is refused."""
        return refused(await self.post(op, **fields))

    @asynccontextmanager
    async def events(self, headers: dict[str, str] | None = None, **params: Any) -> AsyncIterator[Events]:
        """A stream of events."""
        asked = {**({} if self.ns is None else {"ns": self.ns}), **params}
        async with self.client.stream("GET", "/v1/events", params=asked, headers=headers) as answer:
            assert answer.status_code == 200, await answer.aread()
            yield Events(answer)


async def until_waiting(hub: HubProcess, count: int = 1) -> None:
    """Wait until this many commands wait in the hub."""
    web = Web(hub)
    async with asyncio.timeout(20):
        while len((await web.ok("inspect"))["waits"]) != count:
            await asyncio.sleep(0.02)
    await web.close()


class Events:
    """Server-Sent Events as they come."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self.id = ""
        """The last id that was heard."""
        self.retry = ""
        self._lines = answer.aiter_lines()

    async def next(self) -> dict[str, Any]:
        """The data of the next event. Raises EOFError at the end."""
        async with asyncio.timeout(20):
            while True:
                data = await self._block()
                if data is not None:
                    return dict(json.loads(data))

    async def until(self, good: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """The events up to one that is good, without marks before it."""
        found: list[dict[str, Any]] = []
        while True:
            event = await self.next()
            if good(event):
                return [*found, event]
            if event["type"] != "mark":
                found.append(event)

    async def key(self, key: str) -> list[dict[str, Any]]:
        """The events up to the one of this key."""
        return await self.until(lambda event: event.get("key") == key)

    async def _block(self) -> str | None:
        data = None
        async for line in self._lines:
            name, _, value = line.partition(": ")
            if not line:
                return data
            if name == "data":
                data = value
            elif name == "id":
                self.id = value
            elif name == "retry":
                self.retry = value
        raise EOFError


def refused(answer: httpx.Response) -> tuple[int, str]:
    """The status and the code of a refusal."""
    body = answer.json()
    assert body.keys() == {"error"}, body
    assert body["error"]["message"]
    assert answer.headers["content-type"] == "application/json"
    return answer.status_code, body["error"]["code"]
