"""Frames good and bad, as an agent may send them: sequences by name.

An application hangs up when it hears "bye" (see `socketless`).
"""

from __future__ import annotations

from tests.frames import BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, TEXT, frame, masked
from tests.unit.edge.socketless import MOST


def text(payload: bytes) -> bytes:
    return masked(FIN | TEXT, payload)


def close(code: int, reason: bytes = b"") -> bytes:
    return masked(FIN | CLOSE, code.to_bytes(2, "big") + reason)


CORPUS: dict[str, list[bytes]] = {
    "one message": [text(b'{"id":1}')],
    "none at all": [text(b"")],
    "several": [text(b"a"), text(b"b" * 125), text(b"c" * 126), text(b"d" * MOST)],
    "beyond ASCII": [text("żółw 🐝 \u2028".encode())],
    "a mask of zeros": [masked(FIN | TEXT, b"abc", mask=bytes(4))],
    "binary": [masked(FIN | BINARY, b"abc")],
    "fragments": [masked(TEXT, b"a"), masked(CONTINUATION, b"b"), masked(FIN | CONTINUATION, b"c"), text(b"d")],
    "fragments that hold nothing": [masked(TEXT), masked(CONTINUATION), masked(FIN | CONTINUATION, b"c")],
    "binary in fragments": [masked(BINARY, b"a"), masked(FIN | CONTINUATION, b"c"), text(b"d")],
    "a ping after what is no UTF-8": [text(b"\xff\xfe"), masked(FIN | PING, b"p")],
    "a ping after fragments that are no UTF-8": [
        masked(TEXT, b"\xff"),
        masked(FIN | CONTINUATION, b"a"),
        masked(FIN | PING, b"p"),
    ],
    "a letter cut in two": [masked(TEXT, b"\xc3"), masked(FIN | CONTINUATION, b"\xb3")],
    "a ping among fragments": [masked(TEXT, b"a"), masked(FIN | PING, b"p"), masked(FIN | CONTINUATION, b"b")],
    "pings and pongs": [masked(FIN | PING), masked(FIN | PING, b"x" * 125), masked(FIN | PONG, b"y"), text(b"a")],
    "a length longer than it need be": [b"\x81\xfe\x00\x01\0\0\0\0a", b"\x81\xff" + bytes(7) + b"\x01\0\0\0\0b"],
    "bad UTF-8": [text(b"a"), text(b"\xff\xfe"), text(b"b")],
    "bad UTF-8 in fragments": [masked(TEXT, b"\xc3"), masked(FIN | CONTINUATION, b"\x28")],
    "a surrogate in UTF-8": [text(b"\xed\xa0\x80")],
    "half a letter": [text(b"\xe2\x82")],
    "too big": [text(b"a"), text(b"b" * (MOST + 1)), text(b"c")],
    "far too big": [masked(FIN | TEXT, size=2**62)],
    "too big beyond measure": [masked(FIN | TEXT, size=2**64 - 1)],
    "too big to begin with": [masked(TEXT, b"b" * (MOST + 1))],
    "too big by a fragment": [masked(TEXT, b"a" * MOST), masked(CONTINUATION, b"b"), text(b"c")],
    "just not too big by a fragment": [masked(TEXT, b"a" * (MOST - 1)), masked(FIN | CONTINUATION, b"b"), text(b"c")],
    "binary, too big": [masked(FIN | BINARY, b"b" * (MOST + 1))],
    "not masked": [text(b"a"), frame(FIN | TEXT, b"b"), text(b"c")],
    "not masked and empty": [frame(FIN | TEXT)],
    "a reserved bit": [text(b"a"), masked(FIN | 0x40 | TEXT, b"b"), text(b"c")],
    "another reserved bit": [masked(FIN | 0x20 | TEXT, b"b")],
    "the third reserved bit": [masked(FIN | 0x10 | PING, b"b")],
    "an opcode that is none": [masked(FIN | 3, b"b"), text(b"c")],
    "a control opcode that is none": [masked(FIN | 11, b"b"), text(b"c")],
    "a ping too long": [masked(FIN | PING, b"x" * 126), text(b"c")],
    "a ping in fragments": [masked(PING, b"x"), text(b"c")],
    "a close in fragments": [masked(CLOSE, b"x"), text(b"c")],
    "a continuation of nothing": [masked(FIN | CONTINUATION, b"x"), text(b"c")],
    "a message within a message": [masked(TEXT, b"a"), text(b"b")],
    "a binary message within a message": [masked(TEXT, b"a"), masked(FIN | BINARY, b"b")],
    "a close within a message": [masked(TEXT, b"a"), close(1000)],
    "closed": [text(b"a"), close(1000, b"well"), text(b"b")],
    "closed without a code": [masked(FIN | CLOSE)],
    "closed with a code of its own": [close(4321, "żegnaj".encode())],
    "closed with half a code": [masked(FIN | CLOSE, b"\x03")],
    "closed with a code that is none": [close(999)],
    "closed with a code that is not to be sent": [close(1005)],
    "closed with a reason that is no UTF-8": [close(1000, b"\xff")],
    "closed twice": [close(1000), close(1000)],
    "closed from here": [text(b"bye"), text(b"too late"), masked(FIN | PING, b"p"), close(3000)],
    "closed from here, and a fault": [text(b"bye"), masked(FIN | 3)],
    "closed from here, and bad UTF-8": [text(b"bye"), text(b"\xff")],
    "closed from both sides": [text(b"bye"), close(1001)],
}
