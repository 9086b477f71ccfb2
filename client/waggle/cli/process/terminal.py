"""The terminal, lent to the process group of a program, as a shell lends it to a job.

A program in a group of its own may neither read from the terminal nor hear Ctrl-C, unless the terminal is lent to it:

1. **Lent at once** if our input is a terminal, and else when the program stops because it wants it; but only by who has
   it: we are in front.
2. **Who has the terminal hears Ctrl-C and Ctrl-Z,** and nobody else. So if Ctrl-Z stops the program, we take the
   terminal back and stop, too, as would have happened without us; continued, we lend it again.
3. **Ctrl-C ended the program: so it ends all that we are part of,** such as a script, as it would have without us.
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
"""What stops a program that uses a terminal it does not have."""


class Terminal:
    """``with Terminal() as terminal``: `give` in the new process, `serve` while it runs. There may be none."""

    def __init__(self) -> None:
        self._file = -1
        self._lent = False

    def __enter__(self) -> Self:
        with suppress(OSError):
            self._file = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
        self._lent = os.isatty(0) and self._has(os.getpgrp())
        return self

    def give(self) -> None:
        """Runs in the new process, in its group: have the terminal, if it is to be lent at once."""
        if self._lent:
            self._hand_to(os.getpgrp())

    @contextmanager
    def serve(self, program: int) -> Iterator[None]:
        """Within the block it is lent to this process and its group when they want it."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._look_after, program)
        try:
            self._look_after(program)
            yield
        finally:
            loop.remove_signal_handler(signal.SIGCHLD)

    def interrupted(self, code: int) -> None:
        """The program has ended with this code: if that was by Ctrl-C, all that we are part of hears of it."""
        if self._lent and code == -signal.SIGINT:
            self._take_back()
            with _ignored(signal.SIGINT):
                os.killpg(os.getpgrp(), signal.SIGINT)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._take_back()
        if self._file >= 0:
            os.close(self._file)

    def _look_after(self, program: int) -> None:
        """The program may have stopped: see to it that it goes on."""
        try:
            stopped = os.waitid(os.P_PID, program, os.WSTOPPED | os.WNOHANG)
        except ChildProcessError:
            return  # it has ended
        if stopped is None or self._file < 0:
            return
        wants_it = stopped.si_status in TERMINAL_SIGNALS and self._has(os.getpgrp())
        if not wants_it and self._lent:
            self._take_back()
            os.killpg(os.getpgrp(), signal.SIGTSTP)  # and here we stop, until somebody continues us
            wants_it = self._has(os.getpgrp())
        elif not wants_it:
            return  # nobody typed that: whoever has stopped it may want it so
        self._lent = wants_it
        if wants_it:
            self._hand_to(program)
        with suppress(ProcessLookupError):
            os.killpg(program, signal.SIGCONT)

    def _take_back(self) -> None:
        if self._lent:
            self._lent = False
            self._hand_to(os.getpgrp())

    def _has(self, group: int) -> bool:
        with suppress(OSError):
            return self._file >= 0 and os.tcgetpgrp(self._file) == group
        return False

    def _hand_to(self, group: int) -> None:
        with _ignored(signal.SIGTTOU), suppress(OSError):
            os.tcsetpgrp(self._file, group)


@contextmanager
def _ignored(number: signal.Signals) -> Iterator[None]:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, before)
