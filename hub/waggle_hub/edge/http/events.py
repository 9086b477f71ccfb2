"""Server-Sent Events: a subscription that a browser's EventSource, or curl, reads (protocol 5, 10).

Rules:
1. The data of each is an event as it stands on the wire. Its `id` is `epoch:rev`, the cursor after it. Lines that do
   not move the cursor (a snapshot, all but the last of a revision) have no id. So a client that comes back with the
   last id that it read (`Last-Event-ID`) misses nothing, and reads nothing twice.
2. The first is a `mark` with the place of the cursor; or, where a subscription cannot go on from the id, `lost` with
   the reason, and then a snapshot.
3. An idle stream gets a `mark` from time to time. A slow stream catches up from the log; one that is too slow for
   that ends, as all streams do when the hub stops. EventSource reconnects by itself.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from msgspec import Struct, field

from waggle.wire import messages as m
from waggle.wire.errors import BadRequest, WaggleError
from waggle_hub.delivery.encoding import lost_line, mark_line
from waggle_hub.edge.asgi import App, Receive, Scope, Send

from .exchange import Exchange
from .internal_subscription import LineConsumer, subscribe
from .status_codes import refusal
from .stream import Body, Stream, Streams, hello

RETRY_MS = 2_000
"""Milliseconds after which an EventSource comes back."""


class EventsQuery(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Query parameters of `GET /v1/events`: those of `subscribe`; `since` is `epoch:rev`."""

    pattern: list[str] = field(default_factory=lambda: ["*"])
    ns: str | None = None
    types: list[str] | None = None
    values: bool = True
    prev: bool = False
    snapshot: bool = False
    since: str | None = None
    conflate: float | None = None


class _CursorFields(Struct):
    """The fields of a line that decide whether the line moves the cursor."""

    type: str
    rev: int = 0
    more: bool = False
    snapshot: bool = False


_parse = msgspec.json.Decoder(_CursorFields).decode


class EventStream:
    """The handler of `GET /v1/events`."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams

    async def events(self, exchange: Exchange) -> App:
        """Handle `GET /v1/events`."""
        query = exchange.query(EventsQuery)
        fields = msgspec.to_builtins(query)
        if query.types is not None:
            fields["types"] = [type for text in query.types for type in text.split(",")]
        since = exchange.header("last-event-id") or fields.pop("since", None)
        if since:
            fields["since"] = _cursor(since)
        try:
            command = subscribe(fields.pop("pattern", query.pattern), **fields)
        except msgspec.ValidationError as error:
            raise BadRequest(f"types: {error}", field="types") from None
        return _Events(Stream(self._streams, exchange), hello(exchange), command)


class _Events:
    """The response: all lines of the subscription, as they come."""

    def __init__(self, stream: Stream, hello: m.Hello, subscribe: m.Subscribe) -> None:
        self._stream = stream
        self._hello = hello
        self._subscribe = subscribe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = Body(send, b"text/event-stream")
        epoch = ""

        async def begin(subscribed: m.Subscribed) -> None:
            nonlocal epoch
            epoch = subscribed.epoch
            await body.start()
            await body.write(b"retry: %d\n" % RETRY_MS + b"".join(_first(subscribed, self._subscribe)))

        async def tell(lines: list[bytes]) -> None:
            await body.write(b"".join(_as_sse(line, epoch) for line in lines))

        try:
            await self._stream.run(self._hello, self._subscribe, LineConsumer(begin, tell))
        except WaggleError as error:
            await refusal(error)(scope, receive, send)
        else:
            await body.end()


def _first(subscribed: m.Subscribed, asked: m.Subscribe) -> Iterator[bytes]:
    """Yield the place of the cursor, unless a replay or a snapshot gives it at its end."""
    if subscribed.reason is not None:
        yield b"data: %b\n\n" % lost_line(subscribed.sub, subscribed.reason)
    elif not subscribed.resumed and not asked.snapshot:
        yield _as_sse(mark_line(subscribed.rev, subscribed.sub), subscribed.epoch)


def _as_sse(line: bytes, epoch: str) -> bytes:
    """Return a line as a Server-Sent Event."""
    fields = _parse(line)
    if fields.more or fields.snapshot or fields.type == "lost":
        return b"data: %b\n\n" % line
    return b"id: %b:%d\ndata: %b\n\n" % (epoch.encode(), fields.rev, line)


def _cursor(text: str) -> dict[str, object]:
    """Return the cursor of an id. An id that is not of this hub becomes a cursor of an unknown epoch."""
    epoch, _, rev = text.rpartition(":")
    if not (rev.isascii() and rev.isdecimal()) or len(rev) > 16:
        return {"epoch": "", "rev": 0}
    return {"epoch": epoch, "rev": int(rev)}
