"""The check of browsers: which of them may call, the same at every door (protocol 10).

A page of another site can make a browser connect here. Its `Origin` header says so, and is refused unless it is this
hub's own or allowed. A name that points at this machine (DNS rebinding) shows in `Host`: only loopback names, plain
addresses and allowed names pass. A picture or a script that a page of another site embeds comes without `Origin`,
and browsers say so in `Sec-Fetch-Site`. A link that a person follows is let in.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.responses import JSONResponse

from waggle.wire.errors import Forbidden

from .asgi import App, Message, Receive, Scope, Send

Headers = Iterable[tuple[bytes, bytes]]

SECURITY_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",
}
"""Headers of every response. The Content-Security-Policy lets a browser load from and connect to this hub alone."""


class OriginCheck:
    """The host names of this hub, and the origins that its owner allowed."""

    def __init__(self, allowed_hosts: Iterable[str], allowed_origins: Iterable[str]) -> None:
        self._hosts = {"localhost", *(host.lower() for host in allowed_hosts)}
        self._origins = {origin.rstrip("/").lower() for origin in allowed_origins}

    def refusal(self, headers: Headers) -> str | None:
        """Return the reason to refuse a request by its headers, or None to let it in."""
        by_name = {name.lower(): value.decode("latin-1") for name, value in headers}
        host = by_name.get(b"host", "")
        if not self._is_own(host):
            return f"host {host!r} is not allowed here: use localhost, an address, or --allow-host"
        origin = by_name.get(b"origin")
        if origin is None:
            return _embedded(by_name)
        if origin.rstrip("/").lower() in self._origins:
            return None
        if _same_origin(origin, host):
            return None
        return f"origin {origin!r} is not allowed here: use --allow-origin"

    def _is_own(self, host: str) -> bool:
        try:
            name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        except ValueError:
            return False
        return name in self._hosts or _is_address(name)


def _embedded(by_name: dict[bytes, str]) -> str | None:
    site, mode = by_name.get(b"sec-fetch-site", ""), by_name.get(b"sec-fetch-mode", "")
    if site in ("cross-site", "same-site") and mode != "navigate":
        return "a page of another site asks for this: use --allow-origin, and let it ask with Origin"
    return None


def _same_origin(origin: str, host: str) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Return whether an address can be reached from this machine alone."""
    if host == "localhost":
        return True
    return _is_address(host) and ipaddress.ip_address(host).is_loopback


class OriginCheckMiddleware:
    """Middleware that refuses requests by their origin and adds the security headers. A WebSocket checks by
    itself."""

    def __init__(self, app: App, origin_check: OriginCheck) -> None:
        self._app = app
        self._origin_check = origin_check
        self._headers = [(name.encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *self._headers]
            await send(message)

        refusal = self._origin_check.refusal(scope["headers"])
        app: App = self._app
        if refusal is not None:
            error = Forbidden(refusal, need="origin")
            app = JSONResponse({"error": error.to_wire()}, status_code=403)
        await app(scope, receive, send_with_headers)
