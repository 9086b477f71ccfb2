"""Commands that wait: `lock`, `wait` and `take` that cannot be answered at once (protocol 2, 6, 7).

Rules:
1. A waiting command belongs to its session, survives a lost connection with it, and is answered exactly once: when what
   it waits for comes, when its time is over, when it is cancelled, or when the session says goodbye.
2. It is answered under the id it was asked with; if its rid was asked again meanwhile, under the newest id.
3. What comes due while the agent is away is kept, and told after the reply to the takeover.

What each waits for is for `locks`, `waits` and `takes` to say; here is only how it is answered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from waggle.wire import messages as m
from waggle.wire.errors import BadRequest, Cancelled, Conflict, LimitReached

from .effects import DeferredReply
from .persistence.records import Key, Record
from .sessions import KeptOutcome, Outcome, Session
from .timers import Timed

if TYPE_CHECKING:
    from .transaction import Transaction


class PendingCommand(Timed):
    """A command of a session that may have to wait. Its deadline is the end of its patience."""

    __slots__ = ("id", "rid", "session", "since")
    op = ""
    """That of commands that take a rid."""

    def __init__(self, serial: int, session: Session, id: m.Id, rid: str | None, since: float) -> None:
        super().__init__(serial)
        self.session = session
        self.id = id
        self.rid = rid
        self.since = since

    @property
    def record_name(self) -> Key:
        raise NotImplementedError

    def record(self) -> Record:
        raise NotImplementedError


def check_capacity(transaction: Transaction, session: Session) -> None:
    """LimitReached if the session has as many waiting commands as it may have."""
    limit = transaction.state.limits.waiting
    if len(session.pending) >= limit:
        raise LimitReached(f"this session has {limit} commands that wait: cancel some", limit=limit)


def check_id(session: Session, id: m.Id) -> None:
    """BadRequest if a command with this id still waits."""
    if id in session.pending:
        raise BadRequest(f"a command with id {id!r} still waits for its answer: choose another", field="id")


def start(transaction: Transaction, waiting: PendingCommand, deadline: float | None) -> None:
    """It waits from now on, until the deadline at most."""
    register(waiting)
    transaction.state.timers.set(waiting, deadline)
    transaction.state.dirty.mark(waiting)


def register(waiting: PendingCommand) -> None:
    """It stands among the waiting commands of its session."""
    waiting.session.pending[waiting.id] = waiting
    if waiting.rid is not None:
        waiting.session.by_rid[waiting.rid] = waiting


def merge_retry(transaction: Transaction, waiting: PendingCommand, id: m.Id) -> None:
    """Its rid was asked again: from now on this id is the one to be answered. A call that asked before is told so."""
    if id == waiting.id:
        return
    check_id(waiting.session, id)
    if waiting.session.connectionless:
        error = Cancelled("the same rid was asked again, by a call that is answered in place of this one")
        transaction.notify(waiting.session, DeferredReply(waiting.session.id, waiting.id, Outcome(error=error)))
    del waiting.session.pending[waiting.id]
    waiting.id = id
    waiting.session.pending[id] = waiting
    transaction.state.dirty.mark(waiting)


def reply(transaction: Transaction, waiting: PendingCommand, outcome: Outcome) -> None:
    """It waits no longer: this is what becomes of it. Stands after the commits that it reflects."""
    session = waiting.session
    drop(transaction, waiting)
    if waiting.rid is not None:
        remember_outcome(transaction, session, waiting.rid, waiting.op, outcome)
    if session.connectionless:
        transaction.state.touch_session(session, transaction.now)
    transaction.notify(session, DeferredReply(session.id, waiting.id, outcome))


def drop(transaction: Transaction, waiting: PendingCommand) -> None:
    """It waits no longer, and nobody is told."""
    session = waiting.session
    del session.pending[waiting.id]
    if waiting.rid is not None:
        del session.by_rid[waiting.rid]
    transaction.state.release_session(session)


def check_rid(op: str, rid: str, first: str) -> None:
    """BadRequest if a command of this op has the rid of one of another."""
    if first not in ("", op):
        raise BadRequest(f"the rid {rid!r} is that of a {first}: give each command one of its own", field="rid")


def remember_outcome(transaction: Transaction, session: Session, rid: str, op: str, outcome: Outcome) -> None:
    """Remember an outcome, so that its rid has its effect once (G10): `ok` and `conflict` are kept."""
    if outcome.error is not None:
        if not isinstance(outcome.error, Conflict):
            return
        # A new one: this one has a traceback, which would keep the command and its value for as long.
        outcome = Outcome(error=Conflict(outcome.error.message, **outcome.error.details))
    kept = KeptOutcome(transaction.state.timers.next_serial(), session.id, rid, op, outcome)
    session.outcomes[rid] = kept
    transaction.state.dirty.mark(kept)
    if len(session.outcomes) > transaction.state.limits.outcomes:
        transaction.state.dirty.mark_removed(session.outcomes.pop(next(iter(session.outcomes))))
