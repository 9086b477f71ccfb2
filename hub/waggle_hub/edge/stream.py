"""A stream: a subscription whose lines are the body of an HTTP answer. `events` and `portable` stand on it.

Rules:
1. It is a connection like any other, with a session of its own: it says hello, subscribes, and reads; delivery bounds
   what waits for it and refills it from the log. When the answer ends, for whatever reason, so does its session.
2. Nothing is answered before the subscription is known to be good: what is wrong with it is an error with a status.
3. Lines leave as fast as they are read, and not faster: the next is taken when the server has sent the last.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import msgspec
from msgspec import Raw, Struct, UnsetType

from waggle import messages as m
from waggle.errors import Unavailable, WaggleError, error_from_wire

from ..delivery.connection import Connection
from ..delivery.text import Text
from ..engine import Engine
from .exchange import Exchange, Send
from .websocket import ABORT

_HELLO, _SUBSCRIBE, _BYE = range(3)


class Streams:
    """All that are open, and the way to end them."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.open: set[Stream] = set()

    async def drain(self, wait: float) -> None:
        """Let each end when it has told what waits, within so many seconds: whoever reads it comes back by itself."""
        for stream in list(self.open):
            stream.end()
        until = time.monotonic() + wait
        while self.open and time.monotonic() < until:
            await asyncio.sleep(0.01)
        for stream in list(self.open):
            stream.cut()


class Teller(Struct):
    """Where a stream's lines go: `begin` is called once, then `tell` with the lines of each text."""

    begin: Callable[[m.Subscribed], Awaitable[None]]
    tell: Callable[[list[bytes]], Awaitable[None]]


class _Line(Struct):
    id: int | None = None
    ok: Raw | UnsetType = msgspec.UNSET
    error: dict[str, object] | UnsetType = msgspec.UNSET


_read_line = msgspec.json.Decoder(_Line).decode
_read_subscribed = msgspec.json.Decoder(m.Subscribed).decode


class Stream:
    """One of them."""

    def __init__(self, streams: Streams, exchange: Exchange) -> None:
        self._streams = streams
        self._exchange = exchange
        self._connection = Connection(streams.engine.bounds)
        self._begun = False
        self._gone: asyncio.Future[None] | None = None
        self._error: WaggleError | None = None

    async def run(self, hello: m.Hello, subscribe: m.Subscribe, teller: Teller) -> None:
        """Read to the end: until the reader's side is gone, the hub drains, or `stop` was called. Raises a WaggleError
        if there is nothing to read, before `begin` was called."""
        engine, connection = self._streams.engine, self._connection
        self._streams.open.add(self)
        engine.submit(connection, hello)
        engine.submit(connection, subscribe)
        writing = asyncio.ensure_future(connection.write(lambda text: self._pass_on(text, teller), engine.fanout.ready))
        self._gone = asyncio.ensure_future(self._exchange.gone())
        either: set[asyncio.Future[None]] = {writing, self._gone}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if writing.done():
                writing.result()
        finally:
            self._streams.open.discard(self)
            engine.submit(connection, m.Bye(id=_BYE))
            engine.leave(connection)
            connection.close(1000)
            for task in either:
                task.cancel()
            await asyncio.gather(*either, return_exceptions=True)
        if not self._begun:
            raise self._error or Unavailable("the hub is stopping: come back", retry_after=engine.bounds.drain)

    def stop(self) -> None:
        """Everything was read that was asked for."""
        self._connection.close(1000)

    def end(self) -> None:
        """Tell what waits, and no more."""
        self._connection.close(4000, flush=True)

    async def break_off(self) -> None:
        """Let the reader know that there was more."""
        self.cut()
        await self._exchange.gone()

    def cut(self) -> None:
        """Let whoever reads be gone."""
        abort = (self._exchange.scope.get("extensions") or {}).get(ABORT, {}).get("abort")
        if abort is not None:
            abort()
        elif self._gone is not None:
            self._gone.cancel()

    async def _pass_on(self, text: Text, teller: Teller) -> None:
        lines = text.data.split(b"\n")
        while lines and not self._begun and self._error is None:
            subscribed = self._hear(lines.pop(0))
            if subscribed is not None:
                self._begun = True
                await teller.begin(subscribed)
        if self._error is not None:
            self.stop()
        elif lines:
            await teller.tell(lines)

    def _hear(self, line: bytes) -> m.Subscribed | None:
        """A reply: what the subscription begins with, or why there is none."""
        reply = _read_line(line)
        if not isinstance(reply.error, UnsetType):
            self._error = error_from_wire(reply.error)
        elif reply.id == _SUBSCRIBE and isinstance(reply.ok, Raw):
            return _read_subscribed(reply.ok)
        return None


class Body:
    """The body of an answer that is sent as it comes."""

    def __init__(self, send: Send, type: bytes) -> None:
        self._send = send
        self._type = type

    async def start(self) -> None:
        """Say that all is well, and what follows."""
        headers = [(b"content-type", self._type), (b"x-accel-buffering", b"no")]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def write(self, data: bytes) -> None:
        """Send this, when what was sent before has left."""
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        """That was all."""
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})


def hello(exchange: Exchange) -> m.Hello:
    """The hello of whoever asks."""
    return m.Hello(id=_HELLO, agent=exchange.agent)


def subscribe(patterns: list[str], **fields: object) -> m.Subscribe:
    """The command for these."""
    return msgspec.convert({"id": _SUBSCRIBE, "op": "subscribe", "patterns": patterns, **fields}, m.Subscribe)
