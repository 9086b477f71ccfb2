"""An exchange: one request over HTTP and its answer, with what all routes have in common (protocol 10).

Rules:
1. Every answer is JSON, also that something went wrong; but for those that say otherwise themselves.
2. A body is read when it is wanted, and no further than it may be long.
3. A write says that its body is JSON: no form of another site can say so unasked.
4. Query parameters are fields of a struct; one that is not known or comes twice is refused, not overlooked.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote_to_bytes

import msgspec
from msgspec import Struct, structs
from starlette.exceptions import HTTPException
from starlette.responses import Response

from waggle.wire.errors import BadRequest, NotFound, TooLarge, WaggleError
from waggle_hub.faults import report_fault

from .status_codes import refusal

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
S = TypeVar("S", bound=Struct)

AGENT = "x-waggle-agent"
"""The header by which a caller says who it is."""
_PARAMETERS = 1_000
"""Query parameters that are looked at."""


class Gone(Exception):
    """Whoever asked has gone: nobody is to be answered."""


class Exchange:
    """One request."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self.receive = receive

    def header(self, name: str) -> str | None:
        """A header, None if it is not there. Raises BadRequest if it comes twice, or is no UTF-8."""
        found = [value for given, value in self.scope["headers"] if given == name.encode()]
        if len(found) > 1:
            raise BadRequest(f"the header {name} comes twice", field=name)
        try:
            return found[0].decode() if found else None
        except UnicodeDecodeError:
            raise BadRequest(f"the header {name} is not UTF-8", field=name) from None

    @property
    def agent(self) -> str | None:
        """Who asks."""
        return self.header(AGENT)

    def path_after(self, prefix: str) -> str:
        """What follows in the path, its percent-encoding undone. Raises NotFound if the prefix is not what precedes: an
        encoded slash separates nothing."""
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
        """The query parameters; a field that is a list may come several times."""
        lists = {field.encode_name for field in structs.fields(type) if field.type in (list[str], list[str] | None)}
        found: dict[str, Any] = {}
        for name, value in self._parameters():
            if name in lists:
                found.setdefault(name, []).append(value)
            elif name in found:
                raise BadRequest(f"{name} comes twice", field=name)
            else:
                found[name] = value
        try:
            query = msgspec.convert(found, type, strict=False)
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
            return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_PARAMETERS)
        except ValueError as error:
            raise BadRequest(f"the query is not UTF-8, or too long: {error}") from None

    def check_json(self, *types: str) -> None:
        """BadRequest unless the body is said to be JSON, or one of these types."""
        given = (self.header("content-type") or "").partition(";")[0].strip().lower()
        if given not in ("application/json", *types):
            raise BadRequest(f"a write needs Content-Type: application/json, not {given!r}", field="content-type")

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes."""
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
        """The whole body. Raises TooLarge if it is longer than `limit` bytes."""
        said = self.header("content-length") or ""
        if said.isdecimal() and (len(said) > 18 or int(said) > limit):
            raise TooLarge(f"the body has {said} bytes, the limit is {limit}", limit=limit)
        parts: list[bytes] = []
        size = 0
        async for chunk in self.chunks():
            size += len(chunk)
            if size > limit:
                raise TooLarge(f"the body has more than {limit} bytes", limit=limit)
            parts.append(chunk)
        return b"".join(parts)

    async def gone(self) -> None:
        """Return when whoever asked has gone. Not before the body was read."""
        while (await self.receive())["type"] != "http.disconnect":
            pass


def _field(said: str) -> str | None:
    parts = said.split("`")
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
        """All that are answered."""
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
    """The answer to a method that a path does not have."""
    allowed = ", ".join(methods)
    return refusal(BadRequest(f"this path takes {allowed}", field="method"), 405, {"allow": allowed})


async def refused(request: object, error: Exception) -> Response:
    """The answer to what starlette refuses, for whom paths lead elsewhere."""
    assert isinstance(error, HTTPException)
    code = NotFound if error.status_code == 404 else BadRequest
    return refusal(code(error.detail), error.status_code, dict(error.headers or {}))


async def no_such_path(exchange: Exchange) -> App:
    """Nothing is here."""
    raise NotFound("there is no such path: /openapi.json tells of all there are")


def _headless(send: Send) -> Send:
    """Send all but the body."""

    async def send_head(message: Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return send_head
