"""The refill queue: who is behind gets the next slice in turn, and all of them together take little of each turn (G12).

Rules:
1. In the queue is who is behind and has sent what it had. One slice each, round robin, whatever it still lacks.
2. A turn of the loop has about `seconds` of it, and at least one slice; the rest goes on in the next. So a thousand who
   are refilled at once cost the others as much as one.
3. Who has left, closed, or has lines again that wait loses its place; who is told nothing by its slice keeps it.
"""

from __future__ import annotations

from collections.abc import Callable

from .connection import Connection


class CatchupQueue:
    """The connections that are ready for a slice. `refill` tells one of them its slice; `timer` gives seconds."""

    def __init__(self, refill: Callable[[Connection], None], seconds: float, timer: Callable[[], float]) -> None:
        self._catch_up = refill
        self._seconds = seconds
        self._timer = timer
        self._ready: dict[Connection, None] = {}
        self._due = False
        self.call_soon: Callable[[Callable[[], None]], object] | None = None
        """Calls a function in the next turn of the loop. Without it somebody calls `step`."""

    def add(self, connection: Connection) -> None:
        """This one is ready; one that is in the queue keeps its place."""
        self._ready[connection] = None
        self._schedule()

    def step(self) -> None:
        """As many slices as one turn of the loop has time for."""
        self._due = False
        until = self._timer() + self._seconds
        try:
            while self._ready:
                self._serve()
                if self._timer() >= until:
                    break
        finally:  # a fault in one slice does not stop the others
            self._schedule()

    def _serve(self) -> None:
        connection = next(iter(self._ready))
        del self._ready[connection]
        if connection.ready:
            self._catch_up(connection)
            if connection.ready:
                self._ready[connection] = None

    def _schedule(self) -> None:
        if self._ready and not self._due and self.call_soon is not None:
            self._due = True
            self.call_soon(self.step)
