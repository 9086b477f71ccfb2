"""The ways to a hub: TLS, a proxy, a redirect. What comes after the handshake goes through the client's own parser, so
each is tried with commands, and with frames of more than one read."""

from __future__ import annotations

import asyncio
import ssl
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

import waggle
from tests.unit.client.fakehub import FakeHub
from waggle.transport import driver
from waggle.wire.errors import Disconnected

LOCALHOST = Path(__file__).with_name("localhost.pem")
"""A certificate for localhost that nobody else trusts, and its key."""
LARGE = "x" * 300_000


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WAGGLE_URL", "WAGGLE_AGENT", "WAGGLE_TOKEN", "WAGGLE_NS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(driver, "random", lambda: 0.0)


async def visited(fake: FakeHub, url: str) -> None:
    """Connect, read a large value, write a large value, and close."""

    async def program() -> None:
        async with waggle.connect(url) as hub:
            assert (await hub.update("k", append=LARGE)).value == [LARGE]

    running = asyncio.create_task(program())
    end = await fake.welcomed()
    command = await end.next("update")
    await end.reply(command, rev=101, version=1, value=[command["append"]], expires_at=None)
    await running


async def test_a_hub_behind_tls_is_reached_with_a_trusted_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(LOCALHOST)
    async with FakeHub(ssl=context) as fake:
        url = fake.url.replace("http://127.0.0.1", "https://localhost")
        with pytest.raises(Disconnected, match="No hub has answered"):
            await waggle.connect(url, connect_timeout=0.2)
        monkeypatch.setenv("SSL_CERT_FILE", str(LOCALHOST))
        await visited(fake, url)


async def test_a_hub_elsewhere_is_reached_through_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    async def copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            writer.write(data)
        writer.close()

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        await reader.readuntil(b"\r\n\r\n")
        to = await asyncio.open_connection("127.0.0.1", int(fake.url.rpartition(":")[2]))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(copied(reader, to[1]), copied(to[0], writer))

    async with FakeHub() as fake, await asyncio.start_server(proxy, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
        monkeypatch.delenv("no_proxy", raising=False)
        await visited(fake, "http://hub.example:4483")
    assert asked == [b"CONNECT hub.example:4483 HTTP/1.1\r\n"]


async def test_a_redirect_is_followed() -> None:
    async def elsewhere(connection: ServerConnection, request: Request) -> Response:
        response = connection.respond(HTTPStatus.TEMPORARY_REDIRECT, "over there\r\n\r\n")
        response.headers["Location"] = f"{fake.url.replace('http', 'ws')}/ws"
        return response

    async def nobody(_: Any) -> None:
        raise AssertionError("nobody comes here")

    async with FakeHub() as fake, serve(nobody, "127.0.0.1", 0, process_request=elsewhere) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        await visited(fake, f"http://127.0.0.1:{port}")
