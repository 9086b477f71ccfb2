"""The progress of a long command: one line for a person, overwritten in place, and removed at the end."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from waggle.cli.output.format import amount

__all__ = ["Progress"]

SHOW_AFTER_S = 0.7
"""Wait before the line appears: most commands are done by then."""
REDRAW_EVERY_S = 0.1
"""Time between two drawings of the line."""


class Progress:
    """A progress line: ``with Progress("deleting", of=5000) as progress: progress.add(1000)``.

    Silent if standard error is no terminal.
    """

    def __init__(self, what: str, *, of: int | None = None) -> None:
        self.done = 0
        self._what, self._of = what, of
        self._next_draw = time.monotonic() + SHOW_AFTER_S
        self._shown = False
        self._visible = sys.stderr.isatty()

    def __enter__(self) -> Self:
        return self

    def add(self, number: int) -> None:
        """Count ``number`` more as done, and draw the line if it is time."""
        self.done += number
        now = time.monotonic()
        if self._visible and now >= self._next_draw:
            self._next_draw, self._shown = now + REDRAW_EVERY_S, True
            of = f" of {amount(self._of)}" if self._of is not None else ""
            sys.stderr.write(f"\r\x1b[K{self._what}: {amount(self.done)}{of}")
            sys.stderr.flush()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
