"""How far a long command is: a line for a person that is written over, and gone at the end."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from waggle.cli.output.format import amount

__all__ = ["Progress"]

SHOW_AFTER_S = 0.7
"""Seconds before there is anything to see: most commands are done by then."""
REDRAW_EVERY_S = 0.1
"""Seconds between two looks."""


class Progress:
    """``with Progress("deleting", of=5000) as progress: progress.add(1000)``. Silent where nobody looks."""

    def __init__(self, what: str, *, of: int | None = None) -> None:
        self.done = 0
        self._what, self._of = what, of
        self._next = time.monotonic() + SHOW_AFTER_S
        self._shown = False
        self._seen = sys.stderr.isatty()

    def __enter__(self) -> Self:
        return self

    def add(self, number: int) -> None:
        """So many more are done."""
        self.done += number
        now = time.monotonic()
        if self._seen and now >= self._next:
            self._next, self._shown = now + REDRAW_EVERY_S, True
            of = f" of {amount(self._of)}" if self._of is not None else ""
            sys.stderr.write(f"\r\x1b[K{self._what}: {amount(self.done)}{of}")
            sys.stderr.flush()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
