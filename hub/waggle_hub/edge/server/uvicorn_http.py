"""uvicorn's HTTP protocol, hardened where a broken or hostile client could harm it.

1. Input that is not HTTP is answered, and not logged: anybody could fill the log with it.
2. When a connection is lost, every exchange on it is told. uvicorn tells only the one that was read last: where
   requests were sent ahead of their responses, a call that waits would wait on. Exchanges that have not begun never
   do.
3. A head that does not end is cut off (`Bounds.head`): uvicorn would keep all of it. So are trailers.
4. The application can cut a connection whose other side does not read (`websocket.ABORT`).
5. A client that stops half-way is cut off (`Bounds.silence`): a head has so many seconds as a whole, and so has each
   further piece of a body. Only time in which the hub reads counts. A request that comes in one piece needs no
   timer.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Literal

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from waggle_hub.edge.websocket import ABORT
from waggle_hub.settings import Bounds

_errors_only = logging.getLogger("waggle_hub.http")
_errors_only.setLevel(logging.ERROR)


class HttpProtocol(HttpToolsProtocol):
    """One HTTP connection."""

    bounds = Bounds()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = _errors_only
        self._open: list[RequestResponseCycle] = []
        """Exchanges that have not been answered."""
        self._head = 0
        """Bytes that came in later pieces than a message began with, and that are no body."""
        self._due: Literal["request", "head", "body"] | None = None
        """The part of a request that the client has to send next."""
        self._since = 0.0
        """When that became due, or more of it came."""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await("request")
        self._watch()

    def data_received(self, data: bytes) -> None:
        self._head += len(data)
        if self._due is None and not self._unanswered():
            self._await("request")
        super().data_received(data)
        if self._head > self.bounds.head and not self.transport.is_closing():
            self.send_400_response("The head of this request is too long: shorten its address or its headers.")
        self._watch()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head = 0
        self._await("head")
        self.scope["extensions"] = {ABORT: {"abort": self.transport.abort}}

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._await("body")
        if self.cycle is None:
            return  # it is to be a WebSocket
        self._open = self._unanswered()
        if self.cycle not in self._open:
            self._open.append(self.cycle)

    def on_body(self, body: bytes) -> None:
        self._head = 0
        self._await("body")
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._head = 0
        self._due = None
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self.pipeline.clear()
        super().connection_lost(exc)
        self._due = None
        self._watch()
        for cycle in self._unanswered():
            cycle.disconnected = True
            cycle.message_event.set()

    def _unanswered(self) -> list[RequestResponseCycle]:
        return [cycle for cycle in self._open if not cycle.response_complete]

    # --- who stops half-way ---

    def _await(self, what: Literal["request", "head", "body"]) -> None:
        self._due, self._since = what, self.loop.time()

    def _watch(self) -> None:
        """Start the timer while something has a deadline."""
        if self._due is None and self._timer is not None:
            self._timer.cancel()
            self._timer = None
        elif self._due is not None and self._timer is None:
            self._timer = self.loop.call_at(self._since + self.bounds.silence, self._look)

    def _look(self) -> None:
        self._timer = None
        now = self.loop.time()
        if self.flow.read_paused:
            self._since = now
        if self._since + self.bounds.silence > now:
            self._watch()
        elif not self.transport.is_closing():
            self._cut_off()

    def _cut_off(self) -> None:
        """Answer with the reason, unless it could be taken for the response to another request, and close."""
        half = self.cycle if self._due == "body" else None
        answered = half is not None and half.response_started
        if self._due == "request" or answered or any(cycle is not half for cycle in self._unanswered()):
            self.transport.abort()
        else:
            self.send_400_response(
                f"This request has stopped half-way for {self.bounds.silence:g} seconds: send all of it."
            )
