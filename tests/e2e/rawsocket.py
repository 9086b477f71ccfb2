"""A TCP connection that speaks WebSocket by hand, so that it can speak it badly."""

from __future__ import annotations

import asyncio
import struct
from types import TracebackType

from tests import frames
from tests.frames import CLOSE, PING, PONG

PATIENCE_S = 60.0
"""Seconds to wait for a hub that has a million fragments to read, on a busy machine."""


def frame(opcode: int, payload: bytes, *, fin: bool = True, masked: bool = True, length: int | None = None) -> bytes:
    """A frame as an agent sends it, masked with zeros; `length` is what it says it holds, where that is a lie."""
    return frames.frame(fin << 7 | opcode, payload, mask=bytes(4) if masked else b"", size=length)


class RawSocket:
    """`async with RawSocket(port) as raw`: connected; `upgrade` makes it a WebSocket."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> RawSocket:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()

    def cut(self) -> None:
        """Break the connection."""
        self.writer.transport.abort()

    @property
    def request(self) -> bytes:
        """The opening handshake of an agent."""
        return (
            f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        ).encode()

    async def upgrade(self) -> None:
        """Do the opening handshake."""
        await self.send(self.request)
        answer = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
        assert answer.startswith(b"HTTP/1.1 101"), answer

    async def send(self, data: bytes) -> None:
        """Send bytes, and wait while the other side does not take them."""
        self.writer.write(data)
        await self.writer.drain()

    async def message(self) -> tuple[int, bytes]:
        """Return the next frame, its opcode and payload. Pings are answered and passed over; hubs do not fragment."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                first, length = await self.reader.readexactly(2)
                if length == 126:
                    (length,) = struct.unpack("!H", await self.reader.readexactly(2))
                elif length == 127:
                    (length,) = struct.unpack("!Q", await self.reader.readexactly(8))
                payload = await self.reader.readexactly(length)
                opcode = first & 0x0F
                if opcode != PING:
                    return opcode, payload
                self.writer.write(frame(PONG, payload))

    async def close_code(self) -> int:
        """The code with which the hub closes."""
        while True:
            opcode, payload = await self.message()
            if opcode == CLOSE:
                return int.from_bytes(payload[:2], "big")
