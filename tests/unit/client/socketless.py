"""A connection of the client without a socket: a test feeds it bytes, and its writes are recorded."""

from __future__ import annotations

import asyncio
from typing import Any

from msgspec import Struct
from websockets.asyncio.client import ClientConnection
from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed
from websockets.uri import parse_uri
from websockets.utils import accept_key, apply_mask

from waggle.transport.connection import Connection

MOST = 1000
"""Bytes that a message may hold here."""


def unmasked(data: bytes) -> list[tuple[int, bytes]]:
    """Return the frames of a client's writes: the first byte and the payload of each."""
    frames = []
    while data:
        first, size, begin = data[0], data[1] & 0x7F, 2
        assert data[1] & 0x80, "a client masks"
        if size >= 126:
            begin = 4 if size == 126 else 10
            size = int.from_bytes(data[2:begin], "big")
        mask, payload = data[begin : begin + 4], data[begin + 4 : begin + 4 + size]
        frames.append((first, bytes(apply_mask(payload, mask))))
        data = data[begin + 4 + size :]
    return frames


class Transport(asyncio.Transport):
    """A transport that records all writes."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.eof = False
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        self.writes.append(bytes(data))

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def is_closing(self) -> bool:
        return self.aborted

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.eof = True

    def abort(self) -> None:
        self.aborted = True

    def close(self) -> None:
        self.aborted = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Outcome(Struct):
    """The outcome of a connection."""

    messages: list[bytes]
    answers: list[tuple[int, bytes]]
    """The frames it has written, unasked."""
    eof: bool
    """True if the client has closed its side of the socket."""
    code: int | None
    reason: str | None
    """The close frame of the hub."""


class RecordingListener:
    """A listener that records messages, and which came in one read."""

    def __init__(self) -> None:
        self.reads: list[list[bytes]] = []
        self.rooms = 0
        self.gone = 0

    def on_messages(self, messages: list[bytes]) -> None:
        assert not self.gone
        self.reads.append(messages)

    def on_room(self) -> None:
        self.rooms += 1

    def on_gone(self) -> None:
        self.gone += 1


class Socketless:
    """A connection of either class whose handshake has begun."""

    def __init__(self, kind: type[ClientConnection] = Connection, *, ping: float | None = None) -> None:
        protocol = ClientProtocol(parse_uri("ws://hub/ws"), max_size=MOST)
        self.connection = kind(protocol, ping_interval=ping, ping_timeout=ping, close_timeout=ping, max_queue=None)
        self.transport = Transport()
        self.connection.connection_made(self.transport)
        self.shaking = asyncio.ensure_future(self.connection.handshake())

    async def head(self) -> bytes:
        """Return the hub's answer to the handshake."""
        await asyncio.sleep(0)
        assert self.connection.request is not None
        accept = accept_key(self.connection.request.headers["Sec-WebSocket-Key"])
        self.transport.writes.clear()
        return (
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept.encode()
        )

    async def shaken(self) -> None:
        """Complete the handshake."""
        self.feed(await self.head())
        await self.shaking

    def feed(self, *chunks: bytes) -> None:
        for chunk in chunks:
            self.connection.data_received(chunk)

    def lose(self) -> None:
        """Close the hub's side, then the socket."""
        self.connection.eof_received()
        self.connection.connection_lost(None)

    async def outcome(self) -> Outcome:
        """Return the outcome of the connection, read in the way of its class."""
        answers = unmasked(b"".join(self.transport.writes))
        eof = self.transport.eof
        messages: list[bytes] = []
        if isinstance(self.connection, Connection):
            listener = RecordingListener()
            self.connection.open(listener)
            self.lose()
            assert listener.gone == 1
            messages = [message for read in listener.reads for message in read]
        else:
            self.lose()
            try:
                while True:
                    messages.append(await self.connection.recv(decode=False))
            except ConnectionClosed:
                pass
        return Outcome(messages, answers, eof, self.connection.close_code, self.connection.close_reason)
