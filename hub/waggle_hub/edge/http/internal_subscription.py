"""A subscription that the hub itself reads, in a session of its own. `stream` and `index_catch_up` use it.

Rules:
1. It is a connection like any other: it says hello, subscribes, and reads; delivery bounds its outbox and lets it
   catch up from the log. When the reading ends, for whatever reason, so does its session.
2. Lines leave as fast as they are taken: the next come when the last were taken.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
from msgspec import Raw, Struct, UnsetType

from waggle.wire import messages as m
from waggle.wire.errors import Unavailable, WaggleError, error_from_wire
from waggle_hub.delivery.connection import TaskConnection
from waggle_hub.delivery.frame import Payload
from waggle_hub.engine.engine import Engine

HELLO_ID, SUBSCRIBE_ID, _BYE_ID = range(3)
"""The ids of its commands."""


class LineConsumer(Struct):
    """The consumer of the lines: `begin` is called once, then `tell` with the lines of each payload."""

    begin: Callable[[m.Subscribed], Awaitable[None]]
    tell: Callable[[list[bytes]], Awaitable[None]]


class _Line(Struct):
    id: int | None = None
    ok: Raw | UnsetType = msgspec.UNSET
    error: dict[str, object] | UnsetType = msgspec.UNSET


_read_line = msgspec.json.Decoder(_Line).decode
_read_subscribed = msgspec.json.Decoder(m.Subscribed).decode


class InternalSubscription:
    """One internal subscription, from hello to bye."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection = TaskConnection(engine.bounds)
        self._started = False
        self._error: WaggleError | None = None

    async def run(self, hello: m.Hello, subscribe: m.Subscribe, consumer: LineConsumer) -> None:
        """Read until the hub drains or `close` is called."""
        engine, connection = self._engine, self._connection
        engine.submit(connection, hello)
        engine.submit(connection, subscribe)
        try:
            await connection.write(lambda text: self._hand_over(text, consumer), engine.fanout.ready)
        finally:
            engine.submit(connection, m.Bye(id=_BYE_ID))
            engine.leave(connection)
            connection.close(1000)

    def check(self) -> None:
        """Raise a WaggleError if the subscription was refused, so that `begin` was not called."""
        if not self._started:
            raise self._error or Unavailable("the hub is stopping: come back", retry_after=self._engine.bounds.drain)

    def close(self, code: int = 1000, *, flush: bool = False) -> None:
        """Stop reading; with `flush`, first read what is in the outbox."""
        self._connection.close(code, flush=flush)

    async def _hand_over(self, text: Payload, consumer: LineConsumer) -> None:
        lines = text.data.split(b"\n")
        while lines and not self._started and self._error is None:
            subscribed = self._read_reply(lines.pop(0))
            if subscribed is not None:
                self._started = True
                await consumer.begin(subscribed)
        if self._error is not None:
            self.close()
        elif lines:
            await consumer.tell(lines)

    def _read_reply(self, line: bytes) -> m.Subscribed | None:
        """Read a reply: return the start of the subscription, or keep the error that refused it."""
        reply = _read_line(line)
        if not isinstance(reply.error, UnsetType):
            self._error = error_from_wire(reply.error)
        elif reply.id == SUBSCRIBE_ID and isinstance(reply.ok, Raw):
            return _read_subscribed(reply.ok)
        return None


def subscribe(patterns: list[str], **fields: object) -> m.Subscribe:
    """Make the subscribe command of these fields."""
    return msgspec.convert({"id": SUBSCRIBE_ID, "op": "subscribe", "patterns": patterns, **fields}, m.Subscribe)
