"""The futures of callers that wait for an outcome, and their timeouts.

Rules:

1. **An outcome is the result of a future,** which wakes its caller. A caller that has gone gets no outcome.
2. **One timer serves all ordinary commands.** The hub answers them at once, so all have the same timeout and expire
   in the order of the calls. The timer is set for the oldest one, so a command that is answered sets no timer of its
   own. A command that waits at the hub has its own timer.
3. **A timeout is an exception,** TimeoutError, so it is handled like the cancellation of a caller.
"""

from __future__ import annotations

import asyncio

from waggle.core.pending import Outcome, PendingCommand

__all__ = ["ReplyFutures"]


class ReplyFutures:
    """The futures of one session. ``timeout`` is how many seconds the hub has to answer, beyond the time that a
    command lets it wait."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._immediate: dict[PendingCommand, tuple[asyncio.Future[Outcome], float]] = {}
        """The futures of ordinary commands, in the order of the calls, with the loop time at which each times out."""
        self._timer: asyncio.TimerHandle | None = None
        """The timer of ordinary commands: for the oldest one, or for one that was the oldest and is answered."""
        self._deferred: dict[PendingCommand, tuple[asyncio.Future[Outcome], asyncio.TimerHandle | None]] = {}
        """The futures of commands that wait at the hub, each with its timer; None if it may wait for ever."""

    def wait(self, pending: PendingCommand) -> asyncio.Future[Outcome]:
        """Return a future of the command's outcome. It raises TimeoutError if the outcome comes too late."""
        future: asyncio.Future[Outcome] = self._loop.create_future()
        if pending.waits:
            seconds = self.timeout_of(pending)
            timer = None if seconds is None else self._loop.call_later(seconds, self._time_out, pending)
            self._deferred[pending] = future, timer
        else:
            self._immediate[pending] = future, self._loop.time() + self._timeout
            if self._timer is None:
                self._timer = self._loop.call_later(self._timeout, self._check_timeouts)
        return future

    def timeout_of(self, pending: PendingCommand) -> float | None:
        """Return the seconds in which the command must be answered; None for any time."""
        return None if pending.hub_wait is None else pending.hub_wait + self._timeout

    def settle(self, pending: PendingCommand, outcome: Outcome) -> None:
        """Give the outcome to the caller, if it still waits."""
        future = self.discard(pending)
        if future is not None and not future.done():
            future.set_result(outcome)

    def discard(self, pending: PendingCommand) -> asyncio.Future[Outcome] | None:
        """Remove a command, and return the future of its caller if there was one."""
        if pending in self._immediate:
            return self._immediate.pop(pending)[0]
        future, timer = self._deferred.pop(pending, (None, None))
        if timer is not None:
            timer.cancel()
        return future

    def close(self) -> None:
        """Stop the timer of ordinary commands."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check_timeouts(self) -> None:
        """Time out the commands whose time is over, and set the timer for the oldest of the others."""
        self._timer = None
        now = self._loop.time()
        while self._immediate:
            pending, (_, renew_at) = next(iter(self._immediate.items()))
            if renew_at > now:
                self._timer = self._loop.call_at(renew_at, self._check_timeouts)
                return
            self._time_out(pending)

    def _time_out(self, pending: PendingCommand) -> None:
        future = self.discard(pending)
        if future is not None and not future.done():
            future.set_exception(TimeoutError())
