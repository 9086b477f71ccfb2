"""Reading: the commands of one connection, a message at a time and line by line, each submitted as it is read.

Rules:
1. A long message is worked off in slices of a few milliseconds, and others get their turn in between.
2. While an agent does not read its replies, no further command of it is read.
3. When the connection is closing nothing more is read.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from waggle_hub.delivery.connection import Connection
from waggle_hub.engine.engine import Engine

from .decode import BadLine, decode


class Reader:
    """What is left to do of the message that came last."""

    def __init__(self, engine: Engine, connection: Connection) -> None:
        self._engine = engine
        self._connection = connection
        self._rest: Iterator[str] = iter(())

    def read(self, text: str) -> bool:
        """Submit the commands of a message; whether that is done. If not, `go_on` in a later turn, with room."""
        self._rest = _lines(text)
        return self.go_on()

    def go_on(self) -> bool:
        """Submit more of them; whether that is done."""
        connection = self._connection
        until = time.monotonic() + self._engine.bounds.slice
        while connection.closing is None:
            if connection.congested or time.monotonic() > until:
                return False
            line = next(self._rest, None)
            if line is None:
                return True
            if line and not line.isspace():
                self._submit(line)
        return True

    def _submit(self, line: str) -> None:
        try:
            command = decode(line)
        except BadLine as bad:
            self._engine.refuse(self._connection, bad.id, bad.error)
        else:
            self._engine.submit(self._connection, command)


def _lines(text: str) -> Iterator[str]:
    """The lines, one at a time: all at once, 16 MiB of short ones would take seconds and 400 MiB."""
    start = 0
    while (end := text.find("\n", start)) >= 0:
        yield text[start:end]
        start = end + 1
    yield text[start:]
