"""The clients that are compared: each can set a key. To compare another one, write its class and name it in CALLERS."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol, Self

import msgspec
from websockets.asyncio.client import ClientConnection, connect

import waggle

from .arena import Arena, Server
from .fastclient import FastClient
from .fastredis import FastRedis

TTL = 3600


class Caller(Protocol):
    """One contestant, for one server."""

    label: str
    kind: str
    """The server that it talks to: hub or redis."""
    library: bool
    """Whether this is a client that people use; else it is a bare socket."""
    blocking: bool
    """Whether a call holds the thread, so that several cannot be outstanding."""

    @classmethod
    async def open(cls, server: Server, arena: Arena) -> Self: ...

    async def set(self, key: str, value: bytes) -> None: ...

    async def close(self) -> None: ...


def set_command(key: str, value: bytes, ttl: float = TTL) -> bytes:
    """A set without its id and braces, for FastClient."""
    return b'"op":"set","key":"%b","value":%b,"ttl":%b' % (key.encode(), value, b"%.3f" % ttl)


class HubSocket:
    label, kind, library, blocking = "hub, bare socket", "hub", False, False

    def __init__(self, client: FastClient) -> None:
        self._client = client

    @classmethod
    async def open(cls, server: Server, arena: Arena) -> Self:
        return cls(await FastClient.open(server.host, server.port))

    async def set(self, key: str, value: bytes) -> None:
        reply = await self._client.ask(set_command(key, value))
        assert b'"ok"' in reply, reply

    async def close(self) -> None:
        self._client.close()


class HubWebsockets:
    """The `websockets` library, and JSON by msgspec: what a client of one's own would cost."""

    label, kind, library, blocking = "hub, `websockets`", "hub", True, False

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._next = 1
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, server: Server, arena: Arena) -> Self:
        connection = await connect(f"ws://{server.host}:{server.port}/ws", compression=None)
        await connection.send('{"id":1,"op":"hello"}')
        await connection.recv()
        return cls(connection)

    async def set(self, key: str, value: bytes) -> None:
        self._next += 1
        future = self._waiting[self._next] = asyncio.get_running_loop().create_future()
        command = {"id": self._next, "op": "set", "key": key, "value": msgspec.Raw(value), "ttl": TTL}
        await self._connection.send(msgspec.json.encode(command), text=True)
        await future

    async def close(self) -> None:
        self._reader.cancel()
        await self._connection.close()

    async def _read(self) -> None:
        async for text in self._connection:
            for line in text.splitlines() if isinstance(text, str) else ():
                reply = msgspec.json.decode(line)
                if "id" in reply:
                    self._waiting.pop(reply["id"]).set_result(reply["ok"])


class HubClient:
    label, kind, library, blocking = "hub, `waggle`", "hub", True, False

    def __init__(self, hub: waggle.Hub) -> None:
        self._hub = hub

    @classmethod
    async def open(cls, server: Server, arena: Arena) -> Self:
        return cls(await waggle.connect(server.url))

    async def set(self, key: str, value: bytes) -> None:
        await self._hub.set(key, msgspec.json.decode(value), ttl=TTL)

    async def close(self) -> None:
        await self._hub.close()


class RedisSocket:
    label, kind, library, blocking = "redis, bare socket", "redis", False, False

    def __init__(self, client: FastRedis) -> None:
        self._client = client

    @classmethod
    async def open(cls, server: Server, arena: Arena) -> Self:
        return cls(await FastRedis.open(server.host, server.port))

    async def set(self, key: str, value: bytes) -> None:
        await self._client.ask(b"SET", key.encode(), value, b"EX", b"%d" % TTL)

    async def close(self) -> None:
        self._client.close()


class RedisPy:
    label, kind, library, blocking = "redis, redis-py asyncio", "redis", True, False

    def __init__(self, client: Any) -> None:
        self._client = client

    @classmethod
    async def open(cls, server: Server, arena: Arena) -> Self:
        assert arena.redis_py is not None
        return cls(arena.redis_py.asyncio.Redis(host=server.host, port=server.port, max_connections=1024))

    async def set(self, key: str, value: bytes) -> None:
        await self._client.set(key, value, ex=TTL)

    async def close(self) -> None:
        await self._client.aclose()


class RedisPyBlocking:
    label, kind, library, blocking = "redis, redis-py blocking", "redis", True, True

    def __init__(self, client: Any) -> None:
        self._client = client

    @classmethod
    async def open(cls, server: Server, arena: Arena) -> Self:
        assert arena.redis_py is not None
        return cls(arena.redis_py.Redis(host=server.host, port=server.port))

    async def set(self, key: str, value: bytes) -> None:
        self._client.set(key, value, ex=TTL)

    async def close(self) -> None:
        self._client.close()


CALLERS: list[type[Caller]] = [
    HubSocket, HubWebsockets, HubClient, RedisSocket, RedisPy, RedisPyBlocking,
]  # fmt: skip


async def open_all(arena: Arena, *, blocking: bool) -> list[tuple[Caller, Server]]:
    """Every contestant that this machine can field, connected."""
    opened: list[tuple[Caller, Server]] = []
    for caller in CALLERS:
        server = arena.hub if caller.kind == "hub" else arena.redis
        absent = server is None or (caller.kind == "redis" and caller.library and arena.redis_py is None)
        if server is not None and not absent and (blocking or not caller.blocking):
            opened.append((await caller.open(server, arena), server))
    return opened
