"""What the benchmark asks of a system: to be started, to be spoken to on the wire, and by the client its users have.

Each of `waggle`, `redis` and `nats` is one adapter of this port, with the same names. On the wire everything is bytes
that are prepared beforehand, for the load generator, which knows no protocol: what must be the same for all is

1. the work: keys, values, ttl, what is published;
2. how it is sent: so many requests in one write, each acknowledged as the system does it;
3. the marker, which every acknowledgement contains exactly once.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from pathlib import Path
from typing import Any, Protocol, Self

from tests.bench.processes import Server

EVENT = b"@event@"
"""The marker of a delivery: part of every payload that is published."""
TTL = 3600
VALUE = b'{"owner":"impl-1","state":"working","note":"half way through it"}'


class Client(Protocol):
    """A client in Python."""

    label: str
    at_once: int
    """How many sets can be under way on one of them."""

    @classmethod
    async def open(cls, server: Server) -> Self: ...

    async def set(self, key: str, value: bytes) -> None: ...

    async def close(self) -> None: ...


Give = Callable[[], Awaitable[Any]]
Got = Callable[[], None]
Way = Callable[[Server, Got], AbstractAsyncContextManager[Give]]
"""A way to hand a value on: `Give` gives it away, and `Got` is called as soon as the other one has it."""


class System(Protocol):
    """One system."""

    name: str
    modes: Sequence[str]
    """How it can keep what is set, the least safe first; in the words of the system."""
    clients: Sequence[type[Client]]
    marker: bytes
    """In each answer to a set."""
    ping: bytes
    pong: bytes

    def missing(self) -> str:
        """Return what has to be installed; empty if nothing."""

    def version(self) -> str: ...

    def start(self, mode: str, directory: Path) -> AbstractContextManager[Server]:
        """The server, in a directory of its own; it answers when the block begins."""

    def dial(self, server: Server, who: int = 0) -> socket.socket:
        """A socket that has said hello, and hears the answers to what `who` asks."""

    def pongs(self, data: bytes) -> bytes:
        """What has to be sent so that the server does not hang up, now that it has sent this."""

    def sets(self, pairs: Sequence[tuple[str, bytes]], first: int, who: int = 0, ttl: float = TTL) -> bytes:
        """One request of `who`: set all of these, numbered from `first` on; each is answered."""

    def subscribe(self, sock: socket.socket, patterns: Sequence[str]) -> None: ...

    def publish(self, channel: str, payloads: Sequence[bytes], first: int) -> bytes:
        """One request: publish all of these, numbered from `first` on."""

    def ways(self) -> dict[str, Way]:
        """The ways in which a value can be handed on."""


def read_until(sock: socket.socket, end: bytes, count: int = 1) -> None:
    """Read, and throw away, until this has come so often."""
    data, seen = b"", 0
    while seen < count:
        more = sock.recv(65_536)
        if not more:
            raise ConnectionError(f"the server hung up: {data[-200:]!r}")
        data += more
        seen += data.count(end)
        place = data.rfind(end)
        data = data[place + len(end) :] if place >= 0 else data[-len(end) :]


def dial(server: Server) -> socket.socket:
    sock = socket.create_connection((server.host, server.port), timeout=30)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock
