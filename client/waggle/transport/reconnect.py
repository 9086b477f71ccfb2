"""One connection after another for a session, until it is left, or until there is no way back.

It dials, lets the session say hello, feeds it what comes and sends what it has to say; when the connection ends it asks
`waggle.core.backoff` what follows. One task for all of them, which sleeps while a connection stands: what comes is
worked
off in the turn of the loop in which it came, and all lines that were queued in a turn leave in as few messages as their
size allows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from websockets.asyncio.client import connect as dial
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from waggle.core.backoff import after_close, backoff, is_loopback
from waggle.core.session import Session, State
from waggle.transport.connection import LARGEST_MESSAGE, LINGER, Connection
from waggle.wire.errors import Disconnected, Forbidden, Unauthorized

__all__ = ["ReconnectingConnection"]

SUBPROTOCOL = Subprotocol("waggle.v1")
PIECE = 16
"""Lines that do not wait for the end of the turn: the hub is at work on them while we write more. With all 64 of a turn
in one message, hub and client would take turns."""
STEADY = 5.0
"""Seconds a connection has to last for the next backoff to begin anew: a hub that drops us at once is not well."""


class ReconnectingConnection:
    """The connections of one session. ``act`` is called after each thing that the session was told; ``chance`` gives
    a random number in [0, 1)."""

    def __init__(
        self,
        session: Session,
        url: str,
        act: Callable[[], None],
        chance: Callable[[], float],
        *,
        timeout: float,
        connect_timeout: float,
        reconnect_timeout: float | None,
    ) -> None:
        self.session, self.url = session, url
        self.leaving = False
        """Whether the program has said goodbye: then the end of the connection is the end."""
        self._act, self._chance, self._timeout = act, chance, timeout
        self._connect_timeout, self._reconnect_timeout = connect_timeout, reconnect_timeout
        self._loop = asyncio.get_running_loop()
        self._deadline: float | None = self._loop.time() + connect_timeout
        """When to give up, on the loop's clock; None while connected, or if never."""
        self._connection: Connection | None = None
        self._over: asyncio.Future[None] = self._loop.create_future()
        """The end of the present connection."""
        self._patience: asyncio.Timeout | None = None
        self._sending = False
        """Whether `_send` is to come in this turn."""

    # --- for the link ----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep connected; returns when left, raises when there is no way back."""
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
                if self.leaving:
                    return
                self._act()
                if self._loop.time() - since > STEADY:
                    attempt = 0
            pause += backoff(attempt, self._chance())
            attempt += 1
            if self._deadline is not None and self._loop.time() + pause > self._deadline:
                raise self._nobody_there(why)
            await asyncio.sleep(pause)

    def told(self, state: State) -> None:
        """The state of the session is another: set the times that go with it."""
        self._deadline = None
        if state == "reconnecting" and self._reconnect_timeout is not None:
            self._deadline = self._loop.time() + self._reconnect_timeout
        if state == "connected" and self._patience is not None:
            self._patience.reschedule(None)

    def send_soon(self) -> None:
        """The session has something to say: it leaves at the end of this turn, with what else comes until then; or at
        once, where that is much already."""
        if self.session.unsent >= PIECE:
            self._send()
        elif not self._sending:
            self._sending = True
            self._loop.call_soon(self._send)

    # --- one connection --------------------------------------------------------------------------------------

    async def _dial(self) -> Connection:
        """A new connection. Raises what the sockets raise, or Unauthorized or Forbidden for good."""
        try:
            connection = await dial(
                self.url,
                subprotocols=[SUBPROTOCOL],
                compression=None,
                max_size=LARGEST_MESSAGE,
                close_timeout=LINGER,
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

    def _nobody_there(self, why: str) -> Disconnected:
        waited = self._connect_timeout if self.session.welcome is None else self._reconnect_timeout
        return Disconnected(
            f"No hub has answered at {self.url} for {waited:g} s ({why}): start one with `waggle serve`, or set"
            " WAGGLE_URL or pass url= if it is elsewhere."
        )

    async def _use(self, connection: Connection) -> float:
        """Use a connection to its end; gives the seconds the hub asks for, raises if there is no way back."""
        self._connection, self._over = connection, self._loop.create_future()
        try:
            connection.open(self)
            self.session.opened()
            self._act()
            async with asyncio.timeout(self._timeout) as self._patience:
                await self._over
        except TimeoutError:
            return 0.0  # no answer to hello
        finally:
            self._connection = self._patience = None
            connection.transport.abort()
            await connection.wait_closed()
            self.session.dropped()
        refusal = self.session.refusal
        if refusal is None:
            return 0.0 if self.leaving else after_close(connection.close_code or 1006, connection.close_reason or "")
        if not refusal.retry:
            raise refusal
        self.session.refusal = None
        return float(refusal.details.get("retry_after", 1.0))

    def _send(self) -> None:
        """Send what the session has to say, as far as the socket takes it."""
        self._sending = False
        connection = self._connection
        if connection is None or connection.full:
            return
        for message in self.session.outgoing():
            connection.write(message)
            if connection.full:
                break

    # --- what the connection tells ---------------------------------------------------------------------------

    def on_messages(self, messages: list[bytes]) -> None:
        """Feed the session until the hub refuses us, or says what cannot be read."""
        if self._over.done():
            return
        try:
            for message in messages:
                self.session.receive(message)
            self._act()
        except Exception as fault:
            self._over.set_exception(fault)
        else:
            if self.session.refusal is not None:
                self._over.set_result(None)

    def on_room(self) -> None:
        """Send what had to wait."""
        self._send()

    def on_gone(self) -> None:
        """The connection has ended."""
        if not self._over.done():
            self._over.set_result(None)
