"""The asynchronous driver of a session: what callers, consumers and holders ask of it, and what they are told.

It keeps time and wakes tasks; what follows from what is decided in `waggle.core.session`. How its lines come and go
is in
`waggle.transport.reconnect`, who waits for an answer in `waggle.transport.replies`.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

from msgspec import Struct

from waggle.core.lease import Lease, granted_at
from waggle.core.pending import Outcome, PendingCommand
from waggle.core.session import NO_NEWS, Session, State, Updates
from waggle.core.subscription import Subscription
from waggle.transport.reconnect import ReconnectingConnection
from waggle.transport.replies import ReplyFutures
from waggle.wire.errors import Disconnected, LockLost, NotHolder, TimedOut, WaggleError
from waggle.wire.messages import Bye, Command, Granted, Lock, Renew, Renewed, Subscribed, Take, Taken

__all__ = ["SessionDriver", "left"]

T = TypeVar("T", bound=Struct)
S = TypeVar("S")

LEAVING = 2.0
"""Seconds that leaving may take: then the socket is dropped, and the session ends after its grace."""

logger = logging.getLogger("waggle")
chance: Callable[[], float] = random.random


class SessionDriver:
    """A session and its connection, kept up until `close` or until there is no way back."""

    def __init__(
        self,
        session: Session,
        url: str,
        *,
        timeout: float,
        connect_timeout: float,
        reconnect_timeout: float | None,
        on_state: Callable[[State], None] | None,
    ) -> None:
        self.session, self.url = session, url
        self._on_state = on_state
        self._told: State = session.state
        self._loop = asyncio.get_running_loop()
        self._connections = ReconnectingConnection(
            session,
            url,
            self._act,
            lambda: chance(),
            timeout=timeout,
            connect_timeout=connect_timeout,
            reconnect_timeout=reconnect_timeout,
        )
        self._outcomes = ReplyFutures(timeout)
        self._bells: dict[Subscription, asyncio.Event] = {}
        self._alarms: dict[Lease, Callable[[], None]] = {}
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._task: asyncio.Task[None] | None = None

    # --- for the hub's methods -------------------------------------------------------------------------------

    async def open(self) -> None:
        """Connect. Raises Disconnected after ``connect_timeout``, or what the hub has against it."""
        self._task = self._loop.create_task(self._run(), name=f"waggle {self.url}")
        try:
            await asyncio.shield(self._opened)
        except BaseException:
            await self._abort()
            raise
        if self.session.error is not None:
            raise self.session.error

    async def close(self) -> None:
        """Say bye, so that the session ends now, and close. Nothing happens the second time."""
        self._connections.leaving = True
        if self._task is None or self._task.done():
            return
        try:
            if self.session.state == "connected":
                self.session.ask(Bye(id=0))
                self._act()
                await asyncio.wait([self._task], timeout=LEAVING)
        finally:
            await self._abort()

    async def ask(self, command: Command, reply: type[T]) -> T:
        """Send a command and give its reply. Raises the hub's error, TimedOut, or Disconnected."""
        outcome = await self._outcome(self.session.ask(command))
        assert isinstance(outcome, reply)
        return outcome

    async def begin(self, subscription: Subscription) -> Subscribed:
        """Subscribe; gives what the hub has answered first."""
        self._bells[subscription] = asyncio.Event()
        try:
            outcome = await self._outcome(self.session.subscribe(subscription))
        except BaseException:
            self.leave(subscription)
            raise
        assert isinstance(outcome, Subscribed)
        return outcome

    def leave(self, subscription: Subscription) -> None:
        """Unsubscribe; its consumer, if one still waits, waits no longer."""
        bell = self._bells.pop(subscription, None)
        if bell is not None:
            self.session.leave(subscription)
            bell.set()
            self._act()

    def leave_soon(self, subscription: Subscription) -> None:
        """As `leave`, from any thread, and when the loop may be gone."""
        self._soon(self.leave, subscription)

    def drained(self, subscription: Subscription) -> None:
        """The consumer has taken everything that waited."""
        if subscription.paused:
            self.session.drained(subscription)
            self._act()

    async def news(self, subscription: Subscription) -> None:
        """Wait until something may have happened to the subscription since the caller last looked."""
        bell = self._bells.get(subscription)
        if bell is not None:
            bell.clear()
            await bell.wait()

    def _soon(self, call: Callable[[S], object], subject: S) -> None:
        if not self._loop.is_closed():
            try:
                self._loop.call_soon_threadsafe(call, subject)
            except RuntimeError:
                pass  # it was closed this very moment

    # --- what is held ----------------------------------------------------------------------------------------

    async def grant(self, command: Lock | Take) -> tuple[Granted | Taken, Lease]:
        """Ask for something to hold; it is held, and sure to be for a while, when this returns. Raises as `ask`.

        However it is left, by cancelling too, nothing stays granted that nobody knows of.
        """
        asked = self.now
        ask = self.session.ask(command)
        outcome = await self._outcome(ask)
        assert isinstance(outcome, Granted | Taken)
        assert ask.hold is not None
        hold = ask.hold
        hold.confirmed(granted_at(outcome, asked), self._grace)
        if ask.repeated or hold.due <= self.now:
            try:
                outcome.expires_at = (await self.renew(hold)).expires_at
            except BaseException:
                self.give_up(hold)
                raise
        return outcome, hold

    async def renew(self, hold: Lease, ttl: float | None = None) -> Renewed:
        """Give it its time anew, or another one. Raises LockLost, or as `ask`."""
        hold.check()
        ttl = hold.ttl if ttl is None else ttl
        asked = self.now
        try:
            renewed = await self.ask(Renew(id=0, token=hold.token, ttl=ttl), Renewed)
        except NotHolder as refused:
            self.give_up(hold, "not_holder")
            hold.check()
            raise refused from None  # it was let go meanwhile
        hold.check()
        hold.ttl = ttl
        hold.confirmed(asked, self._grace)
        return renewed

    async def let_go(self, hold: Lease) -> None:
        """Unlock it. Raises LockLost if it was not held to the end, or as `ask`; it is on its way in any case."""
        try:
            await self._outcome(self.session.let_go(hold))
        except NotHolder as refused:
            if isinstance(refused, LockLost):
                raise
            hold.lose("not_holder")
            hold.check()

    def give_up(self, hold: Lease, reason: str = "released") -> None:
        """It is not to be held any more, or must be taken for lost; nobody waits for the hub's word on it."""
        self.session.give_up(hold, reason)
        self._act()

    def drop(self, hold: Lease) -> None:
        """It has ended with its entry, as it was meant to."""
        self.session.drop(hold)

    def give_up_soon(self, hold: Lease) -> None:
        """As `give_up`, from any thread, and when the loop may be gone."""
        self._soon(self.give_up, hold)

    def alarm(self, hold: Lease, lost: Callable[[], None]) -> None:
        """Call ``lost`` when it is lost; soon, if it is."""
        self._alarms[hold] = lost
        if hold.lost is not None:
            self._loop.call_soon(self._ring, hold)

    def hush(self, hold: Lease) -> None:
        """Nobody wants to be called any more when it is lost."""
        self._alarms.pop(hold, None)

    @property
    def now(self) -> float:
        """The clock that holds are measured by, in seconds: not the loop's, which may stand still for a whole turn."""
        return time.monotonic()

    @property
    def _grace(self) -> float:
        assert self.session.welcome is not None
        return self.session.welcome.grace

    # --- callers ---------------------------------------------------------------------------------------------

    async def _outcome(self, ask: PendingCommand) -> Outcome:
        """What becomes of ``ask``, raised if it is an error. A caller that goes away leaves nothing pending, and
        nothing granted."""
        future = self._outcomes.wait(ask)
        self._act()
        try:
            outcome = await future
        except BaseException as why:
            self._outcomes.leave(ask)
            self.session.forget(ask)
            self._act()
            if isinstance(why, TimeoutError):
                raise self._late(ask) from None
            raise
        if isinstance(outcome, WaggleError):
            raise outcome
        return outcome

    def _late(self, ask: PendingCommand) -> TimedOut:
        seconds = self._outcomes.patience(ask) or 0.0
        op = ask.command.__struct_config__.tag
        what = f"The hub did not answer `{op}` within {seconds:g} s"
        if self.session.state != "connected":
            what = f"The hub at {self.url} is away, and `{op}` had no answer within {seconds:g} s"
        then = "It may still take effect." if ask.in_doubt else "It has changed nothing."
        said = f"{what}: check that the hub runs, or pass a longer timeout= to connect. {then}"
        return TimedOut(said, unanswered=True)

    def _act(self) -> None:
        """Pass on what the session has to say: to callers, consumers, the hub, and who watches the state."""
        session = self.session
        news = session.collect()
        if news is not NO_NEWS:
            self._pass_on(news)
        if session.has_output:
            self._connections.send_soon()
        if session.state != self._told:
            self._tell(session.state)

    def _pass_on(self, news: Updates) -> None:
        for ask, outcome in news.settled:
            self._outcomes.settle(ask, outcome)
        for subscription in news.woken:
            bell = self._bells.get(subscription)
            if bell is not None:
                bell.set()
        for hold in news.lost:
            self._ring(hold)
        for seconds, subscription in news.retries:
            self._loop.call_later(seconds, self._retry, subscription)

    def _ring(self, hold: Lease) -> None:
        alarm = self._alarms.pop(hold, None)
        if alarm is not None:
            alarm()

    def _retry(self, subscription: Subscription) -> None:
        self.session.retry(subscription)
        self._act()

    def _tell(self, state: State) -> None:
        """The state is another: let `open` return, and tell the program."""
        self._told = state
        self._connections.told(state)
        if state != "reconnecting" and not self._opened.done():
            self._opened.set_result(None)
        if self._on_state is not None:
            try:
                self._on_state(state)
            except Exception:
                logger.exception("on_state failed")

    # --- from the beginning to the end -----------------------------------------------------------------------

    async def _run(self) -> None:
        """Keep connected until there is no way back; then tell everybody who waits."""
        try:
            await self._connections.run()
            self._end(left())
        except WaggleError as error:
            self._end(error)
        except Exception as fault:
            logger.exception("the client failed")
            self._end(Disconnected(f"The client failed ({fault!r}): please report this, then connect again."))

    def _end(self, error: WaggleError) -> None:
        self.session.end(error)
        self._act()
        self._outcomes.close()

    async def _abort(self) -> None:
        """Stop at once, whatever is under way."""
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait([self._task])
        if self.session.error is None:
            self._end(left())


def left() -> Disconnected:
    """What the program hears that uses a connection it has closed."""
    return Disconnected("This connection to the hub was closed by the program itself: connect again to use it.")
