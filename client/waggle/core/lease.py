"""What this agent holds, a lock or the lease of a job, by its own clock (protocol 6 and 7, G8).

The rules:

1. **Never longer than in the hub.** The hub counts from when it granted or renewed; the client from when it had asked
   for that, which was before. So its deadline is the earlier one, however long the reply took. A hub that does not
   hear of us ends the session after its ``grace``, and with it what we hold: so a deadline is never later than that,
   whatever the ttl.
2. **Renewed early.** After a third of that time it is due: then two renewals may fail before it is lost.
3. **Lost is for good,** and the first reason stays.

Nothing here waits or sends; the clock is an argument, in seconds that only run forward.
"""

from __future__ import annotations

from typing import Protocol

from waggle.wire.errors import BadRequest, LockLost, again
from waggle.wire.messages import Granted, Guard, Taken

__all__ = ["Guarding", "HasToken", "Lease", "granted_at", "guard_of", "token_of"]

EARLY = 1 / 3
"""The part of its time after which a hold is renewed."""
ROUNDED = 0.001
"""Seconds that ``waited`` of a grant may be too much: it is told in milliseconds."""

_REASONS = {
    "expired": "its time was over before it was renewed",
    "forced": "it was freed by force",
    "released": "its entry is gone",
    "session_ended": "the session has ended",
    "session_lost": "the session was lost with its connection",
    "disconnected": "the connection is gone for good",
    "not_holder": "the hub says that it is not held any more",
}


class Lease:
    """One grant: its token, until when it is held, and why it was lost."""

    __slots__ = ("deadline", "due", "lost", "name", "token", "ttl")

    def __init__(self, name: str, token: int, ttl: float) -> None:
        self.name, self.token, self.ttl = name, token, ttl
        self.deadline = self.due = float("-inf")
        """Until when it is held for certain, and when it should be renewed: nothing is certain until `confirmed`."""
        self.lost: LockLost | None = None

    def confirmed(self, since: float, grace: float) -> None:
        """The hub has granted or renewed it at ``since`` or later."""
        span = min(self.ttl, grace) if grace > 0 else self.ttl
        self.deadline = since + span
        self.due = since + span * EARLY

    def lose(self, reason: str, message: str = "") -> None:
        """It is not held any more; ``reason`` is a word of the wire, ``message`` what somebody said of it."""
        if self.lost is None:
            why = _REASONS.get(reason, reason) + (f" ({message})" if message else "")
            said = f"{self.name} (token {self.token}) is not held any more, {why}."
            self.lost = LockLost(said, reason=reason, token=self.token)

    def check(self) -> None:
        """Raise LockLost if it is lost."""
        if self.lost is not None:
            raise again(self.lost)


def granted_at(grant: Granted | Taken, asked: float) -> float:
    """The earliest instant at which the hub can have granted what was asked for at ``asked``."""
    return asked + max(0.0, grant.waited - ROUNDED)


class HasToken(Protocol):
    """What can guard a write: a lock or a job of either client."""

    @property
    def token(self) -> int:
        """The token of the grant."""

    def check(self) -> None:
        """Raise LockLost if it is not held any more."""


Guarding = int | HasToken
"""What is taken as ``guard=``: a lock, a job, or the token of one."""


def guard_of(guard: Guarding | None) -> Guard | None:
    """As the wire has it. Raises as `token_of`."""
    token = token_of(guard)
    return None if token is None else Guard(token)


def token_of(guard: Guarding | None) -> int | None:
    """The token. Raises LockLost if the lock is known to be lost, so nothing is sent in vain; BadRequest if it is no
    guard."""
    if guard is None or (isinstance(guard, int) and not isinstance(guard, bool)):
        return guard
    if isinstance(guard, int) or not hasattr(guard, "check"):
        raise BadRequest(f"guard is a lock, a job or a token, not {type(guard).__name__}", field="guard")
    guard.check()
    return guard.token
