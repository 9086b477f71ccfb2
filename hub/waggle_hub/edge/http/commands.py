"""Single commands over HTTP (protocol 10): `/v1/{op}` takes any command that needs no connection, `/v1/keys` is the
same in HTTP's own terms, where the ETag of an entry is its revision.

The machine decides what a command means, `calls` who gives it; here is how it is written in HTTP.
"""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, structs
from starlette.responses import Response

from waggle.wire import messages as m
from waggle.wire.errors import BadRequest, Conflict, NotFound
from waggle.wire.json import encode
from waggle_hub.edge.asgi import App
from waggle_hub.edge.identity import identify

from .calls import Call, CallRegistry, HttpCaller
from .exchange import Exchange, Gone
from .status_codes import JSON

OPS: dict[str, type[m.Command]] = {
    op: command
    for op, command in m.OPS.items()
    if command not in (m.Hello, m.Bye, m.Subscribe, m.Unsubscribe)  # these are about a connection
}
"""The commands that can be called, by op."""

_MAY_WAIT = m.Lock | m.Take | m.Wait | m.Backup | m.Search
"""What may take its time, or grants what must not be granted to nobody."""


class OpQuery(Struct, forbid_unknown_fields=True):
    """Query parameters of `POST /v1/{op}`: the namespace of the call, unless its fields name one."""

    ns: str | None = None


class GetQuery(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Query parameters of `GET /v1/keys/{key}`."""

    ns: str | None = None
    fresh: bool = False


class PutQuery(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Query parameters of `PUT /v1/keys/{key}`: those of `set`, `guard` the token."""

    ns: str | None = None
    ttl: float | None = None
    keep_ttl: bool = False
    kind: m.Kind = "persistent"
    ephemeral: bool = False
    rid: str | None = None
    guard: int | UnsetType = UNSET


class DeleteQuery(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Query parameters of `DELETE /v1/keys/{key}`: those of `delete`, `guard` the token."""

    ns: str | None = None
    rid: str | None = None
    guard: int | UnsetType = UNSET


class ListQuery(Struct, forbid_unknown_fields=True):
    """Query parameters of `GET /v1/keys`: those of `list`."""

    pattern: str = "*"
    ns: str | None = None
    limit: int = 100
    after: str | None = None
    values: bool = True
    fresh: bool = False


class _Rev(Struct):
    rev: int


class _Found(Struct):
    entry: _Rev | None


class _Branch(Struct):
    done: Literal["then", "else"]
    results: list[dict[str, Any]]
    dup: bool = False


_read_rev = msgspec.json.Decoder(_Rev).decode
_read_found = msgspec.json.Decoder(_Found).decode
_read_branch = msgspec.json.Decoder(_Branch).decode
_read_raw = msgspec.json.Decoder(Raw).decode


class HttpCommands:
    """The handlers of commands and keys. `limit` is the number of bytes that a body may have."""

    def __init__(self, registry: CallRegistry, limit: int) -> None:
        self._registry = registry
        self._limit = limit

    def caller(self, exchange: Exchange, ns: str | None = None) -> HttpCaller:
        """Return the caller of a request."""
        identity = identify(exchange)
        return self._registry.caller(identity if ns is None else identity._replace(ns=ns))

    async def call(self, exchange: Exchange) -> App:
        """Handle `POST /v1/{op}`: the body holds the fields, the response is the `ok`."""
        op = exchange.path_after("/v1/")
        command = OPS.get(op)
        if command is None:
            raise NotFound(f"there is no op {op!r} to call; there are {', '.join(sorted(OPS))}")
        if issubclass(command, m.Change | m.Cancel | m.Backup):
            exchange.check_json()
        ns = exchange.query(OpQuery).ns
        body = await exchange.body(self._limit)
        call = self.caller(exchange, ns).begin(op, body if body.strip() else b"{}")
        return _json(await _answer(exchange, call))

    # --- keys ---

    async def list(self, exchange: Exchange) -> App:
        """Handle `GET /v1/keys`: a page of entries."""
        return _json(await self.caller(exchange).ask("list", encode(exchange.query(ListQuery))))

    async def get(self, exchange: Exchange) -> App:
        """Handle `GET /v1/keys/{key}`: the entry, or 304 if the client has it already."""
        key = exchange.path_after("/v1/keys/")
        query = structs.asdict(exchange.query(GetQuery))
        ok = await self.caller(exchange).ask("get", encode({"key": key, **query}))
        entry = _read_found(ok).entry
        if entry is None:
            raise NotFound(f"there is no entry {key!r}")
        etag = _etag(entry.rev)
        known_etags = exchange.header("if-none-match")
        if known_etags is not None and (
            known_etags.strip() == "*" or etag in [tag.strip().removeprefix("W/") for tag in known_etags.split(",")]
        ):
            return Response(status_code=304, headers={"etag": etag})
        return _json(ok, etag)

    async def put(self, exchange: Exchange) -> App:
        """Handle `PUT /v1/keys/{key}`: the body is the value."""
        exchange.check_json()
        query = exchange.query(PutQuery)
        body = await exchange.body(self._limit)
        try:
            value = _read_raw(body)
        except (msgspec.DecodeError, RecursionError) as error:
            raise BadRequest(f"the body is the value, as JSON: {error}", field="value") from None
        fields = {"key": exchange.path_after("/v1/keys/"), "value": value, **_fields(query)}
        ok = await self._write(exchange, "set", fields)
        return _json(ok, _etag(_read_rev(ok).rev))

    async def delete(self, exchange: Exchange) -> App:
        """Handle `DELETE /v1/keys/{key}`: the response says whether there was an entry."""
        query = exchange.query(DeleteQuery)
        fields = {"key": exchange.path_after("/v1/keys/"), **_fields(query)}
        return _json(await self._write(exchange, "delete", fields))

    async def _write(self, exchange: Exchange, op: str, fields: dict[str, Any]) -> bytes:
        """Write or delete under the condition of the If-Match or If-None-Match header."""
        caller = self.caller(exchange)
        if_match, if_none_match = exchange.header("if-match"), exchange.header("if-none-match")
        if if_match is not None and if_none_match is not None:
            raise BadRequest("If-Match and If-None-Match exclude each other: give one", field="if-match")
        if if_match is not None and if_match.strip() == "*":
            return await _write_over(caller, op, fields)
        if if_match is not None:
            fields["if_rev"] = _rev_of(if_match)
        elif if_none_match is not None:
            if if_none_match.strip() != "*":
                raise BadRequest("a write takes If-None-Match: *, or If-Match with the ETag", field="if-none-match")
            fields["if_rev"] = 0
        return await caller.ask(op, encode(fields))


async def _write_over(caller: HttpCaller, op: str, fields: dict[str, Any]) -> bytes:
    """Write or delete under the condition that the entry exists."""
    where = {name: fields[name] for name in ("key", "ns") if name in fields}
    rid = fields.pop("rid", None)
    txn: dict[str, Any] = {"if": [{**where, "exists": True}], "then": [{"op": op, **fields}], "rid": rid}
    branch = _read_branch(await caller.ask("txn", encode(txn)))
    expected = {"then": [set(m.REPLIES[OPS[op]].__struct_encode_fields__)], "else": []}
    if [set(result) for result in branch.results] != expected[branch.done]:
        raise BadRequest("this rid was that of another txn: choose a new one", field="rid")
    if branch.done == "else":
        raise Conflict("expected an entry, but there is none: decide again", current=None)
    return encode({**branch.results[0], "dup": True} if branch.dup else branch.results[0])


async def _answer(exchange: Exchange, call: Call) -> bytes:
    """Wait for the `ok` of a call; a call that may take long is dropped when its client disconnects."""
    if not isinstance(call.command, _MAY_WAIT):
        return await call.reply
    gone = asyncio.ensure_future(exchange.gone())
    either: set[asyncio.Future[Any]] = {call.reply, gone}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if gone.done():
            call.cancel_or_release()
            raise Gone
        return call.reply.result()
    except asyncio.CancelledError:
        call.cancel_or_release()
        raise
    finally:
        gone.cancel()


def _json(ok: bytes, etag: str | None = None) -> Response:
    return Response(ok, headers=None if etag is None else {"etag": etag}, media_type=JSON)


def _fields(query: PutQuery | DeleteQuery) -> dict[str, Any]:
    """Return the fields of the command that these parameters stand for."""
    fields: dict[str, Any] = msgspec.to_builtins(query)
    if "guard" in fields:
        fields["guard"] = {"token": fields["guard"]}
    return fields


def _etag(rev: int) -> str:
    return f'"{rev}"'


def _rev_of(etag: str) -> int:
    digits = etag.strip().strip('"')
    if not digits.isascii() or not digits.isdecimal() or len(digits) > 18:
        raise BadRequest(f"If-Match takes the ETag of the entry, one revision: {etag!r} is none", field="if-match")
    return int(digits)
