"""Runs a hub whose limits and bounds are given as JSON: shorter times, smaller windows than a person would choose."""

from __future__ import annotations

import json
import socket
import sys

import uvloop

from waggle_hub.app import build
from waggle_hub.edge.server import make_server
from waggle_hub.settings import Bounds, Limits, Settings


async def serve(settings: Settings) -> None:
    hub = build(settings)
    server = make_server(hub.app, settings, hub.drain)
    with socket.create_server((settings.host, 0)) as listener:
        listener.setblocking(False)
        print(f"Waggle hub at http://{settings.host}:{listener.getsockname()[1]}", flush=True)
        await server.serve(sockets=[listener])


def main(chosen: str) -> None:
    fields = json.loads(chosen)
    settings = Settings(limits=Limits(**fields["limits"]), bounds=Bounds(**fields["bounds"]))
    uvloop.run(serve(settings))


if __name__ == "__main__":
    main(sys.argv[1])
