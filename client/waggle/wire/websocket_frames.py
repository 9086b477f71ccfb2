"""WebSocket frames (RFC 6455, 5.2): their heads, built and read. Pure; it is on the path of every message.

A head is a first byte (FIN and the opcode), a second byte (whether there is a mask, and 7 bits of the size), and the
rest of the size: if the 7 bits are 126 or 127, the size follows in 16 or 64 bits.
"""

from __future__ import annotations

import struct

try:
    from websockets.speedups import apply_mask
except ImportError:  # a build without its C parts
    from websockets.utils import apply_mask

__all__ = ["FINAL_TEXT", "MASKED", "apply_mask", "head", "read_long_size"]

FINAL_TEXT = 0x81
"""The first byte of a text message in a single frame: FIN, and the opcode of text."""
MASKED = 0x80
"""In the second byte: a mask of 4 bytes follows the head. Clients send it, hubs do not."""
_short = struct.Struct("!BB").pack
_medium = struct.Struct("!BBH").pack
_long = struct.Struct("!BBQ").pack
_read_medium = struct.Struct("!H").unpack_from
_read_long = struct.Struct("!Q").unpack_from


def head(size: int, masked: int = 0, first: int = FINAL_TEXT) -> bytes:
    """Return the head of a frame with a payload of this size in bytes; ``masked`` is 0 or `MASKED`."""
    if size < 126:
        return _short(first, masked | size)
    if size < 1 << 16:
        return _medium(first, masked | 126, size)
    return _long(first, masked | 127, size)


def read_long_size(buffer: bytearray, start: int) -> tuple[int, int]:
    """Read the head that begins at ``start``, and whose 7 bits of size are 126 or 127. Return where it ends, and the
    size of the payload: 0 while the head has not arrived whole."""
    if buffer[start + 1] & 1:
        end = start + 10
        return end, _read_long(buffer, start + 2)[0] if len(buffer) >= end else 0
    end = start + 4
    return end, _read_medium(buffer, start + 2)[0] if len(buffer) >= end else 0
