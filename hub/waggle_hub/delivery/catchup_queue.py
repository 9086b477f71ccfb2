"""The catch-up queue: connections that are behind get slices in turn, within a budget of each turn of the loop (G12).

Rules:
1. A connection is queued while it has cursors to catch up and an empty outbox. Each gets one slice at a time, round
   robin, however much it still lacks.
2. A turn of the loop spends about `seconds` on slices, and serves at least one. The rest follows in the next turn. So a
   thousand connections that catch up at once delay the others no longer than one does.
3. A connection leaves the queue when it closes or has unsent lines. After a slice without lines it keeps its place.
"""

from __future__ import annotations

from collections.abc import Callable

from .connection import Connection

CallSoon = Callable[[Callable[[], None]], object]
"""Calls a function in the next turn of the loop."""


class CatchupQueue:
    """The connections that are ready for a slice.

    `catch_up` sends one of them its slice; `timer` gives seconds. Without `call_soon` the owner has to call `step`.
    """

    def __init__(
        self,
        catch_up: Callable[[Connection], None],
        seconds: float,
        timer: Callable[[], float],
        call_soon: CallSoon | None = None,
    ) -> None:
        self._catch_up = catch_up
        self._seconds = seconds
        self._timer = timer
        self._call_soon = call_soon
        self._ready: dict[Connection, None] = {}
        self._scheduled = False

    def add(self, connection: Connection) -> None:
        """Queue a connection that is ready. One that is queued already keeps its place."""
        self._ready[connection] = None
        self._schedule()

    def step(self) -> None:
        """Serve as many slices as one turn of the loop has time for."""
        self._scheduled = False
        until = self._timer() + self._seconds
        try:
            while self._ready:
                self._serve()
                # Asked after a slice and not before: each turn makes progress, however slow the machine is.
                if self._timer() >= until:
                    break
        finally:  # a fault in one slice does not stop the others
            self._schedule()

    def _serve(self) -> None:
        # A dict keeps the order of insertion: the front has waited for longest.
        connection = next(iter(self._ready))
        del self._ready[connection]
        if connection.ready:  # it may have closed, or have lines again, since it was queued
            self._catch_up(connection)
            # An empty slice leaves the outbox empty, so no writer would queue the connection again.
            if connection.ready:
                self._ready[connection] = None

    def _schedule(self) -> None:
        if self._ready and not self._scheduled and self._call_soon is not None:
            self._scheduled = True
            self._call_soon(self.step)
