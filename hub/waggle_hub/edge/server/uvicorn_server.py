"""The ASGI server: uvicorn, with a WebSocket protocol of the hub's own, that drains before it closes connections, and
stops by itself where it was started to stop when it is not needed any more."""

from __future__ import annotations

import signal
import time
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any

import uvicorn

from waggle_hub.settings import Settings

from .uvicorn_fast_path import FastPathProtocol
from .uvicorn_http import HttpProtocol
from .uvicorn_websocket import Protocol


class Server(uvicorn.Server):
    """A uvicorn server that asks all agents to come back later before it closes their connections."""

    def __init__(
        self,
        config: uvicorn.Config,
        drain: Callable[[], Awaitable[None]],
        occupied: Callable[[], bool],
        idle: float | None,
    ) -> None:
        super().__init__(config)
        self._drain = drain
        self._occupied, self._idle = occupied, idle
        self._needed_at = time.monotonic()

    async def on_tick(self, counter: int) -> bool:
        """Return whether to stop. Called ten times a second."""
        if self._idle is not None:
            now = time.monotonic()
            if self.server_state.connections or self._occupied():
                self._needed_at = now
            elif now - self._needed_at > self._idle:
                return True
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; a second Ctrl-C stops at once. uvicorn's own handler would raise the signal again at the
        end, so that an orderly stop would look like a fault."""
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True

    async def shutdown(self, sockets: Any = None) -> None:
        for server in self.servers:
            server.close()
        await self._drain()
        await super().shutdown(sockets)


def make_server(
    app: Any, settings: Settings, drain: Callable[[], Awaitable[None]], occupied: Callable[[], bool]
) -> Server:
    """Make the server of the hub's application. `occupied` tells whether any agent has a session."""

    class Http(HttpProtocol):
        bounds = settings.bounds

    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=Http,
        ws=FastPathProtocol if settings.fast_path else Protocol,
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
    return Server(config, drain, occupied, settings.idle)
