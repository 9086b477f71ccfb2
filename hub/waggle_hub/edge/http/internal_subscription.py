"""A reading: a subscription that a door reads by itself, in a session of its own. `stream` and `changes` stand on it.

Rules:
1. It is a connection like any other: it says hello, subscribes, and reads; delivery bounds what waits for it and
   refills it from the log. When the reading ends, for whatever reason, so does its session.
2. Lines leave as fast as they are taken, and not faster: the next come when the last were taken.
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

HELLO, SUBSCRIBE, _BYE = range(3)
"""The ids of its commands."""


class Teller(Struct):
    """Where the lines go: `begin` is called once, then `tell` with the lines of each text."""

    begin: Callable[[m.Subscribed], Awaitable[None]]
    tell: Callable[[list[bytes]], Awaitable[None]]


class _Line(Struct):
    id: int | None = None
    ok: Raw | UnsetType = msgspec.UNSET
    error: dict[str, object] | UnsetType = msgspec.UNSET


_read_line = msgspec.json.Decoder(_Line).decode
_read_subscribed = msgspec.json.Decoder(m.Subscribed).decode


class Reading:
    """One of them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection = TaskConnection(engine.bounds)
        self._begun = False
        self._error: WaggleError | None = None

    async def run(self, hello: m.Hello, subscribe: m.Subscribe, teller: Teller) -> None:
        """Read to the end: until the hub drains, or `close` was called."""
        engine, connection = self._engine, self._connection
        engine.submit(connection, hello)
        engine.submit(connection, subscribe)
        try:
            await connection.write(lambda text: self._pass_on(text, teller), engine.fanout.ready)
        finally:
            engine.submit(connection, m.Bye(id=_BYE))
            engine.leave(connection)
            connection.close(1000)

    def check(self) -> None:
        """Raise a WaggleError if there was nothing to read, and so `begin` was not called."""
        if not self._begun:
            raise self._error or Unavailable("the hub is stopping: come back", retry_after=self._engine.bounds.drain)

    def close(self, code: int = 1000, *, flush: bool = False) -> None:
        """Read no more; with `flush`, than what waits."""
        self._connection.close(code, flush=flush)

    async def _pass_on(self, text: Payload, teller: Teller) -> None:
        lines = text.data.split(b"\n")
        while lines and not self._begun and self._error is None:
            subscribed = self._hear(lines.pop(0))
            if subscribed is not None:
                self._begun = True
                await teller.begin(subscribed)
        if self._error is not None:
            self.close()
        elif lines:
            await teller.tell(lines)

    def _hear(self, line: bytes) -> m.Subscribed | None:
        """A reply: what the subscription begins with, or why there is none."""
        reply = _read_line(line)
        if not isinstance(reply.error, UnsetType):
            self._error = error_from_wire(reply.error)
        elif reply.id == SUBSCRIBE and isinstance(reply.ok, Raw):
            return _read_subscribed(reply.ok)
        return None


def subscribe(patterns: list[str], **fields: object) -> m.Subscribe:
    """The command for these."""
    return msgspec.convert({"id": SUBSCRIBE, "op": "subscribe", "patterns": patterns, **fields}, m.Subscribe)
