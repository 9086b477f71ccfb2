"""The WebSocket door: messages of lines in, lines out (protocol 1 and 2). Plain ASGI.

Two coroutines for each connection. The reader takes a message, decodes it line by line and submits each command; it
lets others have their turn after a few milliseconds of one message, and stops while its agent does not read its
replies. The writer sends what delivery has put into the connection. Neither has any rule of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any

from ..delivery.connection import Connection
from ..engine import Engine
from .guard import Guard
from .lines import BadLine, decode

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

SUBPROTOCOL = "waggle.v1"
ABORT = "waggle.abort"
"""The extension of the scope by which a server lets a stuck socket be cut (see `server`)."""


class WebSocketDoor:
    """The ASGI application at ``/ws``."""

    def __init__(self, engine: Engine, guard: Guard) -> None:
        self._engine = engine
        self._guard = guard
        self.connections: set[Connection] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        offered = scope.get("subprotocols") or []
        await send({"type": "websocket.accept", "subprotocol": SUBPROTOCOL if SUBPROTOCOL in offered else None})
        refusal = self._guard.refusal(scope["headers"])
        if refusal is not None:
            await send({"type": "websocket.close", "code": 4403, "reason": _reason(refusal)})
            return
        abort = scope.get("extensions", {}).get(ABORT, {}).get("abort")
        connection = Connection(self._engine.bounds, abort)
        self.connections.add(connection)
        writer = asyncio.create_task(self._write(connection, send))
        try:
            await self._read(connection, receive)
        finally:
            self.connections.discard(connection)
            self._engine.leave(connection)
            connection.close(1000)
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)

    async def drain(self, seconds: float, wait: float) -> None:
        """Ask every agent to come back after `seconds`, and wait until all are gone, at most `wait` seconds."""
        for connection in list(self.connections):
            connection.close(4000, f"{seconds:g}", flush=True)
        until = time.monotonic() + wait
        while self.connections and time.monotonic() < until:
            await asyncio.sleep(0.01)

    async def _write(self, connection: Connection, send: Send) -> None:
        async def send_text(text: str) -> None:
            await send({"type": "websocket.send", "text": text})

        try:
            await connection.write(send_text, self._engine.fanout.ready)
            assert connection.closing is not None
            code, reason = connection.closing
            await send({"type": "websocket.close", "code": code, "reason": _reason(reason)})
        except OSError:
            pass  # the socket is gone: the reader hears of it and cleans up

    async def _read(self, connection: Connection, receive: Receive) -> None:
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text")
            if text is None:
                connection.close(4400, "binary message: this protocol is lines of JSON text")
            elif connection.closing is None:
                await self._work_off(connection, text)

    async def _work_off(self, connection: Connection, text: str) -> None:
        """Submit the commands of one message, in slices of a few milliseconds."""
        until = time.monotonic() + self._engine.bounds.slice
        for line in _lines(text):
            if connection.congested:
                await connection.room()
            elif time.monotonic() > until:
                await asyncio.sleep(0)
                until = time.monotonic() + self._engine.bounds.slice
            if connection.closing is not None:
                return
            if line and not line.isspace():
                self._submit(connection, line)

    def _submit(self, connection: Connection, line: str) -> None:
        try:
            command = decode(line)
        except BadLine as bad:
            self._engine.refuse(connection, bad.id, bad.error)
        else:
            self._engine.submit(connection, command)


def _lines(text: str) -> Iterator[str]:
    """The lines, one at a time: all at once, 16 MiB of short ones would take seconds and 400 MiB."""
    start = 0
    while (end := text.find("\n", start)) >= 0:
        yield text[start:end]
        start = end + 1
    yield text[start:]


def _reason(text: str) -> str:
    """A close reason has room for 123 bytes."""
    return text.encode()[:123].decode(errors="ignore")
