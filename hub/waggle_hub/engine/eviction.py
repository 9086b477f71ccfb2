"""Eviction: make room for a write by removing cached entries, the least recently used first.

The machine refuses a write that does not fit (`StoreFull`) and knows nothing of reads. So the engine keeps the order of
use (`lru`), evicts by a command of its own, and decides the write again.
"""

from __future__ import annotations

from collections.abc import Callable

from waggle.wire import messages as m
from waggle.wire.errors import Unavailable
from waggle_hub.lru import Lru
from waggle_hub.state.commands.entries import StoreFull
from waggle_hub.state.effects import Effect, Reply
from waggle_hub.state.machine import Machine
from waggle_hub.state.sessions import Outcome

_RETRY_AFTER_S = 0.05
"""Seconds after which a client tries again, if its command would evict more than one command may."""


class Eviction:
    """Room for the writes of a full hub. One command evicts at most `max_entries`; `queue` takes effects."""

    def __init__(self, machine: Machine, lru: Lru, max_entries: int, queue: Callable[[list[Effect]], None]) -> None:
        self._machine = machine
        self._lru = lru
        self._max_entries = max_entries
        self._queue = queue

    def make_room(self, outputs: list[Effect], command: m.AnyCommand, session: str | None, now: float) -> list[Effect]:
        """Return the outputs of a command, decided again for as long as it is refused and entries can be evicted."""
        room = self._max_entries
        at_least = 1
        while (full := _store_full(outputs)) is not None:
            candidates = self._lru.eviction_candidates(full, at_least, room)
            # All cached entries together would not be enough: the refusal stands, and nothing is evicted for it.
            if not candidates:
                break
            # What the refused command has changed all the same (an expiry) stays, and stands before the eviction.
            self._queue([output for output in outputs if not isinstance(output, Reply)])
            self._queue(self._machine.evict(candidates, now))
            room -= len(candidates)
            # One command may not hold up the others for long. It gets further the next time: this room stays free.
            if room <= 0:
                busy = Unavailable("the hub is full, and making room: try again", retry_after=_RETRY_AFTER_S)
                return [Reply(command.id, Outcome(error=busy))]
            # A refused command has had no effect of its own, so it can be decided again as a whole.
            outputs = self._machine.apply(command, session, now)
            # A command of many steps names one missing place at a time: double, so as to ask a few times only.
            at_least *= 2
        return outputs


def _store_full(outputs: list[Effect]) -> StoreFull | None:
    """Return the error of a command that was refused because the hub is full."""
    for output in outputs:
        if isinstance(output, Reply) and isinstance(output.outcome.error, StoreFull):
            return output.outcome.error
    return None
