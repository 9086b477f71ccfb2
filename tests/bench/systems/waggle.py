"""The hub: over a bare WebSocket, and by its own client."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Self

import msgspec

import waggle
from tests.bench.processes import Server, answers, child, environment, first_line, until
from waggle.version import __version__

from .background import background
from .fastclient import FastClient
from .port import TTL, VALUE, Client, Give, Got, System, Way, dial, read_until
from .wire import PONG, frame, upgrade

KEY = "hand:off"
_PING = re.compile(rb"\x89\x04(.{4})", re.DOTALL)
"""A ping: JSON has no such bytes."""
PATTERNS = 100
"""Patterns in one subscription."""


def set_command(key: str, value: bytes, ttl: float = TTL) -> bytes:
    """A set without its id and braces, for FastClient."""
    return b'"op":"set","key":"%b","value":%b,"ttl":%b' % (key.encode(), value, b"%.3f" % ttl)


def url(server: Server) -> str:
    return f"http://{server.host}:{server.port}"


class Own:
    """The client that people use."""

    label, at_once = "waggle, own client", 1024

    def __init__(self, hub: waggle.Hub) -> None:
        self._hub = hub

    @classmethod
    async def open(cls, server: Server) -> Self:
        return cls(await waggle.connect(url(server)))

    async def set(self, key: str, value: bytes) -> None:
        await self._hub.set(key, msgspec.json.decode(value), ttl=TTL)

    async def close(self) -> None:
        await self._hub.close()


class Bare:
    """The cheapest client that Python can have."""

    label, at_once = "waggle, bare socket", 1024

    def __init__(self, client: FastClient) -> None:
        self._client = client

    @classmethod
    async def open(cls, server: Server) -> Self:
        return cls(await FastClient.open(server.host, server.port))

    async def set(self, key: str, value: bytes) -> None:
        reply = await self._client.ask(set_command(key, value))
        assert b'"ok"' in reply, reply

    async def close(self) -> None:
        self._client.close()


class Waggle:
    """The adapter: see `port.System`."""

    name = "waggle"
    modes: Sequence[str] = ("memory", "relaxed", "full")
    clients: Sequence[type[Client]] = (Own, Bare)
    marker = b'"ok"'
    ping = frame(b'{"id":1,"op":"ping"}')
    pong = b'"ok"'

    def missing(self) -> str:
        return ""

    def version(self) -> str:
        return __version__

    @contextmanager
    def start(self, mode: str, directory: Path) -> Iterator[Server]:
        kept = ["--memory"] if mode == "memory" else ["--data", str(directory), "--durability", mode]
        command = [sys.executable, "-m", "waggle_hub", "--port", "0", *kept]
        with child(command, stdout=subprocess.PIPE, env=environment()) as process:
            port = int(first_line(process, "the hub").rsplit(":", 1)[1])
            ready = b"GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n"
            until(lambda: answers(port, ready, b"HTTP/1.1 200"), process, "the hub")
            yield Server(self.name, mode, port, process.pid)

    def dial(self, server: Server, who: int = 0) -> socket.socket:
        sock = dial(server)
        sock.sendall(upgrade(server.host, server.port))
        read_until(sock, b"\r\n\r\n")
        sock.sendall(frame(b'{"id":"hello","op":"hello"}'))
        read_until(sock, b'{"id":"hello","ok":')
        return sock

    def pongs(self, data: bytes) -> bytes:
        return b"".join(frame(ping, PONG) for ping in _PING.findall(data))

    def sets(self, pairs: Sequence[tuple[str, bytes]], first: int, who: int = 0, ttl: float = TTL) -> bytes:
        commands = (set_command(key, value, ttl) for key, value in pairs)
        lines = (b'{"id":%d,%b}' % (first + n, command) for n, command in enumerate(commands))
        return frame(b"\n".join(lines))

    def subscribe(self, sock: socket.socket, patterns: Sequence[str]) -> None:
        for begin in range(0, len(patterns), PATTERNS):
            some = json.dumps(patterns[begin : begin + PATTERNS]).encode()
            sock.sendall(frame(b'{"id":"sub","op":"subscribe","patterns":%b}' % some))
            read_until(sock, b'{"id":"sub","ok":')

    def publish(self, channel: str, payloads: Sequence[bytes], first: int) -> bytes:
        head = b'"op":"publish","channel":"%b","data":' % channel.encode()
        return frame(b"\n".join(b'{"id":%d,%b%b}' % (first + n, head, data) for n, data in enumerate(payloads)))

    def ways(self) -> dict[str, Way]:
        return {
            "waggle, own client, watch": _watch,
            "waggle, bare socket, subscription": _subscription,
            "waggle, bare socket, wait": _wait,
        }


class WaggleSets(Waggle):
    """The same, where what is published is a key that is set: stored and logged first."""

    name = "waggle, set"

    def publish(self, channel: str, payloads: Sequence[bytes], first: int) -> bytes:
        return self.sets([(channel, data) for data in payloads], first)


# --- ways to hand a value on -------------------------------------------------------------------------------------


@asynccontextmanager
async def _watch(server: Server, got: Got) -> AsyncIterator[Give]:
    value = json.loads(VALUE)
    address = url(server)
    async with waggle.connect(address) as giver, waggle.connect(address) as waiter, waiter.watch(KEY) as events:

        async def wait() -> None:
            async for event in events:
                assert event.value == value
                got()

        async with background(wait()):
            yield lambda: giver.set(KEY, value, ttl=TTL)


@asynccontextmanager
async def _subscription(server: Server, got: Got) -> AsyncIterator[Give]:
    giver, waiter = [await FastClient.open(server.host, server.port) for _ in range(2)]

    def has(line: bytes) -> None:
        if VALUE in line:
            got()

    waiter.on_event = has
    await waiter.ask(b'"op":"subscribe","patterns":["%b"]' % KEY.encode())
    command = set_command(KEY, VALUE)
    yield lambda: giver.ask(command)
    giver.close()
    waiter.close()


@asynccontextmanager
async def _wait(server: Server, got: Got) -> AsyncIterator[Give]:
    """One `wait` for each value: asked for as soon as the one before is answered, for what is written after it."""
    giver, waiter = [await FastClient.open(server.host, server.port) for _ in range(2)]
    waits = b'"op":"wait","timeout":600,"all":[{"key":"%b","since":%d}]'

    async def wait() -> None:
        rev = 0
        while True:
            reply = msgspec.json.decode(await waiter.ask(waits % (KEY.encode(), rev)))
            rev = reply["ok"]["rev"]
            got()

    command = set_command(KEY, VALUE)
    async with background(wait()):
        await asyncio.sleep(0.05)
        yield lambda: giver.ask(command)
    giver.close()
    waiter.close()


WAGGLE: System = Waggle()
WAGGLE_SETS: System = WaggleSets()
