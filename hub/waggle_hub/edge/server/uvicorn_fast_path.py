"""The fast path over uvicorn. `fast_path` says what it promises, `uvicorn_websocket` is its base.

uvicorn's methods put received messages into a queue. Here a message stays in that queue only while the listener is
busy. Every method that may end a connection hands over the queue afterwards, so that the end comes last.
"""

from __future__ import annotations

from uvicorn._types import ASGIReceiveEvent
from uvicorn.protocols.utils import ClientDisconnected
from websockets.frames import Frame

from waggle_hub.edge.websocket import ABORT

from .fast_path import FAST_PATH, Listener, fitted_reason
from .uvicorn_websocket import CLOSE_LINGER_S, Protocol


class FastPathProtocol(Protocol):
    """A connection that offers the fast path. Until an application takes it, it behaves as any other."""

    _listener: Listener | None = None
    _attached = False
    _busy = False

    async def run_asgi(self) -> None:
        """Run the application. If the application took the fast path, the connection outlives it."""
        self._offer(ABORT, {"abort": self.transport.abort})
        self._offer(FAST_PATH, {"path": self})
        try:
            await self.app(self.scope, self.receive, self.send)
        except ClientDisconnected:
            pass
        except BaseException:
            self.logger.exception("Exception in ASGI application\n")
        if not self._attached:
            self.send_500_response()  # if the handshake has not been answered
            if self.close_timer is None:
                self.transport.close()
            self.loop.call_later(CLOSE_LINGER_S, self.transport.abort)

    # --- what the door calls ---

    def open(self, listener: Listener) -> None:
        self._listener = listener
        self._attached = True
        self._hand_over()

    def go_on(self) -> None:
        self._busy = False
        self._hand_over()

    def write(self, frame: bytes) -> None:
        if not self.close_sent and not self.transport.is_closing():
            self.transport.write(frame)

    def close(self, code: int, reason: str) -> None:
        if self.close_sent or self.transport.is_closing():
            return
        reason = fitted_reason(reason)
        self.conn.send_close(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.close_timer = self.loop.call_later(self.close_timeout, self.transport.close)
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self._hand_over()

    # --- what the door is told ---

    def _deliver_text(self, data: bytes) -> None:
        if self._listener is None or self._busy or self.close_sent:
            super()._deliver_text(data)
            return
        try:
            text = data.decode()
        except UnicodeDecodeError:
            super()._deliver_text(data)
        else:
            self._busy = not self._listener.on_text(text)

    def _deliver(self, message: ASGIReceiveEvent) -> None:
        super()._deliver(message)
        self._hand_over()

    def _hand_over(self) -> None:
        """Hand waiting messages to the listener until it is busy."""
        if self._listener is None:
            return
        while not self._busy and not self.queue.empty():
            self._notify(self._listener, self.queue.get_nowait())
        self._resume_when_empty()

    def _notify(self, listener: Listener, message: ASGIReceiveEvent) -> None:
        if message["type"] == "websocket.receive":
            text = message.get("text")
            if text is not None:
                self._busy = not listener.on_text(text)
            else:
                listener.on_binary()
        elif message["type"] == "websocket.disconnect" and self._listener is not None:
            self._listener = None
            listener.on_gone()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._listener is not None:
            self._listener.on_pause()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._listener is not None:
            self._listener.on_resume()

    def handle_close(self, event: Frame) -> None:
        super().handle_close(event)
        self._hand_over()

    def handle_parser_exception(self) -> None:
        super().handle_parser_exception()
        self._hand_over()

    def shutdown(self) -> None:
        super().shutdown()
        self._hand_over()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._listener is not None:
            self._listener.on_resume()
        self._hand_over()
