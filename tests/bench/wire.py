"""The bytes of both wires, as cheap as they can be made: WebSocket frames towards a hub, RESP towards a Redis.

A client must mask what it sends. The mask is any four bytes, so four zeros are a mask that costs nothing.
"""

from __future__ import annotations

import socket
import struct

TEXT, CLOSE, PING = 0x1, 0x8, 0x9


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


def dial_hub(host: str, port: int, *lines: bytes) -> socket.socket:
    """A blocking socket to a hub that has said hello and then `lines`; what came back is read and thrown away."""
    sock = _dial(host, port)
    sock.sendall(upgrade(host, port))
    _read_until(sock, b"\r\n\r\n")
    for number, line in enumerate((b'"op":"hello"', *lines)):
        sock.sendall(frame(b'{"id":%d,%b}' % (number, line)))
        _read_until(sock, b'{"id":%d,"ok":' % number)
    return sock


def dial_redis(host: str, port: int, *commands: bytes) -> socket.socket:
    """A blocking socket to a Redis that has heard these commands."""
    sock = _dial(host, port)
    for command in commands:
        sock.sendall(command)
        _read_until(sock, b"\r\n")
    return sock


def _dial(host: str, port: int) -> socket.socket:
    sock = socket.create_connection((host, port), timeout=30)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _read_until(sock: socket.socket, end: bytes) -> None:
    data = b""
    while end not in data:
        more = sock.recv(65_536)
        if not more:
            raise ConnectionError(f"the server hung up: {data[-200:]!r}")
        data += more
