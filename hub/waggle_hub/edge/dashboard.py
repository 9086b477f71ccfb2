"""The dashboard's files, and the headers of every HTTP response.

Everything is static and comes from this hub alone: the Content-Security-Policy lets a browser load and connect to
nothing else, and run nothing that is written into the page.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from starlette.responses import JSONResponse
from starlette.staticfiles import StaticFiles

from waggle.wire.errors import Forbidden

from .origin_check import Guard

Message = MutableMapping[str, Any]
App = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]

HEADERS = {
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


def web_directory() -> Path:
    """Return the directory of the dashboard: inside the package when installed, at the top of a checkout otherwise."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "web"
    return installed if installed.is_dir() else package.parent.parent / "web"


def static_files() -> StaticFiles:
    """Return the app that serves the dashboard and its modules."""
    return StaticFiles(directory=web_directory(), html=True)


class OriginCheckMiddleware:
    """Lets in whom the guard lets in, and puts the headers on every answer. WebSockets guard themselves."""

    def __init__(self, app: App, guard: Guard) -> None:
        self._app = app
        self._guard = guard
        self._headers = [(name.encode(), value.encode()) for name, value in HEADERS.items()]

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *self._headers]
            await send(message)

        refusal = self._guard.refusal(scope["headers"])
        app: App = self._app
        if refusal is not None:
            error = Forbidden(refusal, need="origin")
            app = JSONResponse({"error": error.to_wire()}, status_code=403)
        await app(scope, receive, send_with_headers)
