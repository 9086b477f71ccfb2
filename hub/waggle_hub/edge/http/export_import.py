"""Export and import over HTTP: entries as JSON lines, the file of `waggle export` and `waggle import` (protocol
10).

Rules:
1. An export is a snapshot: all entries as they were at the revision in its first line. It is sent as it is read, so
   that line cannot say how many entries follow; a broken response shows as such in HTTP.
2. An import is written in batches, each of them a `txn`, as the caller that asked. A body that fits into one message
   is checked whole before anything is written; of a longer body, each batch is checked before it is written.
3. Memory is bounded in both directions: a slice of the snapshot, one message of lines. Lines are checked in slices
   of a few milliseconds; other connections get their turn in between.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType
from starlette.responses import Response

from waggle.wire import messages as m
from waggle.wire.errors import BadRequest, Conflict, TooLarge, WaggleError
from waggle.wire.export_lines import VERSION, ExportLine, Header
from waggle.wire.exports import batches, read_header, read_line, set_step
from waggle.wire.json import decode, encode
from waggle.wire.names import check_key, check_ns
from waggle_hub.edge.asgi import App, Receive, Scope, Send
from waggle_hub.edge.identity import identify
from waggle_hub.settings import Bounds, Limits
from waggle_hub.state.store.json_values import encode_value

from .calls import CallRegistry, HttpCaller
from .exchange import Exchange
from .internal_subscription import LineConsumer, subscribe
from .status_codes import JSON, refusal
from .stream import Body, Stream, Streams, hello

NDJSON = "application/x-ndjson"
_LINE_OVERHEAD_BYTES = 400
"""What a line takes in memory beside its text."""


class ExportQuery(Struct, forbid_unknown_fields=True):
    """Query parameters of `GET /v1/export`: which entries; those of every namespace if none is named."""

    pattern: str = "*"
    ns: str = "*"


class ImportQuery(Struct, forbid_unknown_fields=True):
    """Query parameters of `POST /v1/import`: the namespace for all entries, and what to do about keys that exist."""

    ns: str | None = None
    overwrite: bool = False
    skip_existing: bool = False


class Imported(Struct):
    """The counts of an import: `skipped` entries existed already, `expired` entries had passed their deadline."""

    written: int = 0
    skipped: int = 0
    expired: int = 0


class _SnapshotLine(Struct):
    """The parsed line of a snapshot."""

    type: str
    ns: str = ""
    key: str = ""
    value: Raw = Raw(b"null")
    kind: m.Kind = "persistent"
    meta: Raw | UnsetType = UNSET
    expires_at: float | None = None


_parse = msgspec.json.Decoder(_SnapshotLine).decode


class ExportImport:
    """The handlers of `GET /v1/export` and `POST /v1/import`."""

    def __init__(self, streams: Streams, callers: CallRegistry, bounds: Bounds, limits: Limits) -> None:
        self._streams = streams
        self._callers = callers
        self._bounds = bounds
        self._limits = limits

    async def export(self, exchange: Exchange) -> App:
        """Handle `GET /v1/export`."""
        query = exchange.query(ExportQuery)
        command = subscribe([query.pattern], ns=query.ns, types=["set"], snapshot=True)
        return _Export(Stream(self._streams, exchange), hello(exchange), command)

    async def import_(self, exchange: Exchange) -> App:
        """Handle `POST /v1/import`: write the entries of the body and respond with the counts."""
        exchange.check_json(NDJSON, "application/jsonl")
        query = exchange.query(ImportQuery)
        if query.overwrite and query.skip_existing:
            raise BadRequest("say overwrite or skip_existing, not both", field="overwrite")
        caller = self._callers.caller(identify(exchange))
        ahead = (decode(await caller.ask("ping", b"{}")))["at"] - time.monotonic()
        writer = _BatchWriter(caller, query, ahead)
        batch_lines: list[ExportLine] = []
        size = 0
        async for line, length in self._entries(exchange, query.ns, writer):
            batch_lines.append(line)
            size += length + _LINE_OVERHEAD_BYTES
            if size > self._bounds.message:
                await writer.write(batch_lines)
                batch_lines, size = [], 0
        await writer.write(batch_lines)
        return Response(encode(writer.result), media_type=JSON)

    async def _entries(
        self, exchange: Exchange, ns: str | None, writer: _BatchWriter
    ) -> AsyncIterator[tuple[ExportLine, int]]:
        """Yield the entries of the body with their lengths, each checked by itself. Raises BadRequest with the line
        number."""
        number = 0
        until = time.monotonic() + self._bounds.slice
        async for text in self._lines(exchange):
            number += 1
            if time.monotonic() > until:
                await asyncio.sleep(0)
                until = time.monotonic() + self._bounds.slice
            if number > 1 and not text.strip():
                continue
            try:
                if number == 1:
                    read_header(text)
                    continue
                line = read_line(text, ns)
                self._check(line)
            except (msgspec.MsgspecError, UnicodeError, RecursionError, WaggleError) as error:
                what = "this is not the beginning of an export: " if number == 1 else ""
                raise writer.stopped(BadRequest(f"line {number}: {what}{error}", field="body", line=number)) from None
            yield line, len(text)
        if not number:
            raise BadRequest("the body is empty: an import begins with the header of an export", field="body")

    async def _lines(self, exchange: Exchange) -> AsyncIterator[bytes]:
        """Yield the lines of the body. Raises TooLarge if one is longer than a message may be."""
        limit = self._bounds.message
        rest = bytearray()
        async for chunk in exchange.chunks():
            searched = len(rest)
            rest += chunk
            start = 0
            while (end := rest.find(b"\n", max(start, searched))) >= 0:
                yield bytes(rest[start:end])
                start = end + 1
            del rest[:start]
            if len(rest) > limit:
                raise TooLarge(f"a line has more than {limit} bytes", limit=limit)
        if rest:
            yield bytes(rest)

    def _check(self, line: ExportLine) -> None:
        """Raise the error that the hub would refuse this entry with, as far as the line alone can tell."""
        check_ns(line.place[0])
        check_key(line.key)
        encode_value(decode(line.value), "value", limit=self._limits.value, depth=self._limits.depth)
        if line.meta is not None:
            encode_value(line.meta, "meta", limit=self._limits.meta, depth=self._limits.depth)


class _Export:
    """The response of an export: the header line, and the entries as they are read."""

    def __init__(self, stream: Stream, hello: m.Hello, subscribe: m.Subscribe) -> None:
        self._stream = stream
        self._hello = hello
        self._subscribe = subscribe
        self._complete = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = Body(send, NDJSON.encode())

        async def begin(subscribed: m.Subscribed) -> None:
            header = Header(waggle="export", version=VERSION, epoch=subscribed.epoch, rev=subscribed.rev)
            await body.start()
            await body.write(encode(header) + b"\n")

        async def tell(lines: list[bytes]) -> None:
            await body.write(b"".join(self._file_lines(lines)))

        try:
            await self._stream.run(self._hello, self._subscribe, LineConsumer(begin, tell))
        except WaggleError as error:
            await refusal(error)(scope, receive, send)
            return
        if self._complete:
            await body.end()
        else:
            await self._stream.break_off()

    def _file_lines(self, lines: list[bytes]) -> list[bytes]:
        """Return the entries of these lines as file lines; `synced` ends the export."""
        file_lines = []
        for line in map(_parse, lines):
            if line.type != "set":
                self._complete = self._complete or line.type == "synced"
                self._stream.stop()
                break
            fields: dict[str, Any] = {"ns": line.ns, "key": line.key, "value": line.value}
            if line.kind != "persistent":
                fields["kind"] = line.kind
            if not isinstance(line.meta, UnsetType):
                fields["meta"] = line.meta
            if line.expires_at is not None:
                fields["expires_at"] = line.expires_at
            file_lines.append(encode(fields) + b"\n")
        return file_lines


class _BatchWriter:
    """The writer of batches; `ahead` is how far the hub's time is ahead of the monotonic clock."""

    def __init__(self, caller: HttpCaller, query: ImportQuery, ahead: float) -> None:
        self.result = Imported()
        self._caller = caller
        self._query = query
        self._ahead = ahead

    async def write(self, lines: list[ExportLine]) -> None:
        """Write these lines in as many batches as needed."""
        for batch in batches(lines):
            await self._write(batch)

    async def _write(self, batch: list[ExportLine]) -> None:
        """Write the entries of a batch that have not expired, all or nothing."""
        while batch:
            now = time.monotonic() + self._ahead
            rest = [line for line in batch if line.expires_at is None or line.expires_at > now]
            self.result.expired += len(batch) - len(rest)
            if not rest:
                return
            try:
                steps = [set_step(line, now, overwrite=self._query.overwrite) for line in rest]
                await self._caller.ask("txn", encode({"if": [], "then": steps}))
            except Conflict as conflict:
                if not self._query.skip_existing:
                    raise self.stopped(conflict, rest) from None
                index = conflict.details["index"]
                self.result.skipped += 1
                batch = rest[:index] + rest[index + 1 :]
            except WaggleError as error:
                raise self.stopped(error, rest) from None
            else:
                self.result.written += len(rest)
                return

    def stopped(self, error: WaggleError, batch: list[ExportLine] | None = None) -> WaggleError:
        """Return the error with the place where the import stopped and how to go on."""
        where = ""
        if batch is not None and "index" in error.details:
            ns, key = batch[error.details["index"]].place
            where = f"{key!r} in namespace {ns!r}: "
        done = f"{self.result.written} were written up to there" if self.result.written else "nothing was written"
        again = "overwrite" if self._query.overwrite else "skip_existing"
        error.message = f"{where}{error.message.rstrip('.')}. {done.capitalize()}; {again}=true goes on from there."
        error.details["written"] = self.result.written
        return error
