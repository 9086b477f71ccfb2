"""An exchange: one HTTP request and its response, with what all routes have in common (protocol 10).

Rules:
1. Every response is JSON, errors included, except where a route says otherwise.
2. A body is read when a handler wants it, and no further than its limit.
3. A write must declare its body as JSON: a form of another site cannot do that without permission.
4. Query parameters are fields of a struct. An unknown or repeated parameter is refused, not ignored.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote_to_bytes

import msgspec
from msgspec import Struct, structs
from starlette.exceptions import HTTPException
from starlette.responses import Response

from waggle.wire.errors import BadRequest, NotFound, TooLarge, WaggleError
from waggle_hub.edge.asgi import App, Message, Receive, Scope, Send
from waggle_hub.faults import report_fault

from .status_codes import refusal

S = TypeVar("S", bound=Struct)

_MAX_PARAMETERS = 1_000
"""Query parameters that are looked at."""


class Gone(Exception):
    """The client has disconnected: there is nothing left to answer."""


class Exchange:
    """One request, with the checks that all routes share."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self.receive = receive

    def header(self, name: str) -> str | None:
        """Return a header, or None without it. Raises BadRequest if it comes twice or is not UTF-8."""
        values = [value for given, value in self.scope["headers"] if given == name.encode()]
        if len(values) > 1:
            raise BadRequest(f"the header {name} comes twice", field=name)
        try:
            return values[0].decode() if values else None
        except UnicodeDecodeError:
            raise BadRequest(f"the header {name} is not UTF-8", field=name) from None

    def path_after(self, prefix: str) -> str:
        """Return the rest of the path, percent-decoded. Raises NotFound if the path does not begin with the prefix
        as written: an encoded slash does not separate."""
        raw = self.scope.get("raw_path") or self.scope["path"].encode()
        path = raw.partition(b"?")[0].removeprefix(self.scope.get("root_path", "").encode())
        *before, tail = path.split(b"/", prefix.count("/"))
        if unquote_to_bytes(b"/".join([*before, b""])) != prefix.encode():
            raise NotFound(f"there is no such path: write {prefix} as it is, and percent-encode what follows")
        try:
            return unquote_to_bytes(tail).decode()
        except UnicodeDecodeError:
            raise BadRequest("the path is not UTF-8: percent-encode each byte of it", field="key") from None

    def query(self, type: type[S]) -> S:
        """Return the query parameters; a field of a list type may come several times. Raises BadRequest."""
        lists = {field.encode_name for field in structs.fields(type) if field.type in (list[str], list[str] | None)}
        values: dict[str, Any] = {}
        for name, value in self._parameters():
            if name in lists:
                values.setdefault(name, []).append(value)
            elif name in values:
                raise BadRequest(f"{name} comes twice", field=name)
            else:
                values[name] = value
        try:
            query = msgspec.convert(values, type, strict=False)
        except msgspec.ValidationError as error:
            names = ", ".join(type.__struct_encode_fields__)
            raise BadRequest(f"query parameters: {error}: there are {names}", field=_field(str(error))) from None
        for name, value in structs.asdict(query).items():
            if isinstance(value, float) and not math.isfinite(value):
                raise BadRequest(f"{name} is a number", field=name)
        return query

    def _parameters(self) -> list[tuple[str, str]]:
        try:
            text = self.scope["query_string"].decode()
            return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_MAX_PARAMETERS)
        except ValueError as error:
            raise BadRequest(f"the query is not UTF-8, or too long: {error}") from None

    def check_json(self, *types: str) -> None:
        """Raise BadRequest unless Content-Type is JSON or one of these types."""
        given = (self.header("content-type") or "").partition(";")[0].strip().lower()
        if given not in ("application/json", *types):
            raise BadRequest(f"a write needs Content-Type: application/json, not {given!r}", field="content-type")

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives. Raises Gone."""
        if self.header("content-encoding") not in (None, "", "identity"):
            raise BadRequest("a body is sent as it is: leave out Content-Encoding", field="content-encoding")
        more = True
        while more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise Gone
            yield message.get("body", b"")
            more = message.get("more_body", False)

    async def body(self, limit: int) -> bytes:
        """Return the whole body. Raises TooLarge if it is longer than `limit` bytes."""
        length = self.header("content-length") or ""
        if length.isdecimal() and (len(length) > 18 or int(length) > limit):
            raise TooLarge(f"the body has {length} bytes, the limit is {limit}", limit=limit)
        parts: list[bytes] = []
        size = 0
        async for chunk in self.chunks():
            size += len(chunk)
            if size > limit:
                raise TooLarge(f"the body has more than {limit} bytes", limit=limit)
            parts.append(chunk)
        return b"".join(parts)

    async def gone(self) -> None:
        """Return when the client has disconnected. Only after the body was read."""
        while (await self.receive())["type"] != "http.disconnect":
            pass


def _field(message: str) -> str | None:
    parts = message.split("`")
    return parts[-2].removeprefix("$.").partition("[")[0] if len(parts) > 2 else None


Handler = Callable[[Exchange], Awaitable[App]]
"""Gives the answer, an application itself. Raises a WaggleError, or Gone."""


class Endpoint:
    """The ASGI application of one path: a handler for each method."""

    def __init__(self, handlers: Mapping[str, Handler], *, head: bool = True) -> None:
        self.handlers = handlers
        self._head = head
        """Whether HEAD gives what GET does, without its body: not where that has no end."""

    @property
    def methods(self) -> list[str]:
        """The methods that are answered."""
        head = ["HEAD"] if self._head and "GET" in self.handlers else []
        return sorted([*self.handlers, *head])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope["method"]
        handler = self.handlers.get("GET" if method == "HEAD" and self._head else method)
        if handler is None:
            answer: App = wrong_method(self.methods)
        else:
            try:
                answer = await handler(Exchange(scope, receive))
            except Gone:
                return
            except WaggleError as error:
                answer = refusal(error)
            except Exception:
                answer = refusal(report_fault(f"{scope['method']} {scope['path']}"))
        await answer(scope, receive, _headless(send) if method == "HEAD" else send)


def wrong_method(methods: Iterable[str]) -> Response:
    """Make the response to a method that a path does not have."""
    allowed = ", ".join(methods)
    return refusal(BadRequest(f"this path takes {allowed}", field="method"), 405, {"allow": allowed})


async def refused(request: object, error: Exception) -> Response:
    """Make the response for an error of starlette's, such as a path that is not routed."""
    assert isinstance(error, HTTPException)
    code = NotFound if error.status_code == 404 else BadRequest
    return refusal(code(error.detail), error.status_code, dict(error.headers or {}))


async def no_such_path(exchange: Exchange) -> App:
    """Raise NotFound: no route has this path."""
    raise NotFound("there is no such path: /openapi.json tells of all there are")


def _headless(send: Send) -> Send:
    """Return a send function that leaves out the body."""

    async def send_head(message: Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return send_head
