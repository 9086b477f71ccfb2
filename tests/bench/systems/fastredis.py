"""The counterpart of `fastclient` for Redis: a protocol on a socket, no library, no checks.

What is sent in one turn of the loop leaves in one write, so that neither of the two has an advantage.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import cast

from .wire import resp

Answer = bytes | int | list["Answer"] | None


class FastRedis(asyncio.Protocol):
    """One connection to a Redis. `ask` takes the words of a command."""

    def __init__(self) -> None:
        self.on_push: Callable[[list[Answer]], None] = lambda push: None
        """Called with each message of a subscription."""
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._waiting: deque[asyncio.Future[Answer]] = deque()
        self._out: list[bytes] = []
        self._transport: asyncio.Transport

    @classmethod
    async def open(cls, host: str, port: int) -> FastRedis:
        _, client = await asyncio.get_running_loop().create_connection(cls, host, port)
        return client

    def ask(self, *words: bytes) -> asyncio.Future[Answer]:
        """Send a command at the end of this turn; the future gives its answer."""
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(resp(*words))
        future: asyncio.Future[Answer] = self._loop.create_future()
        self._waiting.append(future)
        return future

    def close(self) -> None:
        self._transport.close()

    def _flush(self) -> None:
        out, self._out = self._out, []
        self._transport.write(b"".join(out))

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_exception(exc or ConnectionError("Redis closed the connection"))

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        start = 0
        while (found := _parse(buffer, start)) is not None:
            answer, start = found
            if isinstance(answer, list) and answer and answer[0] in (b"message", b"pmessage"):
                self.on_push(answer)
            else:
                self._waiting.popleft().set_result(answer)
        del buffer[:start]


def _parse(buffer: bytearray, start: int) -> tuple[Answer, int] | None:
    """The answer that begins at `start`, and where it ends; None if it is not complete."""
    end = buffer.find(b"\r\n", start)
    if end < 0:
        return None
    kind, after = buffer[start], end + 2
    if kind in b"+-":
        if kind == ord("-"):
            raise ConnectionError(buffer[start + 1 : end].decode())
        return bytes(buffer[start + 1 : end]), after
    number = int(buffer[start + 1 : end])
    if kind == ord(":"):
        return number, after
    if number < 0:
        return None, after
    if kind == ord("$"):
        stop = after + number
        return (bytes(buffer[after:stop]), stop + 2) if len(buffer) >= stop + 2 else None
    answers: list[Answer] = []
    for _ in range(number):
        found = _parse(buffer, after)
        if found is None:
            return None
        answer, after = found
        answers.append(answer)
    return answers, after
