"""Loading bar: the progress of a hub that reads much data at its start, as a bar on a terminal and a last line."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

_MIN_ENTRIES = 100_000
"""Entries from which on progress is shown: fewer are read in less than a second."""


class Loading:
    """The progress of one start. Call it with the number of entries read, and of all there are."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._started = time.monotonic()
        self._progress: Progress | None = None
        self._task = TaskID(0)
        self._read = 0

    def __enter__(self) -> Loading:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        seconds = time.monotonic() - self._started
        if self._progress is not None:
            self._progress.stop()
        if error is None and self._read >= _MIN_ENTRIES:
            print(f"waggle: {self._read:,} entries read from {self._data} in {seconds:.1f} s", file=sys.stderr)

    def __call__(self, read: int, total: int) -> None:
        self._read = read
        if self._progress is None and total >= _MIN_ENTRIES and sys.stderr.isatty():
            columns = TextColumn("reading entries"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
            self._progress = Progress(*columns, console=Console(stderr=True), transient=True)
            self._task = self._progress.add_task("", total=total)
            self._progress.start()
        if self._progress is not None:
            self._progress.update(self._task, completed=read, total=total)
