"""The end of waiting, whatever it is for: cancelled, out of time, or the session is over (protocol 2, 6, 7)."""

from __future__ import annotations

from waggle.wire import messages as m
from waggle.wire.errors import Cancelled, WaggleError
from waggle_hub.state import pending
from waggle_hub.state.locks.request import LockRequest
from waggle_hub.state.pending import Waiting
from waggle_hub.state.sessions import Outcome, Session
from waggle_hub.state.store.expiry import Timed
from waggle_hub.state.transaction import Transaction
from waggle_hub.state.waits.condition_index import Wait
from waggle_hub.state.work.queue import Taker

from . import locks, take, wait


def cancel(turn: Transaction, session: Session, command: m.Cancel) -> m.Cancelling:
    """What waits under this id waits no longer; a grant that was faster stays one."""
    return m.Cancelling(cancel_one(turn, session, command.target, "cancelled, as asked"))


def cancel_one(turn: Transaction, session: Session, id: m.Id, why: str) -> bool:
    """What waits under this id waits no longer; whether anything did."""
    found = session.waiting.get(id)
    if found is None:
        return False
    _give_up(turn, found)
    turn.commit()
    pending.answer(turn, found, Outcome(error=Cancelled(why)))
    return True


def give_up_all(turn: Transaction, session: Session, error: WaggleError) -> None:
    """What the session waits for it no longer waits for."""
    for found in list(session.waiting.values()):
        _give_up(turn, found)
        pending.answer(turn, found, Outcome(error=error))


def forget_all(turn: Transaction, session: Session) -> None:
    """What the session waits for it no longer waits for, and nobody is there to be told."""
    for found in list(session.waiting.values()):
        _give_up(turn, found)
        pending.forget(turn, found)


def leave_all(turn: Transaction, session: Session) -> None:
    """The session ends: what it held is free, what it waited for it no longer waits for."""
    give_up_all(turn, session, Cancelled("the session has ended"))
    for claim in list(session.claims):
        turn.release(claim, "session_ended")


def time_out(turn: Transaction, thing: Timed) -> None:
    """The time of a lock, or of a waiting command, is over."""
    match thing:
        case LockRequest():
            locks.time_out(turn, thing)
        case Wait():
            wait.time_out(turn, thing)
        case Taker():
            take.time_out(turn, thing)
        case _:
            raise AssertionError(f"{thing} has no time to be over")


def _give_up(turn: Transaction, found: Waiting) -> None:
    match found:
        case LockRequest():
            locks.give_up(turn, found)
        case Wait():
            wait.give_up(turn, found)
        case Taker():
            take.give_up(turn, found)
        case _:
            raise AssertionError(f"{found} waits for nothing")
