"""A WebSocket protocol of uvicorn's kind without a socket: bytes are fed by hand, and what it does is written down."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import uvicorn
from msgspec import Struct
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from tests.frames import CLOSE, PONG
from waggle_hub.edge.server.fast_path import FastPath, fast_path_of

MOST = 1000
"""Bytes that a message may hold here, unless it is said otherwise."""
UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


class Transport(asyncio.Transport):
    """Takes everything, and writes it down."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.reading = True
        self.pauses = 0
        self.ended = False
        """Return whether the connection, or the side of the hub, has been closed."""
        self._closing = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        self.writes.append(bytes(data))

    def write_eof(self) -> None:
        self.ended = True

    def close(self) -> None:
        self.ended = self._closing = True

    def abort(self) -> None:
        self.close()

    def is_closing(self) -> bool:
        return self._closing

    def is_reading(self) -> bool:
        return self.reading

    def pause_reading(self) -> None:
        self.reading = False
        self.pauses += 1

    def resume_reading(self) -> None:
        self.reading = True

    def sent(self) -> Iterator[tuple[int, bytes]]:
        """The frames that were written: opcode and payload."""
        data = b"".join(self.writes).partition(b"\r\n\r\n")[2]
        while data:
            size, begin = data[1], 2
            if size == 126:
                size, begin = int.from_bytes(data[2:4], "big"), 4
            elif size == 127:
                size, begin = int.from_bytes(data[2:10], "big"), 10
            yield data[0] & 0x0F, data[begin : begin + size]
            data = data[begin + size :]


class Outcome(Struct):
    """The lines that an agent receives."""

    pongs: list[bytes]
    closed: list[bytes]
    """The payload of close frames that were sent: code and reason."""
    ended: bool
    """True if nothing comes any more from this side."""


class Application:
    """Takes the lane where it is offered one, writes down what it hears, and hangs up when it hears "bye"."""

    def __init__(self, busy: bool = False) -> None:
        self.heard: list[str] = []
        self.gone = 0
        self.pauses: list[bool] = []
        self.lane: FastPath | None = None
        self._busy = busy
        """Whether it takes a turn for each message."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        self.lane = fast_path_of(scope)
        if self.lane is not None:
            self.lane.open(self)
            return
        while (message := await receive())["type"] == "websocket.receive":
            text = message.get("text")
            self.heard.append("(binary)" if text is None else text)
            if text == "bye":
                await send({"type": "websocket.close", "code": 3000, "reason": "as you say"})
        self.gone += 1

    def on_text(self, text: str) -> bool:
        assert not self.gone
        assert self.lane is not None
        self.heard.append(text)
        if text == "bye":
            self.lane.close(3000, "as you say")
        if self._busy:
            asyncio.get_running_loop().call_soon(self.lane.go_on)
        return not self._busy

    def on_binary(self) -> None:
        self.heard.append("(binary)")

    def on_pause(self) -> None:
        self.pauses.append(True)

    def on_resume(self) -> None:
        self.pauses.append(False)

    def on_gone(self) -> None:
        self.gone += 1


class Socketless:
    """A connection to such a protocol, upgraded."""

    def __init__(self, kind: type[WebSocketsSansIOProtocol], application: Any, most: int = MOST) -> None:
        config = uvicorn.Config(
            application, ws=kind, ws_max_size=most, ws_ping_interval=None, ws_per_message_deflate=False,
            lifespan="off", log_config=None,
        )  # fmt: skip
        config.load()
        self.protocol = kind(config, ServerState(), {}, asyncio.get_running_loop())
        self.transport = Transport()
        self.protocol.connection_made(self.transport)
        self.protocol.data_received(UPGRADE)

    async def feed(self, *chunks: bytes) -> None:
        """Let these arrive one after another, each when the protocol wants to read."""
        for chunk in chunks:
            await turns()
            if self.transport.is_closing():
                break
            assert self.transport.reading, "reading would never go on"
            self.protocol.data_received(chunk)
        await turns()

    async def lose(self) -> None:
        """The socket is gone, if it is not already."""
        if self.protocol in self.protocol.connections:
            self.transport.close()
            self.protocol.connection_lost(None)
            await turns()

    def outcome(self) -> Outcome:
        sent = list(self.transport.sent())
        return Outcome(
            pongs=[payload for opcode, payload in sent if opcode == PONG],
            closed=[payload for opcode, payload in sent if opcode == CLOSE],
            ended=self.transport.ended,
        )


async def turns(count: int = 8) -> None:
    """Let the loop turn until everything that is ready has run."""
    for _ in range(count):
        await asyncio.sleep(0)
