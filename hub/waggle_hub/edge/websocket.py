"""The WebSocket endpoint: messages of lines in, lines out (protocol 1 and 2). Plain ASGI, with a fast path.

Where the server offers the fast path (`server.fast_path`), a connection lives by direct calls. Elsewhere it has two
tasks, one that reads and one that writes. Either way a `Reader` submits the commands, and delivery decides what
leaves.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from waggle_hub.delivery.connection import Connection, TaskConnection
from waggle_hub.delivery.frame import Payload
from waggle_hub.engine.engine import Engine

from .asgi import Receive, Scope, Send
from .command_reader import Reader
from .origin_check import OriginCheck
from .server.fast_path import FastPath, fast_path_of, fitted_reason

SUBPROTOCOL = "waggle.v1"
ABORT = "waggle.abort"
"""The extension of the scope by which a server lets a stuck socket be cut (see `protocol`)."""


class WebSocketEndpoint:
    """The ASGI application at ``/ws``."""

    def __init__(self, engine: Engine, origin_check: OriginCheck) -> None:
        self._engine = engine
        self._origin_check = origin_check
        self.connections: dict[Connection, asyncio.TimerHandle] = {}
        """Those that are open, each with the timer that looks whether it has said anything."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        offered = scope.get("subprotocols") or []
        await send({"type": "websocket.accept", "subprotocol": SUBPROTOCOL if SUBPROTOCOL in offered else None})
        refusal = self._origin_check.refusal(scope["headers"])
        if refusal is not None:
            await send({"type": "websocket.close", "code": 4403, "reason": fitted_reason(refusal)})
            return
        abort = (scope.get("extensions") or {}).get(ABORT, {}).get("abort")
        fast_path = fast_path_of(scope)
        if fast_path is not None:
            fast = _FastPathConnection(self, self._engine, fast_path, abort)
            self._watch_silence(fast.connection)
            fast_path.open(fast)
            return
        connection = TaskConnection(self._engine.bounds, abort)
        self._watch_silence(connection)
        writer = asyncio.create_task(self._write(connection, send))
        try:
            await self._read(connection, receive)
        finally:
            self.leave(connection)
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)

    def leave(self, connection: Connection) -> None:
        """End a connection whose socket is gone."""
        self.connections.pop(connection).cancel()
        self._engine.leave(connection)
        connection.close(1000)

    def _watch_silence(self, connection: Connection) -> None:
        silence = self._engine.bounds.silence
        self.connections[connection] = asyncio.get_running_loop().call_later(silence, self._close_if_silent, connection)

    def _close_if_silent(self, connection: Connection) -> None:
        """Close a connection that has sent nothing within `bounds.silence`; any line would have had a reply."""
        if connection.session is None and connection.sends == 0:
            connection.close(4001, "nothing was said: a connection begins with hello")
            self._engine.fanout.write()

    async def drain(self, seconds: float, wait: float) -> None:
        """Ask every agent to come back after `seconds`, and wait until all are gone, at most `wait` seconds."""
        for connection in list(self.connections):
            connection.close(4000, f"{seconds:g}", flush=True)
        self._engine.fanout.write()
        deadline = time.monotonic() + wait
        while self.connections and time.monotonic() < deadline:
            await asyncio.sleep(0.01)

    # --- without the fast path ---

    async def _read(self, connection: TaskConnection, receive: Receive) -> None:
        reader = Reader(self._engine, connection)
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text")
            if text is None:
                _refuse_binary(connection)
                continue
            done = reader.read(text)
            while not done:
                await (connection.room() if connection.congested else asyncio.sleep(0))
                done = reader.go_on()

    async def _write(self, connection: TaskConnection, send: Send) -> None:
        gone = False

        async def send_text(text: Payload) -> None:
            nonlocal gone
            try:
                if not gone:
                    await send({"type": "websocket.send", "text": str(text)})
            except OSError:
                gone = True  # the reader hears of it after what came before, whose replies nobody reads

        await connection.write(send_text, self._engine.fanout.ready)
        assert connection.closing is not None
        code, reason = connection.closing
        try:
            await send({"type": "websocket.close", "code": code, "reason": fitted_reason(reason)})
        except OSError:
            pass


class _FastPathConnection:
    """A connection on the fast path: listens to the server, and is the socket of the delivery's connection."""

    def __init__(
        self, endpoint: WebSocketEndpoint, engine: Engine, fast_path: FastPath, abort: Callable[[], None] | None
    ) -> None:
        self.connection = Connection(
            engine.bounds, socket=fast_path, wake=engine.fanout.wake, on_room=self._go_on_soon, abort=abort
        )
        self._endpoint = endpoint
        self._fanout = engine.fanout
        self._fast_path = fast_path
        self._reader = Reader(engine, self.connection)
        self._loop = asyncio.get_running_loop()

    def on_text(self, text: str) -> bool:
        return self._reader.read(text) or self._wait()

    def on_binary(self) -> None:
        _refuse_binary(self.connection)
        self._fanout.write()

    def on_pause(self) -> None:
        self.connection.pause()

    def on_resume(self) -> None:
        self.connection.resume()
        self._fanout.write()

    def on_gone(self) -> None:
        self._endpoint.leave(self.connection)

    # --- a message that takes longer ---

    def _wait(self) -> bool:
        """Go on in a later turn; a congested connection calls `on_room` when there is room."""
        if not self.connection.congested:
            self._go_on_soon()
        return False

    def _go_on_soon(self) -> None:
        self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        if self._reader.go_on():
            self._fast_path.go_on()
        else:
            self._wait()


def _refuse_binary(connection: Connection) -> None:
    connection.close(4400, "binary message: this protocol is lines of JSON text")
