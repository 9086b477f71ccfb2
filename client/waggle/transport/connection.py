"""One connection: the bytes of a socket as messages, and messages as bytes.

What happens once or seldom is `websockets`' own: handshake, TLS, proxies, redirects, control frames, keepalive, faults,
the closing handshake. What happens for each message is here, since there a task, a queue and a lock cost more than the
message. The rules:

1. **Messages come by direct call,** whole and in order, all that one read of the socket completed at once: no queue,
   no task, no turn of the loop in between. So nothing here is ever behind, and the socket is always read.
2. **The parser gets whole frames,** one at a time, so that it is never in the middle of one when the next begins. A
   text message in a single frame, the usual, does not need it. A frame that cannot be right is left to it with all that
   follows, and so is what comes after the last message: it knows what to answer.
3. **A message goes out as one frame, in one write,** without waiting. `full` and `Listener.on_room` tell how the socket
   keeps up; to stop meanwhile is the listener's part.
4. **The end comes last, and once.** A hub that says goodbye and does not close is closed after a while.
"""

from __future__ import annotations

import os
from typing import Any, Protocol

from websockets.asyncio.client import ClientConnection
from websockets.frames import DATA_OPCODES, Frame
from websockets.protocol import Event, State

try:
    from websockets.speedups import apply_mask
except ImportError:  # a build without its C parts
    from websockets.utils import apply_mask

__all__ = ["Connection", "Listener", "text_frame"]

LINGER = 2.0
"""Seconds that a hub may take to close the socket when the last word was said."""
LARGEST_MESSAGE = 32 * 2**20
"""Bytes: above the 24 MiB of one line that a client must accept (protocol 1)."""
_TEXT = 0x81
"""The first byte of a text message in a single frame."""
_HEAD_ENDS = b"\r\n\r\n"


class Listener(Protocol):
    """Who uses a connection."""

    def on_messages(self, messages: list[bytes]) -> None:
        """The messages that one read completed, in order."""

    def on_room(self) -> None:
        """The socket is not `full` any more."""

    def on_gone(self) -> None:
        """Nothing comes any more, and what is written is dropped."""


class Connection(ClientConnection):
    """What `websockets.asyncio.client.connect` makes when it is given this class; then `open` it, and `write`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.full = False
        """Whether the socket holds more than it should, and nothing is to be written."""
        self._listener: Listener | None = None
        self._head = b""
        """The last bytes of the answer to the handshake, until its end was seen."""
        self._framed = False
        """Whether what comes is frames, and the parser stands between two of them; else all is the parser's."""
        self._arrived = bytearray()
        """Less than a frame."""
        self._fragments = bytearray()
        self._unfinished = False
        """Whether more fragments are to come."""
        self._messages: list[bytes] = []
        """Those that nobody was told of yet."""
        self._gone = False

    # --- for its user ----------------------------------------------------------------------------------------

    def open(self, listener: Listener) -> None:
        """From now on tell ``listener``, first of what came before."""
        self._listener = listener
        self._pass_on()
        if self._gone:
            listener.on_gone()

    def write(self, message: bytes) -> None:
        """Send a text; it is dropped where nothing can be sent any more."""
        if self.protocol.state is State.OPEN and not self.transport.is_closing():
            self.transport.write(text_frame(message, os.urandom(4)))

    # --- what arrives ----------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Take what is whole, and pass on the messages in it."""
        if self._framed:
            self._take_frames(data)
        elif self.response is None:
            self._take_head(data)
        else:
            super().data_received(data)
        if self._messages:
            self._pass_on()

    def _take_head(self, data: bytes) -> None:
        """Give the parser the answer to the handshake, and no frame that came along with its end."""
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
            self._take_frames(rest)
        elif rest:
            super().data_received(rest)

    def _take_frames(self, data: bytes) -> None:
        arrived, start = self._arrived, 0
        arrived += data
        length = len(arrived)
        while length >= start + 2:
            begin, size = start + 2, arrived[start + 1]
            if size >= 126:
                begin, size = _long(arrived, start)
                if length < begin:
                    break
            end = begin + size if size <= LARGEST_MESSAGE else length
            if length < end:
                break
            if arrived[start] == _TEXT and size <= LARGEST_MESSAGE and not self._unfinished:
                self._messages.append(bytes(arrived[begin:end]))
            elif not self._parse(arrived[start:end]):
                end = length
            start = end
        del arrived[:start]

    def _parse(self, frame: bytearray) -> bool:
        """Let the parser have a frame; whether there can be another."""
        super().data_received(bytes(frame))
        if self.protocol.state is State.OPEN:
            return True
        self._framed = False
        self.loop.call_later(LINGER, self.transport.abort)
        return False

    def process_event(self, event: Event) -> None:
        """What the parser has found: parts of messages are ours, and binary ones are as good as text."""
        if self.response is None or not isinstance(event, Frame) or event.opcode not in DATA_OPCODES:
            super().process_event(event)
            return
        self._fragments += event.data
        self._unfinished = not event.fin
        if event.fin:
            self._messages.append(bytes(self._fragments))
            self._fragments.clear()

    def _pass_on(self) -> None:
        if self._listener is not None and self._messages:
            messages, self._messages = self._messages, []
            self._listener.on_messages(messages)

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed."""
        super().connection_lost(exc)
        self._gone = True
        if self._listener is not None:
            self._listener.on_gone()

    # --- how the socket keeps up -----------------------------------------------------------------------------

    def pause_writing(self) -> None:
        """The socket holds more than it should."""
        super().pause_writing()
        self.full = True

    def resume_writing(self) -> None:
        """It has room again."""
        super().resume_writing()
        self.full = False
        if self._listener is not None:
            self._listener.on_room()


def _long(arrived: bytearray, start: int) -> tuple[int, int]:
    """Where what the frame holds begins, and its size; too large a size for one that is masked, as a hub's never is."""
    match arrived[start + 1]:
        case 126:
            return start + 4, int.from_bytes(arrived[start + 2 : start + 4], "big")
        case 127:
            return start + 10, int.from_bytes(arrived[start + 2 : start + 10], "big")
        case _:
            return start + 2, LARGEST_MESSAGE + 1


def text_frame(message: bytes, mask: bytes) -> bytes:
    """The frame of a whole text message, as a client sends it (RFC 6455, 5.2)."""
    size = len(message)
    if size < 126:
        head = bytes((_TEXT, 0x80 | size))
    elif size < 2**16:
        head = b"\x81\xfe" + size.to_bytes(2, "big")
    else:
        head = b"\x81\xff" + size.to_bytes(8, "big")
    return b"".join((head, mask, apply_mask(message, mask)))
