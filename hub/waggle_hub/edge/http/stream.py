"""A stream: a subscription whose lines are the body of an HTTP answer. `events` and `portable` stand on it.

Rules:
1. It is a reading (`reading`), which ends when whoever asked is gone.
2. Nothing is answered before the subscription is known to be good: what is wrong with it is an error with a status.
3. The next lines are taken when the server has sent the last.
"""

from __future__ import annotations

import asyncio
import time

from waggle.wire import messages as m
from waggle_hub.edge.websocket import ABORT
from waggle_hub.engine.engine import Engine

from .exchange import Exchange, Send
from .internal_subscription import HELLO, Reading, Teller


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


class Stream:
    """One of them."""

    def __init__(self, streams: Streams, exchange: Exchange) -> None:
        self._streams = streams
        self._exchange = exchange
        self._reading = Reading(streams.engine)
        self._gone: asyncio.Future[None] | None = None

    async def run(self, hello: m.Hello, subscribe: m.Subscribe, teller: Teller) -> None:
        """Read to the end: until the reader's side is gone, the hub drains, or `stop` was called. Raises a WaggleError
        if there is nothing to read, before `begin` was called."""
        self._streams.open.add(self)
        reading = asyncio.ensure_future(self._reading.run(hello, subscribe, teller))
        self._gone = asyncio.ensure_future(self._exchange.gone())
        either: set[asyncio.Future[None]] = {reading, self._gone}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                reading.result()
        finally:
            self._streams.open.discard(self)
            for task in either:
                task.cancel()
            await asyncio.gather(*either, return_exceptions=True)
        self._reading.check()

    def stop(self) -> None:
        """Everything was read that was asked for."""
        self._reading.close()

    def end(self) -> None:
        """Tell what waits, and no more."""
        self._reading.close(4000, flush=True)

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
    return m.Hello(id=HELLO, agent=exchange.agent)
