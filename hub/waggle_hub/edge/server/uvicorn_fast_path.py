"""The fast lane over uvicorn: see `lane` for what it promises, and `protocol` for what it is built on.

uvicorn's methods put what they hear into a queue. Here it stays in that queue only while the listener is busy. Whatever
may end a connection passes on what is in it afterwards, so that the end comes last.
"""

from __future__ import annotations

from uvicorn._types import ASGIReceiveEvent
from uvicorn.protocols.utils import ClientDisconnected
from websockets.frames import Frame

from waggle_hub.edge.websocket import ABORT

from .fast_path import LANE, Listener, fitting
from .uvicorn_websocket import LINGER, Protocol


class LaneProtocol(Protocol):
    """A connection that offers the fast path. Until an application takes it, it behaves as any other."""

    _listener: Listener | None = None
    _open = False
    _busy = False

    async def run_asgi(self) -> None:
        """Run the application. If the application took the fast path, the connection outlives it."""
        self._offer(ABORT, {"abort": self.transport.abort})
        self._offer(LANE, {"lane": self})
        try:
            await self.app(self.scope, self.receive, self.send)
        except ClientDisconnected:
            pass
        except BaseException:
            self.logger.exception("Exception in ASGI application\n")
        if not self._open:
            self.send_500_response()  # if the handshake has not been answered
            if self.close_timer is None:
                self.transport.close()
            self.loop.call_later(LINGER, self.transport.abort)

    # --- what the door calls ---

    def open(self, listener: Listener) -> None:
        self._listener = listener
        self._open = True
        self._pass_on()

    def go_on(self) -> None:
        self._busy = False
        self._pass_on()

    def write(self, frame: bytes) -> None:
        if not self.close_sent and not self.transport.is_closing():
            self.transport.write(frame)

    def close(self, code: int, reason: str) -> None:
        if self.close_sent or self.transport.is_closing():
            return
        reason = fitting(reason)
        self.conn.send_close(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.close_timer = self.loop.call_later(self.close_timeout, self.transport.close)
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self._pass_on()

    # --- what the door is told ---

    def _hear_text(self, data: bytes) -> None:
        if self._listener is None or self._busy or self.close_sent:
            super()._hear_text(data)
            return
        try:
            text = data.decode()
        except UnicodeDecodeError:
            super()._hear_text(data)
        else:
            self._busy = not self._listener.on_text(text)

    def _hear(self, message: ASGIReceiveEvent) -> None:
        super()._hear(message)
        self._pass_on()

    def _pass_on(self) -> None:
        """Hand waiting messages to the listener until it is busy."""
        if self._listener is None:
            return
        while not self._busy and not self.queue.empty():
            self._tell(self._listener, self.queue.get_nowait())
        self._read_on()

    def _tell(self, listener: Listener, message: ASGIReceiveEvent) -> None:
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
        self._pass_on()

    def handle_parser_exception(self) -> None:
        super().handle_parser_exception()
        self._pass_on()

    def shutdown(self) -> None:
        super().shutdown()
        self._pass_on()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._listener is not None:
            self._listener.on_resume()
        self._pass_on()
