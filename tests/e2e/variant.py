"""Runs a hub that is not as people run it, as JSON says: with other limits and bounds, without the fast lane, or under
another ASGI server."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
from typing import Any

import hypercorn.asyncio
import uvloop

from waggle_hub.app import Hub, build
from waggle_hub.edge.server import make_server
from waggle_hub.settings import Bounds, Limits, Settings


async def serve(settings: Settings, server: str) -> None:
    hub = build(settings)
    listener = socket.create_server((settings.host, 0))
    listener.setblocking(False)
    print(f"Waggle hub at http://{settings.host}:{listener.getsockname()[1]}", flush=True)
    if server == "hypercorn":
        await serve_by_hypercorn(hub, listener)
    else:
        await make_server(hub.app, settings, hub.drain).serve(sockets=[listener])


async def serve_by_hypercorn(hub: Hub, listener: socket.socket) -> None:
    """As somebody would who has the application alone."""
    config = hypercorn.Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.errorlog = config.accesslog = None
    config.websocket_max_message_size = hub.settings.bounds.message
    config.websocket_ping_interval = hub.settings.bounds.ping
    config.graceful_timeout = 1.0
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    for by in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(by, told.set)

    async def stop() -> None:
        await told.wait()
        await hub.drain()
        loop.set_exception_handler(lambda loop, context: None)  # it cancels what it waits for, and complains of that

    app: Any = hub.app  # each server has types of its own for ASGI
    await hypercorn.asyncio.serve(app, config, shutdown_trigger=stop)


def main(chosen: str) -> None:
    fields = json.loads(chosen)
    server = fields["server"]
    settings = Settings(limits=Limits(**fields["limits"]), bounds=Bounds(**fields["bounds"]), lane=server == "lane")
    uvloop.run(serve(settings, server))


if __name__ == "__main__":
    main(sys.argv[1])
