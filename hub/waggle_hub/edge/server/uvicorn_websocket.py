"""uvicorn's WebSocket protocol, hardened where a stuck or hostile agent could harm it.

Rules:
1. The sans-I/O parser of websockets gets whole frames, one at a time, so that it is never in the middle of one. A
   text message in a single frame, the usual case, does not need the parser. A frame that is not valid is left to it,
   with all that follows: it knows what to answer.
2. Frames are parsed for a slice of time in each turn of the loop, and none while a message waits to be delivered.
3. A message is kept once, in one piece; output that the agent does not read is bounded, pongs included.
4. A transport that may never drain (the agent does not read) is cut: uvicorn would close it, and then wait for it.
   So a keepalive that fails, and an application that has returned, cut the socket; the endpoint can cut it, too.
5. A handshake that cannot be read is answered: uvicorn would leave its connection open for ever.
"""

from __future__ import annotations

import time
from typing import Any, cast

from uvicorn._types import ASGIReceiveEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from waggle.wire.websocket_frames import FINAL_TEXT, MASKED, apply_mask, read_long_size
from waggle_hub.edge.websocket import ABORT

CLOSE_LINGER_S = 2.0
"""Seconds for the last bytes to leave after the application has returned, or the agent has broken the protocol."""
_PARSE_SLICE_S = 0.004
"""Seconds of one connection's frames, before others get their turn."""
_KNOWN_FIRST_BYTES = frozenset({0x00, 0x01, 0x02, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8A})
"""First bytes of frames that may be right: an opcode that is one, no reserved bits, no control frame in fragments."""


class Protocol(WebSocketsSansIOProtocol):
    """A WebSocket connection as ASGI has it: messages wait until the application asks for them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._received = bytearray()
        """Bytes that are not parsed yet: less than a frame, or behind waiting messages, or left for the next turn."""
        self._parsing_later = False
        """Whether others have their turn, and reading is paused meanwhile."""
        self._failed = False
        """Whether there was a frame that cannot be right: what comes after it is not answered."""
        self._fragments = bytearray()
        self._pong = b""

    # --- what arrives ---

    def data_received(self, data: bytes) -> None:
        if self.conn.parser_exc is not None:
            return
        if not self.handshake_initiated:
            super().data_received(data)
            self._refuse_unreadable()
            return
        if self._failed:
            super().data_received(data)
            return
        self._received += data
        if not self._parsing_later and not self.read_paused:
            self._parse_frames()

    def _refuse_unreadable(self) -> None:
        """Answer a handshake that websockets cannot read: one with a body, or with a head beyond its bounds.
        uvicorn would not answer, and wait for ever."""
        if self.conn.handshake_exc is None or self.handshake_initiated or self.transport.is_closing():
            return
        reason = self.conn.handshake_exc.__cause__ or self.conn.handshake_exc
        body = f"This cannot become a WebSocket: {reason}.".encode(errors="replace")
        head = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n"
        self.transport.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        self.transport.close()

    def _parse_frames(self) -> None:
        """Parse whole frames of the received bytes for a slice of time; while messages wait, the endpoint asks for
        more."""
        self._parsing_later = False
        received, start, late = self._received, 0, False
        until = time.monotonic() + _PARSE_SLICE_S
        while not (late or self.read_paused or self.transport.is_closing()) and (end := self._parse_frame(start)):
            start = end
            late = time.monotonic() > until
        del received[:start]
        if late and received:
            self._parse_later()
        elif not self.read_paused:
            self._resume_reading()

    def _parse_later(self) -> None:
        """Pause reading, and parse the rest of the received bytes in the next turn."""
        if not self._parsing_later:
            self._parsing_later = True
            self._pause_reading()
            self.loop.call_soon(self._parse_frames)

    def _resume_reading(self) -> None:
        if not self.transport.is_closing() and not self.transport.is_reading():
            self.transport.resume_reading()

    def _pause_reading(self) -> None:
        if not self.transport.is_closing():
            self.transport.pause_reading()

    def _parse_frame(self, start: int) -> int:
        """Parse the frame that begins here. Return its end, or 0 if it has not arrived whole."""
        received = self._received
        length = len(received)
        if length - start < 2:
            return 0
        first, size = received[start], received[start + 1] - MASKED
        begin = start + 6
        if size >= 126:
            begin, size = read_long_size(received, start)
            begin += 4
        if first not in _KNOWN_FIRST_BYTES or size < 0 or (size > self._max_frame_bytes() and length >= begin - 4):
            self._failed = True
            super().data_received(bytes(received[start:]))
            return length
        end = begin + size
        if length < begin or length < end:
            return 0
        if first == FINAL_TEXT and not self.frames:
            self._deliver_text(apply_mask(received[begin:end], received[begin - 4 : begin]))
        else:
            super().data_received(bytes(received[start:end]))
        return end

    def _max_frame_bytes(self) -> int:
        """Return the number of bytes that the next frame may hold."""
        max_bytes: int = self.config.ws_max_size
        return max_bytes - len(self.frames[0]) - len(self._fragments) if self.frames else max_bytes

    def handle_cont(self, event: Frame) -> None:
        """Append a fragment to one buffer: a million fragments of one byte, kept apart, would cost a hundred times
        their size."""
        self._fragments += event.data
        if event.fin:
            self.frames.append(bytes(self._fragments))
            self._fragments.clear()
            self.send_receive_event_to_app()

    def send_receive_event_to_app(self) -> None:
        data = self.frames[0] if len(self.frames) == 1 else b"".join(self.frames)
        self.frames = []
        if self.curr_msg_data_type == "text":
            self._deliver_text(data)
        elif not self.close_sent:
            self._deliver({"type": "websocket.receive", "bytes": data})

    def _deliver_text(self, data: bytes) -> None:
        """Queue a text message. Text that is not UTF-8 closes the connection: uvicorn would log a traceback for
        each."""
        if self.close_sent:
            return
        try:
            text = data.decode()
        except UnicodeDecodeError:
            self._failed = True
            self.conn.send_close(1007)
            self.handle_parser_exception()
        else:
            self._deliver({"type": "websocket.receive", "text": text})

    def _deliver(self, message: ASGIReceiveEvent) -> None:
        """Queue a message until the application asks for it."""
        self.queue.put_nowait(message)
        if not self.read_paused:
            self.read_paused = True
            self._pause_reading()

    async def receive(self) -> ASGIReceiveEvent:
        message = await self.queue.get()
        self._resume_when_empty()
        return message

    def _resume_when_empty(self) -> None:
        """Resume reading once no message waits."""
        if self.read_paused and self.queue.empty():
            self.read_paused = False
            if self._received:
                self._parse_later()
            else:
                self._resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._received.clear()
        super().connection_lost(exc)

    # --- what is answered ---

    def handle_ping(self) -> None:
        """Queue a pong. If the agent does not read, only the newest pong waits (RFC 6455, 5.5.3)."""
        pong = b"".join(self.conn.data_to_send())
        if self._failed:
            return
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
        """Send the reason and read on to the end: a socket closed with data unread is reset, and the reason is
        lost."""
        if self.close_sent:
            self.transport.close()
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
        self.close_timer = self.loop.call_later(CLOSE_LINGER_S, self.transport.abort)

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self.transport.abort()

    async def run_asgi(self) -> None:
        self._offer(ABORT, {"abort": self.transport.abort})
        await super().run_asgi()
        self.loop.call_later(CLOSE_LINGER_S, self.transport.abort)

    def _offer(self, name: str, extension: dict[str, Any]) -> None:
        """Put an extension of this server into the application's scope."""
        cast(dict[str, Any], self.scope["extensions"])[name] = extension
