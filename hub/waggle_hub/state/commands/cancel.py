"""The end of waiting, whatever it is for: cancelled, out of time, or the session is over (protocol 2, 6, 7)."""

from __future__ import annotations

from waggle.wire import messages as m
from waggle.wire.errors import Cancelled, WaggleError
from waggle_hub.state import pending
from waggle_hub.state.locks.request import LockRequest
from waggle_hub.state.pending import PendingCommand
from waggle_hub.state.sessions import Outcome, Session
from waggle_hub.state.store.expiry import Timed
from waggle_hub.state.transaction import Transaction
from waggle_hub.state.waits.condition_index import Wait
from waggle_hub.state.work.queue import Taker

from . import locks, take, wait


def cancel(transaction: Transaction, session: Session, command: m.Cancel) -> m.Cancelling:
    """What waits under this id waits no longer; a grant that was faster stays one."""
    return m.Cancelling(cancel_one(transaction, session, command.target, "cancelled, as asked"))


def cancel_one(transaction: Transaction, session: Session, id: m.Id, why: str) -> bool:
    """What waits under this id waits no longer; whether anything did."""
    found = session.pending.get(id)
    if found is None:
        return False
    _give_up(transaction, found)
    transaction.commit()
    pending.reply(transaction, found, Outcome(error=Cancelled(why)))
    return True


def give_up_all(transaction: Transaction, session: Session, error: WaggleError) -> None:
    """What the session waits for it no longer waits for."""
    for found in list(session.pending.values()):
        _give_up(transaction, found)
        pending.reply(transaction, found, Outcome(error=error))


def forget_all(transaction: Transaction, session: Session) -> None:
    """What the session waits for it no longer waits for, and nobody is there to be told."""
    for found in list(session.pending.values()):
        _give_up(transaction, found)
        pending.drop(transaction, found)


def leave_all(transaction: Transaction, session: Session) -> None:
    """The session ends: what it held is free, what it waited for it no longer waits for."""
    give_up_all(transaction, session, Cancelled("the session has ended"))
    for claim in list(session.lock_requests):
        transaction.release_lock(claim, "session_ended")


def time_out(transaction: Transaction, thing: Timed) -> None:
    """The time of a lock, or of a waiting command, is over."""
    match thing:
        case LockRequest():
            locks.time_out(transaction, thing)
        case Wait():
            wait.time_out(transaction, thing)
        case Taker():
            take.time_out(transaction, thing)
        case _:
            raise AssertionError(f"{thing} has no time to be over")


def _give_up(transaction: Transaction, found: PendingCommand) -> None:
    match found:
        case LockRequest():
            locks.give_up(transaction, found)
        case Wait():
            wait.give_up(transaction, found)
        case Taker():
            take.give_up(transaction, found)
        case _:
            raise AssertionError(f"{found} waits for nothing")
