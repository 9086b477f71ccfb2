"""NATS: core over a bare socket, the key-value store of JetStream over a bare socket and by nats-py.

A key of a bucket is a subject, so `:` is written as `.`. Its ttl is the bucket's. In its patterns `*` is one token.
"""

from __future__ import annotations

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
from .port import TTL, VALUE, Client, Give, Got, System, Way, dial, read_until

BUCKET = "bench"
ANSWERS = b"_INBOX.bench.%d"
"""Where the answers to one who asks go."""
CONNECT = b'CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true}\r\nPING\r\n'


def subject(key: str) -> str:
    return key.replace(":", ".")


async def library(server: Server) -> Any:
    import nats

    return await nats.connect(f"nats://{server.host}:{server.port}")


async def bucket(connection: Any, mode: str) -> Any:
    """The bucket, made when it is first asked for."""
    from nats.js.api import KeyValueConfig, StorageType
    from nats.js.errors import BucketNotFoundError

    jetstream = connection.jetstream()
    try:
        return await jetstream.key_value(BUCKET)
    except BucketNotFoundError:
        storage = StorageType.MEMORY if mode == "memory" else StorageType.FILE
        return await jetstream.create_key_value(KeyValueConfig(bucket=BUCKET, ttl=TTL, storage=storage))


class NatsPy:
    """The client that people use, with a bucket of JetStream."""

    label, at_once = "nats, nats-py, KV put", 1024

    def __init__(self, connection: Any, kv: Any) -> None:
        self._connection = connection
        self._kv = kv

    @classmethod
    async def open(cls, server: Server) -> Self:
        connection = await library(server)
        return cls(connection, await bucket(connection, server.mode))

    async def set(self, key: str, value: bytes) -> None:
        await self._kv.put(subject(key), value)

    async def close(self) -> None:
        await self._connection.close()


class Nats:
    """The adapter: see `port.System`."""

    name = "nats"
    modes: Sequence[str] = ("memory", "file")
    clients: Sequence[type[Client]] = (NatsPy,)
    marker = b'"seq":'
    ping = b"PING\r\n"
    pong = b"PONG"

    def missing(self) -> str:
        if shutil.which("nats-server") is None:
            return "nats-server"
        return "" if importlib.util.find_spec("nats") else "the Python package nats-py"

    def version(self) -> str:
        import importlib.metadata

        said = subprocess.run(["nats-server", "--version"], capture_output=True, text=True, check=True).stdout
        return f"{said.split()[-1].removeprefix('v')}; nats-py {importlib.metadata.version('nats-py')}"

    @contextmanager
    def start(self, mode: str, directory: Path) -> Iterator[Server]:
        port = free_port()
        settings = directory / "nats.conf"
        settings.write_text(f'jetstream {{ store_dir: "{directory}" }}\nping_interval: "10m"\nmax_payload: 8MB\n')
        command = ["nats-server", "-a", HOST, "-p", str(port), "-c", str(settings)]
        with child(command, stderr=subprocess.DEVNULL) as process:
            until(lambda: answers(port, b"", b"INFO"), process, "nats-server")
            yield Server(self.name, mode, port, process.pid)

    def dial(self, server: Server, who: int = 0) -> socket.socket:
        sock = dial(server)
        sock.sendall(CONNECT)
        read_until(sock, b"PONG\r\n")
        sock.sendall(b"SUB %b 1\r\n" % (ANSWERS % who))
        return sock

    def pongs(self, data: bytes) -> bytes:
        return b""

    def sets(self, pairs: Sequence[tuple[str, bytes]], first: int, who: int = 0, ttl: float = TTL) -> bytes:
        head, answers_to = f"PUB $KV.{BUCKET}.".encode(), ANSWERS % who
        return b"".join(
            b"%b%b %b %d\r\n%b\r\n" % (head, subject(key).encode(), answers_to, len(value), value)
            for key, value in pairs
        )

    def subscribe(self, sock: socket.socket, patterns: Sequence[str]) -> None:
        names = (subject(pattern).encode() for pattern in patterns)
        sock.sendall(b"".join(b"SUB %b %d\r\n" % (name, number) for number, name in enumerate(names, 2)) + self.ping)
        read_until(sock, b"PONG\r\n")

    def publish(self, channel: str, payloads: Sequence[bytes], first: int) -> bytes:
        name = subject(channel).encode()
        return b"".join(b"PUB %b %d\r\n%b\r\n" % (name, len(payload), payload) for payload in payloads)

    def ways(self) -> dict[str, Way]:
        return {"nats, nats-py, KV watch": _watch}


@asynccontextmanager
async def _watch(server: Server, got: Got) -> AsyncIterator[Give]:
    giver, waiter = await library(server), await library(server)
    gives, waits = await bucket(giver, server.mode), await bucket(waiter, server.mode)
    watcher = await waits.watch("hand")

    async def wait() -> None:
        while True:
            entry = await watcher.updates(timeout=600)
            if entry is not None and entry.value == VALUE:
                got()

    async with background(wait()):
        yield lambda: gives.put("hand", VALUE)
    await watcher.stop()
    await giver.close()
    await waiter.close()


NATS: System = Nats()
