"""The dashboard's files, and the security headers of every response.

All files are static and come from this hub alone. The Content-Security-Policy lets a browser load from and connect
to nothing else, and run no script that is written into a page.
"""

from __future__ import annotations

from pathlib import Path

from starlette.responses import JSONResponse
from starlette.staticfiles import StaticFiles

from waggle.wire.errors import Forbidden

from .asgi import App, Message, Receive, Scope, Send
from .origin_check import OriginCheck

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
    """Return the directory of the dashboard's files: in the package when installed, else at the top of the
    checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "web"
    return installed if installed.is_dir() else package.parent.parent / "web"


def static_files() -> StaticFiles:
    """Make the application that serves the dashboard's files."""
    return StaticFiles(directory=web_directory(), html=True)


class OriginCheckMiddleware:
    """Middleware that refuses requests by `origin_check` and adds the security headers. A WebSocket checks by
    itself."""

    def __init__(self, app: App, origin_check: OriginCheck) -> None:
        self._app = app
        self._origin_check = origin_check
        self._headers = [(name.encode(), value.encode()) for name, value in HEADERS.items()]

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
