"""Cross-origin resource sharing (CORS): the headers that let pages of allowed origins use the hub.

Origins are allowed by `--allow-origin`; without that option no header is added. All other origins were refused
before, by `origin_check`.
"""

from __future__ import annotations

from .asgi import App, Message, Receive, Scope, Send

_METHODS = b"GET, HEAD, POST, PUT, DELETE"
_HEADERS = (
    b"authorization, content-type, if-match, if-none-match, last-event-id, x-waggle-agent, x-waggle-ns, "
    b"x-waggle-limit, mcp-protocol-version, mcp-session-id, mcp-method, mcp-name"
)
"""What the doors read, `/mcp` included."""
_MAX_AGE_S = b"600"
"""Seconds for which a browser need not ask again."""


class Cors:
    """Middleware that answers preflight requests, and lets pages of the allowed origins read responses."""

    def __init__(self, app: App, origins: tuple[str, ...]) -> None:
        self._app = app
        self._origins = {origin.rstrip("/").lower().encode() for origin in origins}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._origins:
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        origin = headers.get(b"origin", b"")
        headers_to_add = [(b"vary", b"Origin")]
        if origin.rstrip(b"/").lower() in self._origins:
            headers_to_add += [
                (b"access-control-allow-origin", origin),
                (b"access-control-expose-headers", b"etag, retry-after"),
            ]
            if scope["method"] == "OPTIONS" and b"access-control-request-method" in headers:
                await _answer_preflight(headers_to_add, send)
                return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", []), *headers_to_add]}
            await send(message)

        await self._app(scope, receive, send_with_headers)


async def _answer_preflight(headers_to_add: list[tuple[bytes, bytes]], send: Send) -> None:
    preflight_headers = [
        (b"access-control-allow-methods", _METHODS),
        (b"access-control-allow-headers", _HEADERS),
        (b"access-control-max-age", _MAX_AGE_S),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": [*headers_to_add, *preflight_headers]})
    await send({"type": "http.response.body", "body": b""})
