"""Who waits for an outcome, and until when.

The rules:

1. **An outcome is the result of a future,** and wakes its caller by itself. Who is not here any more is told nothing.
2. **One timer for all ordinary commands.** The hub should answer them at once, so each has the same time, and they are
   late in the order in which they were asked; so the timer stands at the first of them, and a command that is answered
   costs it nothing. A command that waits at the hub has a timer of its own.
3. **Late is an exception,** TimeoutError, so that it takes the way of a caller that was cancelled.
"""

from __future__ import annotations

import asyncio

from waggle.core.pending import Outcome, PendingCommand

__all__ = ["ReplyFutures"]


class ReplyFutures:
    """What is waited for at one link; ``timeout`` is what each caller grants the hub, in seconds, beside the time it
    asked it to wait."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._prompt: dict[PendingCommand, tuple[asyncio.Future[Outcome], float]] = {}
        """Those of ordinary commands, in the order asked, with the time at which each is late."""
        self._timer: asyncio.TimerHandle | None = None
        """At the time at which the first of them is late, or was when it was set."""
        self._patient: dict[PendingCommand, tuple[asyncio.Future[Outcome], asyncio.TimerHandle | None]] = {}
        """Those of commands that wait, with a timer unless they wait for ever."""

    def wait(self, ask: PendingCommand) -> asyncio.Future[Outcome]:
        """The outcome of ``ask``, when it is known. Raises TimeoutError if it comes too late."""
        future: asyncio.Future[Outcome] = self._loop.create_future()
        if ask.waits:
            seconds = self.patience(ask)
            timer = None if seconds is None else self._loop.call_later(seconds, self._late, ask)
            self._patient[ask] = future, timer
        else:
            self._prompt[ask] = future, self._loop.time() + self._timeout
            if self._timer is None:
                self._timer = self._loop.call_later(self._timeout, self._look)
        return future

    def patience(self, ask: PendingCommand) -> float | None:
        """Seconds that an answer may take; None if it may take for ever."""
        return None if ask.patience is None else ask.patience + self._timeout

    def settle(self, ask: PendingCommand, outcome: Outcome) -> None:
        """Tell the caller, if there still is one."""
        future = self.leave(ask)
        if future is not None and not future.done():
            future.set_result(outcome)

    def leave(self, ask: PendingCommand) -> asyncio.Future[Outcome] | None:
        """Nobody is to be told any more; what the caller waited for, if it was here."""
        if ask in self._prompt:
            return self._prompt.pop(ask)[0]
        future, timer = self._patient.pop(ask, (None, None))
        if timer is not None:
            timer.cancel()
        return future

    def close(self) -> None:
        """Everybody was told; no timer is left behind."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        """Some may be late by now; the timer goes to the first that is not."""
        self._timer = None
        now = self._loop.time()
        while self._prompt:
            ask, (_, due) = next(iter(self._prompt.items()))
            if due > now:
                self._timer = self._loop.call_at(due, self._look)
                return
            self._late(ask)

    def _late(self, ask: PendingCommand) -> None:
        future = self.leave(ask)
        if future is not None and not future.done():
            future.set_exception(TimeoutError())
