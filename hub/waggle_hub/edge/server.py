"""The ASGI server: uvicorn, with its WebSocket protocol mended where an agent that is stuck or hostile could harm it.

uvicorn closes a transport that may never drain (an agent that does not read), and then waits for it. Here a keepalive
that fails, and an application that has returned, cut the socket. The door gets the same knife as a scope extension.
What an agent sends is kept once, in one piece, and what it does not read is bounded, pongs included.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any

import uvicorn
from uvicorn._types import ASGIReceiveEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from ..settings import Settings
from .websocket import ABORT

_LINGER = 2.0
"""Seconds for the last bytes to leave after the application has returned, or the agent has broken the protocol."""


_PIECE = 4096
"""Bytes that are parsed in one go: some milliseconds, if they are the smallest of frames."""
_SLICE = 0.004
"""Seconds of parsing for one connection, before others get their turn."""


class Protocol(WebSocketsSansIOProtocol):
    """uvicorn's protocol, that cuts what is stuck and bounds what comes in."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._arrived = bytearray()
        """What has not been parsed, because there are messages before it, or others are to have their turn."""
        self._fragments = bytearray()
        self._pong = b""

    def data_received(self, data: bytes) -> None:
        if not self._arrived and len(data) <= _PIECE:
            super().data_received(data)
            return
        waiting = bool(self._arrived)
        self._arrived += data
        self.transport.pause_reading()
        if not waiting:
            self._parse()

    def _parse(self) -> None:
        """Parse what has arrived, for a slice of time in each turn; while messages wait, the door asks for more."""
        until = time.monotonic() + _SLICE
        while self._arrived and not self.read_paused and not self.transport.is_closing():
            if time.monotonic() > until:
                self.loop.call_soon(self._parse)
                return
            super().data_received(bytes(self._arrived[:_PIECE]))
            del self._arrived[:_PIECE]
        if not self._arrived and not self.read_paused:
            self.transport.resume_reading()

    async def receive(self) -> ASGIReceiveEvent:
        message = await self.queue.get()
        if self.read_paused and self.queue.empty():
            self.read_paused = False
            if self._arrived:
                self.loop.call_soon(self._parse)
            else:
                self.transport.resume_reading()
        return message

    def connection_lost(self, exc: Exception | None) -> None:
        self._arrived.clear()
        super().connection_lost(exc)

    def handle_cont(self, event: Frame) -> None:
        """One buffer for all fragments: apart, a million of one byte would cost a hundred times what they hold."""
        self._fragments += event.data
        if event.fin:
            self.frames.append(bytes(self._fragments))
            self._fragments.clear()
            self.send_receive_event_to_app()

    def send_receive_event_to_app(self) -> None:
        """Text that is no UTF-8 closes without a word: uvicorn would write a traceback for each."""
        data = self.frames[0] if len(self.frames) == 1 else b"".join(self.frames)
        self.frames = []
        if self.close_sent:
            return
        if self.curr_msg_data_type == "text":
            try:
                self.queue.put_nowait({"type": "websocket.receive", "text": data.decode()})
            except UnicodeDecodeError:
                self.conn.send_close(1007)
                self.handle_parser_exception()
                return
        else:
            self.queue.put_nowait({"type": "websocket.receive", "bytes": data})
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    def handle_ping(self) -> None:
        """Where the agent does not read, only the newest pong waits (RFC 6455, 5.5.3)."""
        pong = b"".join(self.conn.data_to_send())
        if self.writable.is_set():
            self.transport.write(pong)
        elif pong:
            self._pong = pong

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._pong:
            self.transport.write(self._pong)
            self._pong = b""

    def handle_parser_exception(self) -> None:
        """Say why, and hear the rest out: a socket closed with data unread is reset, and the reason is lost with it."""
        if self.close_sent:
            return
        assert self.conn.close_sent is not None
        code, reason = self.conn.close_sent.code, self.conn.close_sent.reason
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.transport.write_eof()
        self.close_sent = True
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(_LINGER, self.transport.abort)

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
