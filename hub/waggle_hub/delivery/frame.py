"""A payload: one or more lines that leave together, and the WebSocket frame around them (protocol 1).

Rules:
1. The hub sends no frame masked, compressed or in fragments, so one frame is valid for every connection.
2. A frame is made when it is first asked for, and once, however many connections the payload goes to.
"""

from __future__ import annotations

from waggle.wire.websocket_frames import head


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
            self._frame = head(len(self.data)) + self.data
        return self._frame
