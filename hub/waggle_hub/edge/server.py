"""The ASGI server: uvicorn, with its WebSocket protocol mended where a stuck agent would be kept for ever.

uvicorn closes a transport that may never drain (an agent that does not read), and then waits for it. Here a keepalive
that fails, and an application that has returned, cut the socket. The door gets the same knife as a scope extension.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from ..settings import Settings
from .websocket import ABORT

_LINGER = 2.0
"""Seconds for the last bytes to leave after the application has returned."""


class Protocol(WebSocketsSansIOProtocol):
    """uvicorn's protocol, that cuts what is stuck."""

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self.transport.abort()

    async def run_asgi(self) -> None:
        extensions: dict[str, Any] = self.scope["extensions"] or {}
        extensions[ABORT] = {"abort": self.transport.abort}
        await super().run_asgi()
        asyncio.get_running_loop().call_later(_LINGER, self.transport.abort)


class Server(uvicorn.Server):
    """uvicorn that drains before it closes connections."""

    def __init__(self, config: uvicorn.Config, drain: Callable[[], Awaitable[None]]) -> None:
        super().__init__(config)
        self._drain = drain

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; a second Ctrl-C stops at once. uvicorn's own would raise the signal again at the end, so that
        an orderly stop would look like a fault."""
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True

    async def shutdown(self, sockets: Any = None) -> None:
        for server in self.servers:
            server.close()
        await self._drain()
        await super().shutdown(sockets)


def make_server(app: Any, settings: Settings, drain: Callable[[], Awaitable[None]]) -> Server:
    """A server for the hub's application."""
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        ws=Protocol,
        ws_max_size=settings.bounds.message,
        ws_ping_interval=settings.bounds.ping,
        ws_ping_timeout=settings.bounds.ping,
        ws_per_message_deflate=False,
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=3,
    )
    return Server(config, drain)
