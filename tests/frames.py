"""Frames of WebSocket by hand (RFC 6455, 5.2), so that they can be wrong."""

from __future__ import annotations

from waggle.wire.websocket_frames import MASKED, apply_mask, head

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
FIN = 0x80


def frame(first: int, payload: bytes = b"", *, mask: bytes = b"", size: int | None = None) -> bytes:
    """A frame as a hub sends it, its first byte as given; `size` is what it says it holds, where that is a lie."""
    size = len(payload) if size is None else size
    return head(size, MASKED if mask else 0, first) + mask + (bytes(apply_mask(payload, mask)) if mask else payload)


def masked(first: int, payload: bytes = b"", *, mask: bytes = b"\x01\x02\x83\xf4", size: int | None = None) -> bytes:
    """The same as an agent sends it."""
    return frame(first, payload, mask=mask, size=size)
