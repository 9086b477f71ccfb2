"""A payload: one or more lines that leave together, and the WebSocket frame around them (protocol 1).

Rules:
1. The hub sends no frame masked, compressed or in fragments, so one frame is valid for every connection.
2. A frame is made when it is first asked for, and once, however many connections the payload goes to.
"""

from __future__ import annotations

import struct

_FINAL_TEXT = 0x81
"""The first byte of a frame: FIN, and the opcode of text."""
_short = struct.Struct("!BB").pack
_medium = struct.Struct("!BBH").pack
_long = struct.Struct("!BBQ").pack


class Payload:
    """Lines as UTF-8, with newlines between them."""

    __slots__ = ("_frame", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._frame: bytes | None = None

    def __len__(self) -> int:
        return len(self.data)

    def __str__(self) -> str:
        return self.data.decode()

    def __repr__(self) -> str:
        return f"Payload({self.data!r})"

    @property
    def frame(self) -> bytes:
        """The lines in a frame, as they go over the socket."""
        if self._frame is None:
            self._frame = _head(len(self.data)) + self.data
        return self._frame


def _head(size: int) -> bytes:
    """Return the head of a frame with a payload of this size in bytes (RFC 6455, 5.2)."""
    # The length has 7 bits; 126 and 127 say that it follows in 16 or 64 bits.
    if size < 126:
        return _short(_FINAL_TEXT, size)
    if size < 1 << 16:
        return _medium(_FINAL_TEXT, 126, size)
    return _long(_FINAL_TEXT, 127, size)
