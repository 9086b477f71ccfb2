"""Frames good and bad over real sockets: the hub's protocols and uvicorn's own hear and answer the same."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from tests.e2e.rawsocket import RawSocket
from tests.frames import CLOSE, PING
from tests.unit.edge.corpus import CORPUS
from tests.unit.edge.socketless import MOST, Application
from waggle_hub.edge.server.uvicorn_fast_path import FastPathProtocol
from waggle_hub.edge.server.uvicorn_websocket import Protocol

pytestmark = pytest.mark.e2e

PONG = PING + 1
Told = tuple[list[str], list[bytes], list[bytes]]
"""What the application heard, the pongs that came back, and the payloads of close frames."""


@asynccontextmanager
async def serving(kind: type[WebSocketsSansIOProtocol], application: Application) -> AsyncIterator[int]:
    """A server of this kind, and its port."""
    config = uvicorn.Config(
        application, ws=kind, ws_max_size=MOST, ws_per_message_deflate=False, lifespan="off", log_config=None
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config.load()
        server.lifespan = config.lifespan_class(config)
        await server.startup(sockets=[listener])
        yield listener.getsockname()[1]
        await server.shutdown(sockets=[listener])


async def play(kind: type[WebSocketsSansIOProtocol], frames: list[bytes]) -> Told:
    """Send these, each in a packet of its own."""
    application = Application()
    pongs: list[bytes] = []
    closed: list[bytes] = []
    async with serving(kind, application) as port, RawSocket(port) as raw:
        await raw.upgrade()
        try:
            for one in frames:
                await raw.send(one)
                await asyncio.sleep(0.005)
            raw.writer.write_eof()
        except OSError:
            pass  # closed before it was all sent
        try:
            while True:
                opcode, payload = await raw.message()
                if opcode == PONG:
                    pongs.append(payload)
                elif opcode == CLOSE:
                    closed.append(payload)
        except (asyncio.IncompleteReadError, OSError):
            pass
    return application.heard, pongs, closed


@pytest.mark.parametrize("what", CORPUS)
async def test_the_outcome_is_that_of_uvicorns_own(what: str) -> None:
    wanted = await play(WebSocketsSansIOProtocol, CORPUS[what])
    assert await play(Protocol, CORPUS[what]) == wanted
    assert await play(FastPathProtocol, CORPUS[what]) == wanted
