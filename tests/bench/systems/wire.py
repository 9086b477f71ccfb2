"""The bytes of a WebSocket, as cheap as they can be made.

A client must mask what it sends. The mask is any four bytes, so four zeros are a mask that costs nothing.
"""

from __future__ import annotations

import struct

TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA


def upgrade(host: str, port: int) -> bytes:
    """The request that makes a WebSocket out of a socket."""
    return (
        f"GET /ws HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: d2FnZ2xlIGJlbmNobWFyaw==\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Protocol: waggle.v1\r\n\r\n"
    ).encode()


def frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """One message of a client."""
    size = len(payload)
    first = 0x80 | opcode
    if size < 126:
        head = struct.pack("!BBI", first, 0x80 | size, 0)
    elif size < 65_536:
        head = struct.pack("!BBHI", first, 0x80 | 126, size, 0)
    else:
        head = struct.pack("!BBQI", first, 0x80 | 127, size, 0)
    return head + payload


def take_frame(buffer: bytearray, start: int) -> tuple[int, int, int] | None:
    """The frame of a server that begins at `start`: its opcode, and where its payload begins and ends."""
    have = len(buffer) - start
    if have < 2:
        return None
    size = buffer[start + 1]
    begin = start + 2
    if size == 126:
        if have < 4:
            return None
        begin, size = start + 4, int.from_bytes(buffer[start + 2 : start + 4])
    elif size == 127:
        if have < 10:
            return None
        begin, size = start + 10, int.from_bytes(buffer[start + 2 : start + 10])
    return (buffer[start] & 0x0F, begin, begin + size) if len(buffer) >= begin + size else None


def resp(*words: bytes) -> bytes:
    """One command for Redis."""
    return b"*%d\r\n%b" % (len(words), b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words))
