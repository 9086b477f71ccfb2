"""The terminal, lent to the process group of a program, as a shell lends it to a job.

A terminal has one foreground group: only its processes may read from the terminal, and only they get Ctrl-C and
Ctrl-Z. A program in its own group needs to be made that group:

1. **When the terminal is lent:** at once if our input is a terminal, else when the program stops because it needs
   the terminal; in both cases only while our own group is the foreground group.
2. **Ctrl-Z** stops only the program. We then take the terminal back and stop, too, as would have happened without
   us. When we are continued, we lend the terminal again.
3. **Ctrl-C** that ended the program is sent on to our own group: it ends a script that called us, as it would have
   without us.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self

__all__ = ["Terminal"]

TERMINAL_SIGNALS = (signal.SIGTTIN, signal.SIGTTOU)
"""Signals that stop a program which uses the terminal without being in the foreground group."""


class Terminal:
    """The controlling terminal, or none: `take_foreground` in the new process, `lend_on_demand` while it runs."""

    def __init__(self) -> None:
        self._tty = -1
        self._lent = False

    def __enter__(self) -> Self:
        with suppress(OSError):
            self._tty = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
        self._lent = os.isatty(0) and self._is_foreground(os.getpgrp())
        return self

    def take_foreground(self) -> None:
        """Make the new process's group the foreground group, if the terminal is lent at once. Runs in the new
        process."""
        if self._lent:
            self._set_foreground(os.getpgrp())

    @contextmanager
    def lend_on_demand(self, program: int) -> Iterator[None]:
        """Within the block, lend the terminal to the program's group when the program needs it."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._on_child_stopped, program)
        try:
            self._on_child_stopped(program)
            yield
        finally:
            loop.remove_signal_handler(signal.SIGCHLD)

    def pass_on_interrupt(self, code: int) -> None:
        """Send SIGINT to our own group if ``code`` says that Ctrl-C ended the program."""
        if self._lent and code == -signal.SIGINT:
            self._take_back()
            with _ignored(signal.SIGINT):
                os.killpg(os.getpgrp(), signal.SIGINT)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._take_back()
        if self._tty >= 0:
            os.close(self._tty)

    def _on_child_stopped(self, program: int) -> None:
        """Continue the program if it has stopped, once it has the terminal; stop with it after Ctrl-Z."""
        try:
            stopped = os.waitid(os.P_PID, program, os.WSTOPPED | os.WNOHANG)
        except ChildProcessError:
            return  # the program has ended
        if stopped is None or self._tty < 0:
            return
        wants_it = stopped.si_status in TERMINAL_SIGNALS and self._is_foreground(os.getpgrp())
        if not wants_it and self._lent:
            self._take_back()
            os.killpg(os.getpgrp(), signal.SIGTSTP)  # this stops us here, until we are continued
            wants_it = self._is_foreground(os.getpgrp())
        elif not wants_it:
            return  # stopped by another process, on purpose: leave it stopped
        self._lent = wants_it
        if wants_it:
            self._set_foreground(program)
        with suppress(ProcessLookupError):
            os.killpg(program, signal.SIGCONT)

    def _take_back(self) -> None:
        if self._lent:
            self._lent = False
            self._set_foreground(os.getpgrp())

    def _is_foreground(self, group: int) -> bool:
        with suppress(OSError):
            return self._tty >= 0 and os.tcgetpgrp(self._tty) == group
        return False

    def _set_foreground(self, group: int) -> None:
        with _ignored(signal.SIGTTOU), suppress(OSError):
            os.tcsetpgrp(self._tty, group)


@contextmanager
def _ignored(number: signal.Signals) -> Iterator[None]:
    previous = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, previous)
