"""The connections of a session, one after another, until the program leaves or the hub refuses for good.

It connects, lets the session say hello, passes messages on to it and sends its lines. When the connection ends,
`waggle.core.backoff` says what follows. One task does this, and sleeps while a connection lasts: messages are
handled in the loop iteration in which they arrive. The lines that were queued in one iteration leave in as few
messages as their size allows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from websockets.asyncio.client import connect as dial
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from waggle.core.backoff import after_close, backoff, is_loopback
from waggle.core.session import Session, State
from waggle.transport.connection import CLOSE_TIMEOUT_S, MAX_MESSAGE_BYTES, Connection
from waggle.wire.errors import Disconnected, Forbidden, Unauthorized

__all__ = ["ReconnectingConnection"]

SUBPROTOCOL = Subprotocol("waggle.v1")
EARLY_SEND_LINES = 16
"""Lines that are sent before the end of the loop iteration, so that the hub works while the client writes more. With
all 64 lines of an iteration in one message, one of the two would always wait for the other."""
STABLE_AFTER_S = 5.0
"""Seconds a connection must last to reset the backoff: a hub that drops it sooner needs the longer delays."""


class ReconnectingConnection:
    """The connections of one session. ``apply_updates`` is called after each report to the session; ``random``
    returns a number in [0, 1)."""

    def __init__(
        self,
        session: Session,
        url: str,
        apply_updates: Callable[[], None],
        random: Callable[[], float],
        *,
        timeout: float,
        connect_timeout: float,
        reconnect_timeout: float | None,
    ) -> None:
        self.session, self.url = session, url
        self.closing = False
        """Whether the program has said goodbye, so that the end of the connection is the end."""
        self._apply_updates, self._random, self._timeout = apply_updates, random, timeout
        self._connect_timeout, self._reconnect_timeout = connect_timeout, reconnect_timeout
        self._loop = asyncio.get_running_loop()
        self._deadline: float | None = self._loop.time() + connect_timeout
        """The time to give up, on the loop's clock; None while connected, or if never."""
        self._connection: Connection | None = None
        self._closed: asyncio.Future[None] = self._loop.create_future()
        """Done when the present connection has ended."""
        self._hello_timeout: asyncio.Timeout | None = None
        self._sending = False
        """Whether `_send` runs at the end of this loop iteration."""

    # --- for the driver --------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Stay connected until the program leaves. Raises if the client cannot connect again."""
        attempt = 0
        while True:
            pause, why, since = 0.0, "the connection was lost", self._loop.time()
            try:
                async with asyncio.timeout_at(self._deadline):
                    connection = await self._dial()
            except (OSError, WebSocketException) as fault:
                why = str(fault) or "no answer in time"
            else:
                pause = await self._use(connection)
                if self.closing:
                    return
                self._apply_updates()
                if self._loop.time() - since > STABLE_AFTER_S:
                    attempt = 0
            pause += backoff(attempt, self._random())
            attempt += 1
            if self._deadline is not None and self._loop.time() + pause > self._deadline:
                raise self._no_answer(why)
            await asyncio.sleep(pause)

    def on_state(self, state: State) -> None:
        """Set the timeouts for the new state of the session."""
        self._deadline = None
        if state == "reconnecting" and self._reconnect_timeout is not None:
            self._deadline = self._loop.time() + self._reconnect_timeout
        if state == "connected" and self._hello_timeout is not None:
            self._hello_timeout.reschedule(None)

    def send_soon(self) -> None:
        """Send the session's lines at the end of this loop iteration, or at once if they are many."""
        if self.session.unsent >= EARLY_SEND_LINES:
            self._send()
        elif not self._sending:
            self._sending = True
            self._loop.call_soon(self._send)

    # --- one connection --------------------------------------------------------------------------------------

    async def _dial(self) -> Connection:
        """Return a new connection. Raises the error of the socket, or Unauthorized or Forbidden for good."""
        try:
            connection = await dial(
                self.url,
                subprotocols=[SUBPROTOCOL],
                compression=None,
                max_size=MAX_MESSAGE_BYTES,
                close_timeout=CLOSE_TIMEOUT_S,
                proxy=None if is_loopback(self.url) else True,
                create_connection=Connection,
            )
        except InvalidStatus as refused:
            match refused.response.status_code:
                case 401:
                    raise Unauthorized(f"{self.url} did not let us in: set WAGGLE_TOKEN or pass token=.") from None
                case 403:
                    raise Forbidden(f"{self.url} refused us: ask who runs the hub to allow this.") from None
                case _:
                    raise
        assert isinstance(connection, Connection)
        return connection

    def _no_answer(self, why: str) -> Disconnected:
        waited = self._connect_timeout if self.session.welcome is None else self._reconnect_timeout
        return Disconnected(
            f"No hub has answered at {self.url} for {waited:g} s ({why}): start one with `waggle serve`, or set"
            " WAGGLE_URL or pass url= if it is elsewhere."
        )

    async def _use(self, connection: Connection) -> float:
        """Use a connection until it ends, and return the seconds that the hub asks for. Raises if the client must
        not connect again."""
        self._connection, self._closed = connection, self._loop.create_future()
        try:
            connection.open(self)
            self.session.opened()
            self._apply_updates()
            async with asyncio.timeout(self._timeout) as self._hello_timeout:
                await self._closed
        except TimeoutError:
            return 0.0  # no answer to hello
        finally:
            self._connection = self._hello_timeout = None
            connection.transport.abort()
            await connection.wait_closed()
            self.session.dropped()
        refusal = self.session.refusal
        if refusal is None:
            return 0.0 if self.closing else after_close(connection.close_code or 1006, connection.close_reason or "")
        if not refusal.retry:
            raise refusal
        self.session.refusal = None
        return float(refusal.details.get("retry_after", 1.0))

    def _send(self) -> None:
        """Send the session's lines, as far as the socket takes them."""
        self._sending = False
        connection = self._connection
        if connection is None or connection.full:
            return
        for message in self.session.outgoing():
            connection.write(message)
            if connection.full:
                break

    # --- calls of the connection -----------------------------------------------------------------------------

    def on_messages(self, messages: list[bytes]) -> None:
        """Pass messages to the session; end the connection if the hub refuses the session, or a line cannot be
        read."""
        if self._closed.done():
            return
        try:
            for message in messages:
                self.session.receive(message)
            self._apply_updates()
        except Exception as fault:
            self._closed.set_exception(fault)
        else:
            if self.session.refusal is not None:
                self._closed.set_result(None)

    def on_room(self) -> None:
        """Send the lines that had to wait."""
        self._send()

    def on_gone(self) -> None:
        """End the use of the connection."""
        if not self._closed.done():
            self._closed.set_result(None)
