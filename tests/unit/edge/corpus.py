"""Frames good and bad, as an agent may send them: sequences by name.

An application hangs up when it hears "bye" (see `socketless`).
"""

from __future__ import annotations

from tests.unit.edge.socketless import BINARY, CLOSE, CONTINUATION, FIN, MOST, PING, PONG, TEXT, frame


def text(payload: bytes) -> bytes:
    return frame(FIN | TEXT, payload)


def close(code: int, reason: bytes = b"") -> bytes:
    return frame(FIN | CLOSE, code.to_bytes(2, "big") + reason)


CORPUS: dict[str, list[bytes]] = {
    "one message": [text(b'{"id":1}')],
    "none at all": [text(b"")],
    "several": [text(b"a"), text(b"b" * 125), text(b"c" * 126), text(b"d" * MOST)],
    "beyond ASCII": [text("żółw 🐝 \u2028".encode())],
    "a mask of zeros": [frame(FIN | TEXT, b"abc", mask=bytes(4))],
    "binary": [frame(FIN | BINARY, b"abc")],
    "fragments": [frame(TEXT, b"a"), frame(CONTINUATION, b"b"), frame(FIN | CONTINUATION, b"c"), text(b"d")],
    "fragments that hold nothing": [frame(TEXT), frame(CONTINUATION), frame(FIN | CONTINUATION, b"c")],
    "binary in fragments": [frame(BINARY, b"a"), frame(FIN | CONTINUATION, b"c"), text(b"d")],
    "a ping after what is no UTF-8": [text(b"\xff\xfe"), frame(FIN | PING, b"p")],
    "a ping after fragments that are no UTF-8": [
        frame(TEXT, b"\xff"),
        frame(FIN | CONTINUATION, b"a"),
        frame(FIN | PING, b"p"),
    ],
    "a letter cut in two": [frame(TEXT, b"\xc3"), frame(FIN | CONTINUATION, b"\xb3")],
    "a ping among fragments": [frame(TEXT, b"a"), frame(FIN | PING, b"p"), frame(FIN | CONTINUATION, b"b")],
    "pings and pongs": [frame(FIN | PING), frame(FIN | PING, b"x" * 125), frame(FIN | PONG, b"y"), text(b"a")],
    "a length longer than it need be": [b"\x81\xfe\x00\x01\0\0\0\0a", b"\x81\xff" + bytes(7) + b"\x01\0\0\0\0b"],
    "bad UTF-8": [text(b"a"), text(b"\xff\xfe"), text(b"b")],
    "bad UTF-8 in fragments": [frame(TEXT, b"\xc3"), frame(FIN | CONTINUATION, b"\x28")],
    "a surrogate in UTF-8": [text(b"\xed\xa0\x80")],
    "half a letter": [text(b"\xe2\x82")],
    "too big": [text(b"a"), text(b"b" * (MOST + 1)), text(b"c")],
    "far too big": [frame(FIN | TEXT, size=2**62)],
    "too big beyond measure": [frame(FIN | TEXT, size=2**64 - 1)],
    "too big to begin with": [frame(TEXT, b"b" * (MOST + 1))],
    "too big by a fragment": [frame(TEXT, b"a" * MOST), frame(CONTINUATION, b"b"), text(b"c")],
    "just not too big by a fragment": [frame(TEXT, b"a" * (MOST - 1)), frame(FIN | CONTINUATION, b"b"), text(b"c")],
    "binary, too big": [frame(FIN | BINARY, b"b" * (MOST + 1))],
    "not masked": [text(b"a"), frame(FIN | TEXT, b"b", mask=None), text(b"c")],
    "not masked and empty": [frame(FIN | TEXT, mask=None)],
    "a reserved bit": [text(b"a"), frame(FIN | 0x40 | TEXT, b"b"), text(b"c")],
    "another reserved bit": [frame(FIN | 0x20 | TEXT, b"b")],
    "the third reserved bit": [frame(FIN | 0x10 | PING, b"b")],
    "an opcode that is none": [frame(FIN | 3, b"b"), text(b"c")],
    "a control opcode that is none": [frame(FIN | 11, b"b"), text(b"c")],
    "a ping too long": [frame(FIN | PING, b"x" * 126), text(b"c")],
    "a ping in fragments": [frame(PING, b"x"), text(b"c")],
    "a close in fragments": [frame(CLOSE, b"x"), text(b"c")],
    "a continuation of nothing": [frame(FIN | CONTINUATION, b"x"), text(b"c")],
    "a message within a message": [frame(TEXT, b"a"), text(b"b")],
    "a binary message within a message": [frame(TEXT, b"a"), frame(FIN | BINARY, b"b")],
    "a close within a message": [frame(TEXT, b"a"), close(1000)],
    "closed": [text(b"a"), close(1000, b"well"), text(b"b")],
    "closed without a code": [frame(FIN | CLOSE)],
    "closed with a code of its own": [close(4321, "żegnaj".encode())],
    "closed with half a code": [frame(FIN | CLOSE, b"\x03")],
    "closed with a code that is none": [close(999)],
    "closed with a code that is not to be sent": [close(1005)],
    "closed with a reason that is no UTF-8": [close(1000, b"\xff")],
    "closed twice": [close(1000), close(1000)],
    "closed from here": [text(b"bye"), text(b"too late"), frame(FIN | PING, b"p"), close(3000)],
    "closed from here, and a fault": [text(b"bye"), frame(FIN | 3)],
    "closed from here, and bad UTF-8": [text(b"bye"), text(b"\xff")],
    "closed from both sides": [text(b"bye"), close(1001)],
}
