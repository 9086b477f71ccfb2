"""The asynchronous driver of a session: it serves callers, consumers and lease holders.

The driver keeps time and wakes tasks. `waggle.core.session` decides what follows from what,
`waggle.transport.reconnect` moves the lines, and `waggle.transport.replies` keeps the callers.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from random import random
from typing import TypeVar

from msgspec import Struct

from waggle.core.lease import Lease, granted_at
from waggle.core.pending import Outcome, PendingCommand
from waggle.core.session import NO_UPDATES, Session, State, Updates
from waggle.core.subscription import Subscription
from waggle.transport.reconnect import ReconnectingConnection
from waggle.transport.replies import ReplyFutures
from waggle.wire.errors import Disconnected, LockLost, NotHolder, TimedOut, WaggleError
from waggle.wire.messages import Bye, Command, Granted, Lock, Renew, Renewed, Subscribed, Take, Taken

__all__ = ["SessionDriver", "closed_by_program"]

T = TypeVar("T", bound=Struct)
S = TypeVar("S")

BYE_TIMEOUT_S = 2.0
"""Seconds that `SessionDriver.close` waits for the hub: then the socket is dropped, and the session ends after its
grace."""

logger = logging.getLogger("waggle")


class SessionDriver:
    """A session and its connection, which is restored until `close`, or until the hub refuses for good."""

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
        self._announced_state: State = session.state
        self._loop = asyncio.get_running_loop()
        self._connection = ReconnectingConnection(
            session,
            url,
            self._apply_updates,
            lambda: random(),
            timeout=timeout,
            connect_timeout=connect_timeout,
            reconnect_timeout=reconnect_timeout,
        )
        self._replies = ReplyFutures(timeout)
        self._wakeups: dict[Subscription, asyncio.Event] = {}
        self._loss_callbacks: dict[Lease, Callable[[], None]] = {}
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._task: asyncio.Task[None] | None = None

    # --- for the hub's methods -------------------------------------------------------------------------------

    async def open(self) -> None:
        """Connect. Raises Disconnected after ``connect_timeout``, or the hub's refusal."""
        self._task = self._loop.create_task(self._run(), name=f"waggle {self.url}")
        try:
            await asyncio.shield(self._opened)
        except BaseException:
            await self._abort()
            raise
        if self.session.error is not None:
            raise self.session.error

    async def close(self) -> None:
        """Say bye, so that the session ends now, and close the connection. A second call does nothing."""
        self._connection.closing = True
        if self._task is None or self._task.done():
            return
        try:
            if self.session.state == "connected":
                self.session.submit(Bye(id=0))
                self._apply_updates()
                await asyncio.wait([self._task], timeout=BYE_TIMEOUT_S)
        finally:
            await self._abort()

    async def request(self, command: Command, reply: type[T]) -> T:
        """Send a command and return its reply. Raises the hub's error, TimedOut, or Disconnected."""
        outcome = await self._outcome(self.session.submit(command))
        assert isinstance(outcome, reply)
        return outcome

    async def subscribe(self, subscription: Subscription) -> Subscribed:
        """Subscribe and return the hub's first answer."""
        self._wakeups[subscription] = asyncio.Event()
        try:
            outcome = await self._outcome(self.session.subscribe(subscription))
        except BaseException:
            self.unsubscribe(subscription)
            raise
        assert isinstance(outcome, Subscribed)
        return outcome

    def unsubscribe(self, subscription: Subscription) -> None:
        """Unsubscribe, and wake the consumer if it waits."""
        wakeup = self._wakeups.pop(subscription, None)
        if wakeup is not None:
            self.session.unsubscribe(subscription)
            wakeup.set()
            self._apply_updates()

    def unsubscribe_threadsafe(self, subscription: Subscription) -> None:
        """Unsubscribe from any thread, also if the loop may be closed."""
        self._call_threadsafe(self.unsubscribe, subscription)

    def resume(self, subscription: Subscription) -> None:
        """Continue the subscription if it was paused: its consumer has read all events."""
        if subscription.paused:
            self.session.resume(subscription)
            self._apply_updates()

    async def wait_for_change(self, subscription: Subscription) -> None:
        """Wait until something may have happened to the subscription since the last call."""
        wakeup = self._wakeups.get(subscription)
        if wakeup is not None:
            wakeup.clear()
            await wakeup.wait()

    def _call_threadsafe(self, call: Callable[[S], object], subject: S) -> None:
        if not self._loop.is_closed():
            try:
                self._loop.call_soon_threadsafe(call, subject)
            except RuntimeError:
                pass  # the loop was closed since the check

    # --- leases ----------------------------------------------------------------------------------------------

    async def acquire(self, command: Lock | Take) -> tuple[Granted | Taken, Lease]:
        """Request a lock or job, and return the grant with a lease that is valid for a while. Raises as `request`.

        If the caller is cancelled or fails, nothing stays granted.
        """
        asked = self.now
        pending = self.session.submit(command)
        outcome = await self._outcome(pending)
        assert isinstance(outcome, Granted | Taken)
        assert pending.lease is not None
        lease = pending.lease
        lease.confirm(granted_at(outcome, asked), self._grace)
        if pending.duplicate or lease.renew_at <= self.now:
            try:
                outcome.expires_at = (await self.renew(lease)).expires_at
            except BaseException:
                self.release_now(lease)
                raise
        return outcome, lease

    async def renew(self, lease: Lease, ttl: float | None = None) -> Renewed:
        """Renew a lease, for ``ttl`` seconds or for as long as before. Raises LockLost, or as `request`."""
        lease.check()
        ttl = lease.ttl if ttl is None else ttl
        asked = self.now
        try:
            renewed = await self.request(Renew(id=0, token=lease.token, ttl=ttl), Renewed)
        except NotHolder as refused:
            self.release_now(lease, "not_holder")
            lease.check()
            raise refused from None  # it was let go meanwhile
        lease.check()
        lease.ttl = ttl
        lease.confirm(asked, self._grace)
        return renewed

    async def unlock(self, lease: Lease) -> None:
        """Unlock a lease. Raises LockLost if it was lost before, or as `request`; the `unlock` is sent in any case."""
        try:
            await self._outcome(self.session.unlock(lease))
        except NotHolder as refused:
            if isinstance(refused, LockLost):
                raise
            lease.mark_lost("not_holder")
            lease.check()

    def release_now(self, lease: Lease, reason: str = "released") -> None:
        """Mark a lease as lost and queue its `unlock`, without waiting for the reply."""
        self.session.release_now(lease, reason)
        self._apply_updates()

    def mark_ended(self, lease: Lease) -> None:
        """Forget a lease that ended at the hub together with its entry."""
        self.session.mark_ended(lease)

    def release_threadsafe(self, lease: Lease) -> None:
        """Release a lease as `release_now`, from any thread, also if the loop may be closed."""
        self._call_threadsafe(self.release_now, lease)

    def on_loss(self, lease: Lease, lost: Callable[[], None]) -> None:
        """Call ``lost`` when the lease is lost; soon, if it is lost already."""
        self._loss_callbacks[lease] = lost
        if lease.lost is not None:
            self._loop.call_soon(self._call_loss_callback, lease)

    def cancel_loss_callback(self, lease: Lease) -> None:
        """Remove the callback of `on_loss`."""
        self._loss_callbacks.pop(lease, None)

    @property
    def now(self) -> float:
        """Return the clock of leases, in seconds. The loop's clock will not do: it stands still for a whole
        iteration."""
        return time.monotonic()

    @property
    def _grace(self) -> float:
        assert self.session.welcome is not None
        return self.session.welcome.grace

    # --- callers ---------------------------------------------------------------------------------------------

    async def _outcome(self, pending: PendingCommand) -> Outcome:
        """Return the outcome of a command, or raise it. A caller that stops waiting leaves no command and no grant
        behind."""
        future = self._replies.wait(pending)
        self._apply_updates()
        try:
            outcome = await future
        except BaseException as why:
            self._replies.discard(pending)
            self.session.cancel(pending)
            self._apply_updates()
            if isinstance(why, TimeoutError):
                raise self._timed_out(pending) from None
            raise
        if isinstance(outcome, WaggleError):
            raise outcome
        return outcome

    def _timed_out(self, pending: PendingCommand) -> TimedOut:
        seconds = self._replies.timeout_of(pending) or 0.0
        op = pending.command.__struct_config__.tag
        fault = f"The hub did not answer `{op}` within {seconds:g} s"
        if self.session.state != "connected":
            fault = f"The hub at {self.url} is away, and `{op}` had no answer within {seconds:g} s"
        effect = "It may still take effect." if pending.in_doubt else "It has changed nothing."
        advice = "check that the hub runs, or pass a longer timeout= to connect."
        return TimedOut(f"{fault}: {advice} {effect}", unanswered=True)

    def _apply_updates(self) -> None:
        """Pass on the session's news: to callers, consumers, lease holders, the connection and ``on_state``."""
        session = self.session
        updates = session.collect()
        if updates is not NO_UPDATES:
            self._dispatch(updates)
        if session.has_output:
            self._connection.send_soon()
        if session.state != self._announced_state:
            self._announce(session.state)

    def _dispatch(self, updates: Updates) -> None:
        for pending, outcome in updates.settled:
            self._replies.settle(pending, outcome)
        for subscription in updates.woken:
            wakeup = self._wakeups.get(subscription)
            if wakeup is not None:
                wakeup.set()
        for lease in updates.lost:
            self._call_loss_callback(lease)
        for seconds, subscription in updates.retries:
            self._loop.call_later(seconds, self._retry, subscription)

    def _call_loss_callback(self, lease: Lease) -> None:
        callback = self._loss_callbacks.pop(lease, None)
        if callback is not None:
            callback()

    def _retry(self, subscription: Subscription) -> None:
        self.session.retry(subscription)
        self._apply_updates()

    def _announce(self, state: State) -> None:
        """Report a new state: let `open` return, and call ``on_state``."""
        self._announced_state = state
        self._connection.on_state(state)
        if state != "reconnecting" and not self._opened.done():
            self._opened.set_result(None)
        if self._on_state is not None:
            try:
                self._on_state(state)
            except Exception:
                logger.exception("on_state failed")

    # --- from the beginning to the end -----------------------------------------------------------------------

    async def _run(self) -> None:
        """Stay connected until the end, then end the session."""
        try:
            await self._connection.run()
            self._end(closed_by_program())
        except WaggleError as error:
            self._end(error)
        except Exception as fault:
            logger.exception("the client failed")
            self._end(Disconnected(f"The client failed ({fault!r}): please report this, then connect again."))

    def _end(self, error: WaggleError) -> None:
        self.session.end(error)
        self._apply_updates()
        self._replies.close()

    async def _abort(self) -> None:
        """Stop at once, whatever is in progress."""
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait([self._task])
        if self.session.error is None:
            self._end(closed_by_program())


def closed_by_program() -> Disconnected:
    """Return the error for the use of a connection that the program has closed."""
    return Disconnected("This connection to the hub was closed by the program itself: connect again to use it.")
