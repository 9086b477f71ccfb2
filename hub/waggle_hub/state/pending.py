"""Pending commands: `lock`, `wait` and `take` commands that have no reply yet (protocol 2, 6, 7).

Rules:
1. A pending command belongs to its session and survives a lost connection with it. It gets exactly one reply: when what
   it waits for happens, at its deadline, when it is cancelled, or when the session says `bye`.
2. The reply carries the id of the command. If the client retried the command under the same rid, the reply carries the
   newest id.
3. A reply that comes while the agent is away is queued, and sent after the reply to the takeover.

This module knows only how a pending command is answered. What it waits for is decided by `commands/locks`,
`commands/wait` and `commands/take`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from waggle.wire import messages as m
from waggle.wire.errors import BadRequest, Cancelled, Conflict, LimitReached

from .effects import DeferredReply
from .persistence.records import Key, Record
from .sessions import Outcome, RememberedOutcome, Session
from .timers import Timed

if TYPE_CHECKING:
    from .transaction import Transaction


class PendingCommand(Timed, ABC):
    """A command that may have to wait for its reply. Its deadline is the end of its timeout."""

    __slots__ = ("id", "rid", "session", "since")
    op = ""
    """The op of the command, for commands that take a rid."""

    def __init__(self, serial: int, session: Session, id: m.Id, rid: str | None, since: float) -> None:
        super().__init__(serial)
        self.session = session
        self.id = id
        self.rid = rid
        self.since = since

    @property
    @abstractmethod
    def record_name(self) -> Key:
        """The name of the record of this command."""

    @abstractmethod
    def record(self) -> Record:
        """Return the stored form of this command."""


def check_capacity(transaction: Transaction, session: Session) -> None:
    """Raise LimitReached if the session has as many pending commands as it may have."""
    limit = transaction.state.limits.waiting
    if len(session.pending) >= limit:
        raise LimitReached(f"this session has {limit} pending commands: cancel some", limit=limit)


def check_id(session: Session, id: m.Id) -> None:
    """Raise BadRequest if a command with this id is still pending."""
    if id in session.pending:
        raise BadRequest(f"a command with id {id!r} is still pending: choose another id", field="id")


def start(transaction: Transaction, command: PendingCommand, deadline: float | None) -> None:
    """Let a command wait from now on, until the deadline at most (None: without end)."""
    register(command)
    transaction.state.timers.set(command, deadline)
    transaction.state.dirty.mark(command)


def register(command: PendingCommand) -> None:
    """List a command among the pending commands of its session."""
    command.session.pending[command.id] = command
    if command.rid is not None:
        command.session.by_rid[command.rid] = command


def merge_retry(transaction: Transaction, command: PendingCommand, id: m.Id) -> None:
    """Move a pending command to a new id: the client has retried it under the same rid."""
    if id == command.id:
        return
    check_id(command.session, id)
    # Each call over HTTP waits for a reply of its own. A client on a connection waits only for that to the newest id.
    if command.session.connectionless:
        error = Cancelled("another call with the same rid took the place of this one: it gets the reply")
        transaction.notify(command.session, DeferredReply(command.session.id, command.id, Outcome(error=error)))
    del command.session.pending[command.id]
    command.id = id
    command.session.pending[id] = command
    transaction.state.dirty.mark(command)


def reply(transaction: Transaction, command: PendingCommand, outcome: Outcome) -> None:
    """End a pending command with its reply. Call it after the commits that the reply reflects."""
    session = command.session
    drop(transaction, command)
    if command.rid is not None:
        remember_outcome(transaction, session, command.rid, command.op, outcome)
    if session.connectionless:
        transaction.state.touch_session(session, transaction.now)
    transaction.notify(session, DeferredReply(session.id, command.id, outcome))


def drop(transaction: Transaction, command: PendingCommand) -> None:
    """Remove a pending command without a reply."""
    session = command.session
    del session.pending[command.id]
    if command.rid is not None:
        del session.by_rid[command.rid]
    transaction.state.release_session(session)


def check_rid(op: str, rid: str, first: str) -> None:
    """Raise BadRequest if a rid was first used with another op."""
    if first not in ("", op):
        raise BadRequest(f"the rid {rid!r} belongs to a {first} command: give each command its own rid", field="rid")


def remember_outcome(transaction: Transaction, session: Session, rid: str, op: str, outcome: Outcome) -> None:
    """Remember the outcome of a rid, so that a retry has no second effect (G10): only `ok` and `conflict` are kept."""
    if outcome.error is not None:
        if not isinstance(outcome.error, Conflict):
            return
        # A copy of the error: the original has a traceback, which would keep the command and its value in memory.
        outcome = Outcome(error=Conflict(outcome.error.message, **outcome.error.details))
    remembered = RememberedOutcome(transaction.state.timers.next_serial(), session.id, rid, op, outcome)
    session.outcomes[rid] = remembered
    transaction.state.dirty.mark(remembered)
    if len(session.outcomes) > transaction.state.limits.outcomes:
        transaction.state.dirty.mark_removed(session.outcomes.pop(next(iter(session.outcomes))))
