"""Streams: subscriptions whose lines are the body of an HTTP response. `events` and `export_import` use them.

Rules:
1. A stream is an internal subscription that ends when its client disconnects.
2. The response begins only when the subscription is accepted: an error of it has a status.
3. The next lines are taken when the server has sent the last.
"""

from __future__ import annotations

import asyncio
import time

from waggle.wire import messages as m
from waggle_hub.edge.asgi import Send
from waggle_hub.edge.identity import identify
from waggle_hub.edge.websocket import ABORT
from waggle_hub.engine.engine import Engine

from .exchange import Exchange
from .internal_subscription import HELLO_ID, InternalSubscription, LineConsumer


class Streams:
    """All open streams."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.open: set[Stream] = set()

    async def drain(self, wait: float) -> None:
        """End each stream after the lines that wait for it, and cut those that take longer than so many seconds.
        Clients reconnect by themselves."""
        for stream in list(self.open):
            stream.end()
        until = time.monotonic() + wait
        while self.open and time.monotonic() < until:
            await asyncio.sleep(0.01)
        for stream in list(self.open):
            stream.cut()


class Stream:
    """A subscription that is sent as the body of one response."""

    def __init__(self, streams: Streams, exchange: Exchange) -> None:
        self._streams = streams
        self._exchange = exchange
        self._subscription = InternalSubscription(streams.engine)
        self._gone: asyncio.Future[None] | None = None

    async def run(self, hello: m.Hello, subscribe: m.Subscribe, consumer: LineConsumer) -> None:
        """Read until the client disconnects, the hub drains, or `stop` is called. Raises a WaggleError if the
        subscription is refused, before `begin` was called."""
        self._streams.open.add(self)
        running = asyncio.ensure_future(self._subscription.run(hello, subscribe, consumer))
        self._gone = asyncio.ensure_future(self._exchange.gone())
        tasks: set[asyncio.Future[None]] = {running, self._gone}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()
        finally:
            self._streams.open.discard(self)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self._subscription.check()

    def stop(self) -> None:
        """Stop reading: all that was asked for was read."""
        self._subscription.close()

    def end(self) -> None:
        """End the stream after the lines that wait."""
        self._subscription.close(4000, flush=True)

    async def break_off(self) -> None:
        """Cut the connection so that the client knows that the body is incomplete."""
        self.cut()
        await self._exchange.gone()

    def cut(self) -> None:
        """Cut the connection, or end the stream where the server cannot."""
        abort = (self._exchange.scope.get("extensions") or {}).get(ABORT, {}).get("abort")
        if abort is not None:
            abort()
        elif self._gone is not None:
            self._gone.cancel()


class Body:
    """The body of a response that is sent as it comes."""

    def __init__(self, send: Send, type: bytes) -> None:
        self._send = send
        self._type = type

    async def start(self) -> None:
        """Send status 200 and the headers."""
        headers = [(b"content-type", self._type), (b"x-accel-buffering", b"no")]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def write(self, data: bytes) -> None:
        """Send data once the data before has left."""
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        """Send the end of the body."""
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})


def hello(exchange: Exchange) -> m.Hello:
    """Make the hello of the caller of a request."""
    return m.Hello(id=HELLO_ID, agent=identify(exchange).agent)
