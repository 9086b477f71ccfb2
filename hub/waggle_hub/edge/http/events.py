"""Server-Sent Events: a subscription that a browser's EventSource, or curl, reads (protocol 5, 10).

Rules:
1. The data of each is an event as it stands on the wire. Its `id` is `epoch:rev`, the cursor after it; what does not
   move the cursor (a snapshot, all but the last of a revision) has none. So whoever comes back with the last id it
   heard of (`Last-Event-ID`) misses nothing, and hears nothing twice.
2. The first is a `mark` that says where the cursor stands; or, where a subscription cannot go on from the id, `lost`
   with the reason, and the snapshot that takes its place.
3. An idle stream hears a `mark` now and then. A slow one is refilled from the log; one too slow for that ends, as all
   do when the hub stops: EventSource comes back by itself.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from msgspec import Struct, field

from waggle.wire import messages as m
from waggle.wire.errors import BadRequest, WaggleError
from waggle_hub.delivery.encoding import lost_line, mark_line

from .exchange import App, Exchange, Receive, Scope, Send
from .internal_subscription import Teller, subscribe
from .status_codes import refusal
from .stream import Body, Stream, Streams, hello

RETRY = 2_000
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


class _Moves(Struct):
    """What of a line says whether it moves the cursor."""

    type: str
    rev: int = 0
    more: bool = False
    snapshot: bool = False


_look = msgspec.json.Decoder(_Moves).decode


class EventStream:
    """`GET /v1/events`."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams

    async def events(self, exchange: Exchange) -> App:
        """The stream that is asked for."""
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
    """The answer: all that is told, as it comes."""

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
            await body.write(b"retry: %d\n" % RETRY + b"".join(_first(subscribed, self._subscribe)))

        async def tell(lines: list[bytes]) -> None:
            await body.write(b"".join(_shown(line, epoch) for line in lines))

        try:
            await self._stream.run(self._hello, self._subscribe, Teller(begin, tell))
        except WaggleError as error:
            await refusal(error)(scope, receive, send)
        else:
            await body.end()


def _first(subscribed: m.Subscribed, asked: m.Subscribe) -> Iterator[bytes]:
    """Where the cursor stands, unless a replay or a snapshot says so at its end."""
    if subscribed.reason is not None:
        yield b"data: %b\n\n" % lost_line(subscribed.sub, subscribed.reason)
    elif not subscribed.resumed and not asked.snapshot:
        yield _shown(mark_line(subscribed.rev, subscribed.sub), subscribed.epoch)


def _shown(line: bytes, epoch: str) -> bytes:
    """A line as an event of the stream."""
    seen = _look(line)
    if seen.more or seen.snapshot or seen.type == "lost":
        return b"data: %b\n\n" % line
    return b"id: %b:%d\ndata: %b\n\n" % (epoch.encode(), seen.rev, line)


def _cursor(text: str) -> dict[str, object]:
    """The cursor that an id means. One that is no id of this hub is of no epoch that is known here."""
    epoch, _, rev = text.rpartition(":")
    if not (rev.isascii() and rev.isdecimal()) or len(rev) > 16:
        return {"epoch": "", "rev": 0}
    return {"epoch": epoch, "rev": int(rev)}
