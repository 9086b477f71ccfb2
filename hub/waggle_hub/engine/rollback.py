"""Rollback: return to what the journal has kept, when it fails, and refuse what has to survive until it has recovered.

Rules:
1. A batch that was not kept has never been seen: its events are dropped. Each command in it is answered with an error,
   unless it is waiting again afterwards, as it was before the batch.
2. The machine keeps running on what was kept. Commands that change only what need not survive are still accepted.
3. When the journal has written everything it was given, all commands are accepted again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from waggle_hub.delivery.connection import Connection
from waggle_hub.delivery.fanout import CommandPending, Fanout, Notice, PendingReply, Released, SessionBound
from waggle_hub.fulltext.service import Finder
from waggle_hub.lru import Lru
from waggle_hub.state.effects import Effect, OpenCursor
from waggle_hub.state.log import Commit
from waggle_hub.state.machine import Machine
from waggle_hub.state.persistence.records import Record

logger = logging.getLogger("waggle_hub")


class Rollback:
    """The listener of the journal, and the way back from a batch that it has not kept.

    `active_connection` is the engine's, by session. `run` runs a decision of the machine and queues its effects.
    """

    def __init__(
        self,
        machine: Machine,
        fanout: Fanout,
        active_connection: dict[str, Connection],
        lru: Lru,
        search: Finder,
        clock: Callable[[], float],
        run: Callable[[Callable[[], list[Effect]]], None],
    ) -> None:
        self._machine = machine
        self._fanout = fanout
        self._active_connection = active_connection
        self._lru = lru
        self._search = search
        self._clock = clock
        self._run = run

    def on_failure(self, error: Exception) -> None:
        """Refuse commands that change what has to survive: the journal cannot write."""
        logger.error("the journal fails, and changes that must survive are refused: %s", error)
        self._machine.refuse(f"the journal fails ({error})")

    def on_recovery(self) -> None:
        """Accept all commands again: the journal has written everything."""
        logger.warning("the journal has recovered")
        self._run(lambda: self._machine.accept(self._clock()))

    def roll_back(
        self, batch: list[Released], records: list[Record], error: Exception
    ) -> list[PendingReply | CommandPending]:
        """Take back a batch, all that is decided and not kept. Return the commands in it to answer with an error.

        `records` are those that the journal has kept. The machine is to `begin` afterwards.
        """
        # Read before the machine goes back: afterwards it no longer knows which commands began to wait in the batch.
        unanswered_before = self._machine.unanswered_commands()
        commits = [item for item in batch if isinstance(item, Commit)]
        self._machine.roll_back(commits, records, self._fanout.connections.keys(), self._clock())
        unanswered = self._machine.unanswered_commands()
        rejected = self._rejected(batch, unanswered, unanswered_before - unanswered)
        # Not before the commands are sorted: they are recognised by the session that their connection has.
        self._restore_connections(batch)
        # Both hold what was taken back, so they start again from the entries.
        self._lru.reset(self._machine.state.keyspace.cached_entries())
        self._search.forget()
        # Before anything new is decided: while the journal fails, no decision may need the disk.
        self.on_failure(error)
        self._fanout.roll_back([item for item in batch if isinstance(item, OpenCursor)])
        return rejected

    def _rejected(
        self, batch: list[Released], unanswered: set[tuple[str, int | str]], dropped: set[tuple[str, int | str]]
    ) -> list[PendingReply | CommandPending]:
        """Return the commands of a batch that nothing else will answer; `dropped` began to wait in it."""
        rejected: list[PendingReply | CommandPending] = []
        for item in batch:
            match item:
                # The reply was decided in the batch, and the command is not waiting: it was not done.
                case PendingReply() if (item.connection.session, item.id) not in unanswered:
                    rejected.append(item)
                # The command began to wait in the batch, or its background task was cancelled with it.
                case CommandPending() if (item.session, item.id) in dropped or (item.task and not item.task.done()):
                    rejected.append(item)
                case PendingReply() | Notice():
                    # The command waits again, or its reply or notice will be given later: this text will not leave.
                    item.connection.reserve_reply(-len(item.text))
                case _:
                    pass
        return rejected

    def _restore_connections(self, batch: list[Released]) -> None:
        """Make the connections that fan-out knows the active ones again: a takeover in the batch did not happen."""
        for item in batch:
            # A hello in the batch did not happen: its connection has no session yet.
            if isinstance(item, SessionBound):
                item.connection.session = None
        # The same dict as before: the engine holds it too.
        self._active_connection.clear()
        self._active_connection.update(self._fanout.connections)
        # A connection that was about to be replaced is heard again.
        for session, connection in self._active_connection.items():
            connection.session = session
            connection.replaced = False
