"""A hub on real sockets whose lines each test writes."""

from __future__ import annotations

import asyncio
from ssl import SSLContext
from types import TracebackType
from typing import Any, Self

import msgspec
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

PATIENCE = 5.0
"""Seconds after which a test that waits has failed."""

Line = dict[str, Any]


def welcome(**changes: Any) -> Line:
    """Fields of the reply to hello."""
    return {
        "session": "s-1",
        "secret": "secret-1",
        "agent": "tester",
        "resumed": False,
        "epoch": "e1",
        "rev": 100,
        "grace": 15.0,
        "hub": {"name": "fake", "version": "0"},
        "features": [],
        "durability": "memory",
        "limits": {},
        "subs": {},
        **changes,
    }


class FakeConnection:
    """The hub's end of one connection: the commands received, and methods to answer."""

    def __init__(self, socket: ServerConnection) -> None:
        self._socket = socket
        self.messages: list[str] = []
        self.polite = True
        """True if bye is answered."""
        self._commands: asyncio.Queue[Line] = asyncio.Queue()

    async def listen(self) -> None:
        """Receive lines until the connection closes."""
        try:
            async for message in self._socket:
                assert isinstance(message, str), "this protocol is text"
                self.messages.append(message)
                for line in message.split("\n"):
                    command = msgspec.json.decode(line)
                    if command["op"] == "bye" and self.polite:
                        await self.reply(command)
                        await self.close(1000, "bye")
                    else:
                        self._commands.put_nowait(command)
        except ConnectionClosed:
            pass

    async def next(self, *ops: str) -> Line:
        """Return the next command, which must be one of these ops."""
        async with asyncio.timeout(PATIENCE):
            command = await self._commands.get()
        assert command["op"] in ops, command
        return command

    @property
    def quiet(self) -> bool:
        """Return whether every received command was looked at."""
        return self._commands.empty()

    async def say(self, *lines: Line) -> None:
        """Send lines, all in one message."""
        await self._socket.send("\n".join(msgspec.json.encode(line).decode() for line in lines))

    async def reply(self, command: Line, **ok: Any) -> None:
        await self.say({"id": command["id"], "ok": ok})

    async def refuse(self, command: Line, code: str, message: str = "no", **details: Any) -> None:
        await self.say({"id": command["id"], "error": {"code": code, "message": message, **details}})

    async def welcome(self, **changes: Any) -> Line:
        """Answer the hello, and return it."""
        hello = await self.next("hello")
        await self.reply(hello, **welcome(**changes))
        return hello

    async def subscribed(self, sub: int, **ok: Any) -> Line:
        """Answer the next subscribe, and return it."""
        command = await self.next("subscribe")
        await self.reply(command, **{"sub": sub, "epoch": "e1", "rev": 100, **ok})
        return command

    async def close(self, code: int, reason: str = "") -> None:
        await self._socket.close(code, reason)

    async def closed(self) -> None:
        """Wait until the client has disconnected."""
        async with asyncio.timeout(PATIENCE):
            await self._socket.wait_closed()

    def cut(self) -> None:
        """End the connection without a closing handshake, as a dead network does."""
        self._socket.transport.abort()


class FakeHub:
    """Accepted connections, on a port that stays the same when the hub is stopped and started."""

    def __init__(self, ssl: SSLContext | None = None) -> None:
        self._port = 0
        self._ssl = ssl
        self._server: Server | None = None
        self._connection: asyncio.Queue[FakeConnection] = asyncio.Queue()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def start(self) -> None:
        self._server = await serve(
            self._serve,
            "127.0.0.1",
            self._port,
            subprotocols=[Subprotocol("waggle.v1")],
            compression=None,
            ssl=self._ssl,
        )
        self._port = next(iter(self._server.sockets)).getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def connection(self) -> FakeConnection:
        """Return the next connection."""
        async with asyncio.timeout(PATIENCE):
            return await self._connection.get()

    async def welcomed(self, **changes: Any) -> FakeConnection:
        """Return the next connection, with its hello answered."""
        connection = await self.connection()
        await connection.welcome(**changes)
        return connection

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _serve(self, socket: ServerConnection) -> None:
        connection = FakeConnection(socket)
        self._connection.put_nowait(connection)
        await connection.listen()
