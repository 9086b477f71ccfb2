"""The fastest client a hub can have in Python: a protocol on a socket, no library, no checks.

It is there to measure the hub rather than a client. Commands of one turn of the loop leave as one message, as the
protocol allows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from .wire import CLOSE, PING, PONG, TEXT, frame, take_frame, upgrade

_ID = len(b'{"id":')


class FastClient(asyncio.Protocol):
    """One connection to a hub. `ask` takes a command without its id and braces; replies are lines, not decoded."""

    def __init__(self) -> None:
        self.on_event: Callable[[bytes], None] = lambda line: None
        """Called with each line that is no reply."""
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._upgraded: asyncio.Future[None] = self._loop.create_future()
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._lines: list[bytes] = []
        self._next = 0
        self._transport: asyncio.Transport

    @classmethod
    async def open(cls, host: str, port: int, agent: str = "") -> FastClient:
        """A client that has said hello."""
        _, client = await asyncio.get_running_loop().create_connection(cls, host, port)
        client._transport.write(upgrade(host, port))
        await client._upgraded
        await client.ask(b'"op":"hello"' + (b',"agent":"%b"' % agent.encode() if agent else b""))
        return client

    def ask(self, command: bytes) -> asyncio.Future[bytes]:
        """Send a command at the end of this turn; the future gives the line of its reply."""
        self._next += 1
        number = self._next
        if not self._lines:
            self._loop.call_soon(self._flush)
        self._lines.append(b'{"id":%d,%b}' % (number, command))
        future = self._waiting[number] = self._loop.create_future()
        return future

    def close(self) -> None:
        self._transport.close()

    def _flush(self) -> None:
        lines, self._lines = self._lines, []
        self._transport.write(frame(b"\n".join(lines)))

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(exc or ConnectionError("the hub closed the connection"))

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        if not self._upgraded.done():
            head, end, rest = buffer.partition(b"\r\n\r\n")
            if not end:
                return
            assert head.startswith(b"HTTP/1.1 101"), bytes(head)
            buffer[:] = rest
            self._upgraded.set_result(None)
        start = 0
        while (found := take_frame(buffer, start)) is not None:
            opcode, begin, start = found
            payload = bytes(buffer[begin:start])
            if opcode == TEXT:
                for line in payload.split(b"\n"):
                    self._line(line)
            elif opcode == PING:
                self._transport.write(frame(payload, PONG))
            elif opcode == CLOSE:
                self._transport.close()
        del buffer[:start]

    def _line(self, line: bytes) -> None:
        if line.startswith(b'{"id":'):
            future = self._waiting.pop(int(line[_ID : line.index(b",", _ID)]))
            if not future.done():
                future.set_result(line)
        else:
            self.on_event(line)
