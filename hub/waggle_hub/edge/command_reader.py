"""Command reader: takes a message of one connection line by line, and submits each command as it is read.

Rules:
1. A long message is worked off in slices of a few milliseconds; other connections get their turn in between.
2. While the outbox of a connection is full of replies that are not read, no further command is read from it.
3. Nothing is read from a connection that is closing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from waggle_hub.delivery.connection import Connection
from waggle_hub.engine.engine import Engine

from .decode import BadLine, decode


class Reader:
    """The rest of the newest message of one connection."""

    def __init__(self, engine: Engine, connection: Connection) -> None:
        self._engine = engine
        self._connection = connection
        self._rest: Iterator[str] = iter(())

    def read(self, text: str) -> bool:
        """Submit the commands of a message and return whether all were submitted. If not, call `go_on` in a later
        turn."""
        self._rest = _lines(text)
        return self.go_on()

    def go_on(self) -> bool:
        """Submit more commands of the message and return whether all were submitted."""
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
    """Yield the lines one at a time: splitting 16 MiB of short lines at once would take seconds and 400 MiB."""
    start = 0
    while (end := text.find("\n", start)) >= 0:
        yield text[start:end]
        start = end + 1
    yield text[start:]
