"""uvicorn's HTTP, mended where a caller that is broken or hostile would be felt.

1. What is no HTTP is answered without a word in the hub's own output: anybody could fill that.
2. When a connection is lost, every exchange on it hears so. uvicorn tells only the one that was read last: where others
   were sent ahead of their answers, a call that waits would wait on. Those that have not begun never do.
3. A head that does not end is cut off (`Bounds.head`): uvicorn would keep all of it. So are trailers.
4. The application can cut a connection whose other side does not read (`websocket.ABORT`).
"""

from __future__ import annotations

import logging
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from ..settings import Bounds
from .websocket import ABORT

_errors_only = logging.getLogger("waggle_hub.http")
_errors_only.setLevel(logging.ERROR)


class HttpProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = _errors_only
        self._open: list[RequestResponseCycle] = []
        """Exchanges that have not been answered."""
        self._longest = self.config.h11_max_incomplete_event_size or Bounds().head
        self._head = 0
        """Bytes that came in later pieces than a message began with, and that are no body."""

    def data_received(self, data: bytes) -> None:
        self._head += len(data)
        super().data_received(data)
        if self._head > self._longest and not self.transport.is_closing():
            self.send_400_response("The head of this request is too long: shorten its address or its headers.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head = 0
        self.scope["extensions"] = {ABORT: {"abort": self.transport.abort}}

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if self.cycle is None:
            return  # it is to be a WebSocket
        self._open = [cycle for cycle in self._open if not cycle.response_complete]
        if self.cycle not in self._open:
            self._open.append(self.cycle)

    def on_body(self, body: bytes) -> None:
        self._head = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._head = 0
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self.pipeline.clear()
        super().connection_lost(exc)
        for cycle in self._open:
            if not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
