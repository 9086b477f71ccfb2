"""Runs a hub that differs from the one that people run, as JSON says: other limits and bounds, or another ASGI server.
Arguments after the JSON are options of `waggle serve`."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import hypercorn.asyncio

import waggle_hub.__main__ as program
from waggle_hub.edge.server.uvicorn_server import Server, make_server
from waggle_hub.settings import Bounds, Settings

Drain = Callable[[], Awaitable[None]]


def make_plain(app: Any, settings: Settings, drain: Drain, occupied: Callable[[], bool]) -> Server:
    """Return the hub's own server without the fast path: uvicorn with its own WebSocket protocol."""
    return make_server(app, dataclasses.replace(settings, fast_path=False), drain, occupied)


class Hypercorn:
    """A server that knows nothing of the hub, as somebody would run it who has the application alone."""

    def __init__(self, app: Any, settings: Settings, drain: Drain, occupied: Callable[[], bool]) -> None:
        self._app = app
        self._drain = drain
        self._told = asyncio.Event()
        self._config = hypercorn.Config()
        self._config.errorlog = self._config.accesslog = None
        self._config.websocket_max_message_size = settings.bounds.message
        self._config.websocket_ping_interval = settings.bounds.ping
        self._config.graceful_timeout = 1.0

    async def serve(self, sockets: list[socket.socket]) -> None:
        (listener,) = sockets
        self._config.bind = [f"fd://{listener.detach()}"]
        for by in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(by, self._told.set)
        await hypercorn.asyncio.serve(self._app, self._config, shutdown_trigger=self._stop)

    async def _stop(self) -> None:
        await self._told.wait()
        await self._drain()
        # What it waits for, it cancels, and then complains of that.
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)


SERVERS: dict[str, Any] = {"fast": make_server, "plain": make_plain, "hypercorn": Hypercorn}

if __name__ == "__main__":
    chosen = json.loads(sys.argv[1])
    setattr(program, "make_server", SERVERS[chosen["server"]])  # noqa: B010 - mypy minds an assignment
    sys.exit(program.main(sys.argv[2:], Bounds(**chosen["bounds"]), **chosen["limits"]))
