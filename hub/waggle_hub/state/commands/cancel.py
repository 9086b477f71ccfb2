"""The rule of `cancel`, and the other ends of pending commands: time out, end of the session (protocol 2, 6, 7)."""

from __future__ import annotations

from waggle.wire import messages as m
from waggle.wire.errors import Cancelled, WaggleError
from waggle_hub.state import pending
from waggle_hub.state.locks import lifecycle
from waggle_hub.state.locks.request import LockRequest
from waggle_hub.state.pending import PendingCommand
from waggle_hub.state.sessions import Outcome, Session
from waggle_hub.state.timers import Timed
from waggle_hub.state.transaction import Transaction
from waggle_hub.state.waits.condition import Wait
from waggle_hub.state.work.queue import Taker

from . import locks, take, wait


def cancel(transaction: Transaction, session: Session, command: m.Cancel) -> m.Cancelling:
    """Cancel the pending command with this id. A lock that was granted before stays granted."""
    return m.Cancelling(cancel_command(transaction, session, command.target, "cancelled, as asked"))


def cancel_command(transaction: Transaction, session: Session, id: m.Id, reason: str) -> bool:
    """Cancel the pending command with this id, and reply to it. Return False if there is none."""
    command = session.pending.get(id)
    if command is None:
        return False
    _stop_waiting(transaction, command)
    transaction.commit()
    pending.reply(transaction, command, Outcome(error=Cancelled(reason)))
    return True


def fail_all(transaction: Transaction, session: Session, error: WaggleError) -> None:
    """End all pending commands of a session with this error."""
    for command in list(session.pending.values()):
        _stop_waiting(transaction, command)
        pending.reply(transaction, command, Outcome(error=error))


def drop_all(transaction: Transaction, session: Session) -> None:
    """End all pending commands of a session without a reply: their callers are gone."""
    for command in list(session.pending.values()):
        _stop_waiting(transaction, command)
        pending.drop(transaction, command)


def release_all(transaction: Transaction, session: Session) -> None:
    """End all pending commands of a session that ends, and release its locks."""
    fail_all(transaction, session, Cancelled("the session has ended"))
    for request in list(session.lock_requests):
        lifecycle.release(transaction, request, "session_ended")


def time_out(transaction: Transaction, timed: Timed) -> None:
    """End a held lock or a pending command whose deadline has passed."""
    match timed:
        case LockRequest():
            locks.time_out(transaction, timed)
        case Wait():
            wait.time_out(transaction, timed)
        case Taker():
            take.time_out(transaction, timed)
        case _:
            raise AssertionError(f"{timed} cannot time out")


def _stop_waiting(transaction: Transaction, command: PendingCommand) -> None:
    match command:
        case LockRequest():
            locks.stop_waiting(transaction, command)
        case Wait():
            wait.stop_waiting(transaction, command)
        case Taker():
            take.stop_waiting(transaction, command)
        case _:
            raise AssertionError(f"{command} cannot be waiting")
