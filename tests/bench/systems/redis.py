"""Redis: over a bare socket, and by redis-py with hiredis."""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Self

from tests.bench.processes import HOST, Server, answers, child, free_port, until

from .background import background
from .fastredis import Answer, FastRedis
from .port import TTL, VALUE, Client, Give, Got, System, Way, dial, read_until
from .wire import resp

KEY = "hand:off"
CHANNEL = f"__keyspace@0__:{KEY}".encode()
LIST = "hand:list"


def library(server: Server) -> Any:
    import redis.asyncio

    return redis.asyncio.Redis(host=server.host, port=server.port, max_connections=1024)


class RedisPy:
    """The client that people use. It opens as many connections as it has callers."""

    label, at_once = "redis, redis-py", 1024

    def __init__(self, client: Any) -> None:
        self._client = client

    @classmethod
    async def open(cls, server: Server) -> Self:
        return cls(library(server))

    async def set(self, key: str, value: bytes) -> None:
        await self._client.set(key, value, ex=TTL)

    async def close(self) -> None:
        await self._client.aclose()


class Bare:
    """The cheapest client that Python can have."""

    label, at_once = "redis, bare socket", 1024

    def __init__(self, client: FastRedis) -> None:
        self._client = client

    @classmethod
    async def open(cls, server: Server) -> Self:
        return cls(await FastRedis.open(server.host, server.port))

    async def set(self, key: str, value: bytes) -> None:
        await self._client.ask(b"SET", key.encode(), value, b"EX", b"%d" % TTL)

    async def close(self) -> None:
        self._client.close()


class Redis:
    """The adapter: see `port.System`."""

    name = "redis"
    modes: Sequence[str] = ("memory", "everysec", "always")
    clients: Sequence[type[Client]] = (RedisPy, Bare)
    marker = b"+OK"
    ping = resp(b"PING")
    pong = b"+PONG"

    def missing(self) -> str:
        if shutil.which("redis-server") is None:
            return "redis-server"
        absent = [name for name in ("redis", "hiredis") if importlib.util.find_spec(name) is None]
        return f"the Python package {absent[0]}" if absent else ""

    def version(self) -> str:
        import hiredis
        import redis

        words = subprocess.run(["redis-server", "--version"], capture_output=True, text=True, check=True).stdout
        server = next((word[2:] for word in words.split() if word.startswith("v=")), "of unknown version")
        return f"{server}; redis-py {redis.__version__} with hiredis {hiredis.__version__}"

    @contextmanager
    def start(self, mode: str, directory: Path) -> Iterator[Server]:
        port = free_port()
        kept = ["--appendonly", "no"] if mode == "memory" else ["--appendonly", "yes", "--appendfsync", mode]
        where = ["--bind", HOST, "--port", str(port), "--dir", str(directory), "--save", ""]
        with child(["redis-server", *where, *kept], stdout=subprocess.DEVNULL) as process:
            until(lambda: answers(port, b"PING\r\n", b"+PONG"), process, "redis-server")
            yield Server(self.name, mode, port, process.pid)

    def dial(self, server: Server, who: int = 0) -> socket.socket:
        return dial(server)

    def pongs(self, data: bytes) -> bytes:
        return b""

    def sets(self, pairs: Sequence[tuple[str, bytes]], first: int, who: int = 0, ttl: float = TTL) -> bytes:
        return b"".join(resp(b"SET", key.encode(), value, b"PX", b"%d" % (ttl * 1000)) for key, value in pairs)

    def subscribe(self, sock: socket.socket, patterns: Sequence[str]) -> None:
        sock.sendall(resp(b"PSUBSCRIBE", *(pattern.encode() for pattern in patterns)))
        read_until(sock, b"psubscribe\r\n", len(patterns))

    def publish(self, channel: str, payloads: Sequence[bytes], first: int) -> bytes:
        return b"".join(resp(b"PUBLISH", channel.encode(), payload) for payload in payloads)

    def ways(self) -> dict[str, Way]:
        return {
            "redis, redis-py, BLPOP": _blpop,
            "redis, redis-py, pub/sub": _pubsub,
            "redis, redis-py, keyspace event and GET": _keyspace,
            "redis, bare socket, keyspace event and GET": _socket,
        }


# --- ways to hand a value on -------------------------------------------------------------------------------------


@asynccontextmanager
async def _blpop(server: Server, got: Got) -> AsyncIterator[Give]:
    async with library(server) as giver, library(server) as waiter:

        async def wait() -> None:
            while (await waiter.blpop([LIST], timeout=0))[1] == VALUE:
                got()

        waiting = asyncio.create_task(wait())
        yield lambda: giver.rpush(LIST, VALUE)
        await giver.rpush(LIST, b"the end")  # redis-py retries a blpop that is cancelled, for a minute
        await waiting


@asynccontextmanager
async def _pubsub(server: Server, got: Got) -> AsyncIterator[Give]:
    """A client that comes later does not find the value."""
    async with library(server) as giver, library(server) as waiter, waiter.pubsub() as pubsub:
        await pubsub.subscribe(KEY)

        async def wait() -> None:
            async for message in pubsub.listen():
                if message["data"] == VALUE:
                    got()

        async with background(wait()):
            yield lambda: giver.publish(KEY, VALUE)


@asynccontextmanager
async def _keyspace(server: Server, got: Got) -> AsyncIterator[Give]:
    async with library(server) as giver, library(server) as waiter, waiter.pubsub() as pubsub:
        await giver.config_set("notify-keyspace-events", "K$")
        await pubsub.subscribe(CHANNEL)

        async def wait() -> None:
            async for message in pubsub.listen():
                if message["type"] == "message":
                    assert await waiter.get(KEY) == VALUE
                    got()

        async with background(wait()):
            yield lambda: giver.set(KEY, VALUE, ex=TTL)
        await giver.config_set("notify-keyspace-events", "")


@asynccontextmanager
async def _socket(server: Server, got: Got) -> AsyncIterator[Give]:
    giver, waiter, reader = [await FastRedis.open(server.host, server.port) for _ in range(3)]
    await giver.ask(b"CONFIG", b"SET", b"notify-keyspace-events", b"K$")

    def has(push: list[Answer]) -> None:
        reader.ask(b"GET", KEY.encode()).add_done_callback(lambda _: got())

    waiter.on_push = has
    await waiter.ask(b"SUBSCRIBE", CHANNEL)
    yield lambda: giver.ask(b"SET", KEY.encode(), VALUE, b"EX", b"%d" % TTL)
    await giver.ask(b"CONFIG", b"SET", b"notify-keyspace-events", b"")
    for client in (giver, waiter, reader):
        client.close()


REDIS: System = Redis()
