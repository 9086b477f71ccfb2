"""One connection: the bytes of a socket as messages, and messages as bytes.

The library `websockets` does all that happens rarely: handshake, TLS, proxies, redirects, control frames, keepalive,
protocol errors, the closing handshake. This module does what happens for each message, where a task, a queue and a
lock would cost more than the message.

Rules:

1. **Messages arrive by a direct call,** whole and in order: all messages that one read of the socket completed, at
   once. There is no queue and no task in between, so the socket is always read.
2. **The parser of the library gets whole frames,** one at a time, so it is never in the middle of a frame when the
   next one begins. A text message in a single frame, the usual case, does not need the parser. The parser gets an
   invalid frame with all bytes after it, and all bytes after the last message: it knows the answer.
3. **A message leaves as one frame, in one write,** without waiting. `full` and `Listener.on_room` tell whether the
   socket keeps up; the listener must stop writing meanwhile.
4. **`Listener.on_gone` is the last call, and comes once.** If a hub says goodbye and does not close the socket, it
   is closed after `CLOSE_TIMEOUT_S`.
"""

from __future__ import annotations

import os
from typing import Any, Protocol

from websockets.asyncio.client import ClientConnection
from websockets.frames import DATA_OPCODES, Frame
from websockets.protocol import Event, State

from waggle.wire.websocket_frames import FINAL_TEXT, MASKED, apply_mask, head, read_long_size

__all__ = ["Connection", "Listener", "text_frame"]

CLOSE_TIMEOUT_S = 2.0
"""Seconds that a hub has to close the socket after the closing handshake."""
MAX_MESSAGE_BYTES = 32 * 2**20
"""Bytes: above the 24 MiB of one line that a client must accept (protocol 1)."""
_HEAD_ENDS = b"\r\n\r\n"


class Listener(Protocol):
    """The user of a connection."""

    def on_messages(self, messages: list[bytes]) -> None:
        """Handle the messages that one read completed, in order."""

    def on_room(self) -> None:
        """Continue writing: the connection is not `full` any more."""

    def on_gone(self) -> None:
        """Stop: no message arrives any more, and writes are dropped."""


class Connection(ClientConnection):
    """A connection that `websockets.asyncio.client.connect` makes when it is given this class; `open` it, then
    `write`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.full = False
        """Whether the socket's write buffer is above its limit, so that nothing should be written."""
        self._listener: Listener | None = None
        self._head = b""
        """The last bytes of the answer to the handshake, until its end is found."""
        self._framed = False
        """Whether the bytes are frames and the parser is between two of them; else the parser gets all bytes."""
        self._arrived = bytearray()
        """The bytes of an incomplete frame."""
        self._fragments = bytearray()
        self._unfinished = False
        """Whether more fragments of a message follow."""
        self._messages: list[bytes] = []
        """The messages that were not delivered yet."""
        self._gone = False

    # --- for its user ----------------------------------------------------------------------------------------

    def open(self, listener: Listener) -> None:
        """Pass messages to ``listener`` from now on, first those that have arrived already."""
        self._listener = listener
        self._deliver()
        if self._gone:
            listener.on_gone()

    def write(self, message: bytes) -> None:
        """Send a text message. It is dropped if the connection is closing."""
        if self.protocol.state is State.OPEN and not self.transport.is_closing():
            self.transport.write(text_frame(message, os.urandom(4)))

    # --- what arrives ----------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Take the complete frames of what the socket has received, and deliver their messages."""
        if self._framed:
            self._parse_frames(data)
        elif self.response is None:
            self._parse_head(data)
        else:
            super().data_received(data)
        if self._messages:
            self._deliver()

    def _parse_head(self, data: bytes) -> None:
        """Give the parser the answer to the handshake, without the frames that arrived with its end."""
        seen = self._head + data
        end = seen.find(_HEAD_ENDS)
        if end < 0:
            self._head = seen[1 - len(_HEAD_ENDS) :]
            super().data_received(data)
            return
        rest = seen[end + len(_HEAD_ENDS) :]
        super().data_received(data[: len(data) - len(rest)])
        self._framed = self.protocol.state is State.OPEN
        if self._framed:
            self._parse_frames(rest)
        elif rest:
            super().data_received(rest)

    def _parse_frames(self, data: bytes) -> None:
        arrived, start = self._arrived, 0
        arrived += data
        length = len(arrived)
        while length >= start + 2:
            begin, size = start + 2, arrived[start + 1]
            if size >= 126:
                # A masked frame, which a hub never sends, counts as one that is too large.
                begin, size = read_long_size(arrived, start) if size < MASKED else (begin, MAX_MESSAGE_BYTES + 1)
                if length < begin:
                    break
            end = begin + size if size <= MAX_MESSAGE_BYTES else length
            if length < end:
                break
            if arrived[start] == FINAL_TEXT and size <= MAX_MESSAGE_BYTES and not self._unfinished:
                self._messages.append(bytes(arrived[begin:end]))
            elif not self._parse_by_library(arrived[start:end]):
                end = length
            start = end
        del arrived[:start]

    def _parse_by_library(self, frame: bytearray) -> bool:
        """Give the parser one frame. Return whether another frame can follow."""
        super().data_received(bytes(frame))
        if self.protocol.state is State.OPEN:
            return True
        self._framed = False
        self.loop.call_later(CLOSE_TIMEOUT_S, self.transport.abort)
        return False

    def process_event(self, event: Event) -> None:
        """Collect the parts of a message from the parser. A binary message counts as text."""
        if self.response is None or not isinstance(event, Frame) or event.opcode not in DATA_OPCODES:
            super().process_event(event)
            return
        self._fragments += event.data
        self._unfinished = not event.fin
        if event.fin:
            self._messages.append(bytes(self._fragments))
            self._fragments.clear()

    def _deliver(self) -> None:
        if self._listener is not None and self._messages:
            messages, self._messages = self._messages, []
            self._listener.on_messages(messages)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the listener that the socket is closed."""
        super().connection_lost(exc)
        self._gone = True
        if self._listener is not None:
            self._listener.on_gone()

    # --- how the socket keeps up -----------------------------------------------------------------------------

    def pause_writing(self) -> None:
        """Mark the connection as `full`: the write buffer of the socket is above its limit."""
        super().pause_writing()
        self.full = True

    def resume_writing(self) -> None:
        """Tell the listener that the socket takes more data."""
        super().resume_writing()
        self.full = False
        if self._listener is not None:
            self._listener.on_room()


def text_frame(message: bytes, mask: bytes) -> bytes:
    """Return the frame of a text message, as a client sends it (RFC 6455, 5.2)."""
    return b"".join((head(len(message), MASKED), mask, apply_mask(message, mask)))
