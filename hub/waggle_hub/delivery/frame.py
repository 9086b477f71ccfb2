"""A text: one or more lines that leave together, and the WebSocket frame around them (protocol 1).

Rules:
1. What the hub sends is neither masked, nor compressed, nor in fragments, so a frame is the same for whoever gets it.
2. A frame is made when it is first asked for, and once, however many connections the text goes to.
"""

from __future__ import annotations

import struct

_TEXT = 0x81
"""The first byte of a frame: all of a message, which is text."""
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
        return f"Text({self.data!r})"

    @property
    def frame(self) -> bytes:
        """The text as it goes over the socket."""
        if self._frame is None:
            self._frame = _head(len(self.data)) + self.data
        return self._frame


def _head(size: int) -> bytes:
    """The head of a frame around so many bytes (RFC 6455, 5.2)."""
    if size < 126:
        return _short(_TEXT, size)
    if size < 1 << 16:
        return _medium(_TEXT, 126, size)
    return _long(_TEXT, 127, size)
