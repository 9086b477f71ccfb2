"""Timers: the expiry of what is due in the machine, and actions at a fixed interval.

The machine has no clock. One timer stands at its earliest deadline; when it fires, a slice of what is due expires as
one decision, and other commands have their turn before the next slice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from waggle_hub.state.effects import Effect
from waggle_hub.state.machine import Machine

_MAX_DELAY_S = 86_400.0
"""Longest delay of one timer. Deadlines may be years away, and some event loops refuse such a delay."""


class ExpiryTimer:
    """The timer at the earliest deadline of the machine.

    `run` runs a decision of the machine and queues its effects. Without a `loop`, the owner calls `expire`.
    """

    def __init__(
        self,
        machine: Machine,
        max_entries: int,
        clock: Callable[[], float],
        run: Callable[[Callable[[], list[Effect]]], None],
        loop: asyncio.AbstractEventLoop | None,
    ) -> None:
        self._machine = machine
        self._max_entries = max_entries
        self._clock = clock
        self._run = run
        self._loop = loop
        self._handle: asyncio.TimerHandle | None = None
        self._deadline = 0.0
        """The deadline that the timer stands at, if there is one."""

    def schedule(self) -> None:
        """Set the timer to the earliest deadline, which any command may have changed."""
        if self._loop is None:
            return
        deadline = self._machine.next_deadline()
        if self._handle is not None:
            if deadline == self._deadline:  # true for most commands: setting a timer anew costs more than asking
                return
            self._handle.cancel()
            self._handle = None
        # A deadline that has passed already fires in the next turn of the loop, not at once: others come first.
        if deadline is not None:
            self._deadline = deadline
            delay = max(0.0, deadline - self._clock())
            self._handle = self._loop.call_later(min(delay, _MAX_DELAY_S), self.expire)

    def expire(self) -> None:
        """Expire one slice of what is due. The flush that follows schedules the next."""
        # Cleared before the decision, whose flush sets the timer again.
        self._handle = None
        self._run(lambda: self._machine.expire(self._clock(), self._max_entries))

    def stop(self) -> None:
        """Cancel the timer. It is not set again."""
        if self._handle is not None:
            self._handle.cancel()
        self._handle = self._loop = None


class IntervalTimer:
    """An action that is run every so many seconds; never without a `loop`."""

    def __init__(self, seconds: float, action: Callable[[], object], loop: asyncio.AbstractEventLoop | None) -> None:
        self._seconds = seconds
        self._action = action
        self._loop = loop
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Run the action for the first time after one interval."""
        if self._loop is not None:
            self._handle = self._loop.call_later(self._seconds, self._fire)

    def stop(self) -> None:
        """Run the action no more."""
        if self._handle is not None:
            self._handle.cancel()
        self._handle = self._loop = None

    def _fire(self) -> None:
        # Counted from the end of the action: a loop that is late has no bursts to catch up with.
        self._action()
        self.start()
