"""A lease: a lock or a job that this agent holds, measured by its own clock (protocol 6 and 7, G8).

Rules:

1. **A lease never lasts longer here than at the hub.** The hub counts from the moment of the grant or renewal. The
   client counts from the moment before it asked, so its deadline is earlier, however long the reply took. The hub
   ends a session that is silent for its ``grace``, and its leases with it, so the deadline is never later than
   ``grace``, whatever the ttl.
2. **A lease is renewed early,** after a third of its time. So two renewals may fail before the lease is lost.
3. **A lost lease stays lost,** and the first reason stays.

Nothing here waits or sends. The clock is an argument, in seconds that only grow.
"""

from __future__ import annotations

from typing import Protocol

from waggle.wire.errors import BadRequest, LockLost, copy_error
from waggle.wire.messages import Granted, Guard, Taken

__all__ = ["Guarding", "HasToken", "Lease", "granted_at", "to_guard", "token_of"]

RENEW_AFTER_FRACTION = 1 / 3
"""The part of its time after which a lease is renewed."""
WAITED_ROUNDING_S = 0.001
"""Seconds by which ``waited`` of a grant may be too large: the hub rounds it to milliseconds."""

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
    """One grant: its fencing token, its deadline, and the error if it was lost."""

    __slots__ = ("deadline", "lost", "name", "renew_at", "token", "ttl")

    def __init__(self, name: str, token: int, ttl: float) -> None:
        self.name, self.token, self.ttl = name, token, ttl
        self.deadline = self.renew_at = float("-inf")
        """The instants until which the lease is certain, and at which to renew it; none is certain before `confirm`."""
        self.lost: LockLost | None = None

    def confirm(self, since: float, grace: float) -> None:
        """Set the deadline: the hub granted or renewed the lease at ``since`` or later."""
        span = min(self.ttl, grace) if grace > 0 else self.ttl
        self.deadline = since + span
        self.renew_at = since + span * RENEW_AFTER_FRACTION

    def mark_lost(self, reason: str, message: str = "") -> None:
        """Mark the lease as lost; ``reason`` is a word of the wire, ``message`` the hub's explanation."""
        if self.lost is None:
            why = _REASONS.get(reason, reason) + (f" ({message})" if message else "")
            text = f"{self.name} (token {self.token}) is not held any more, {why}."
            self.lost = LockLost(text, reason=reason, token=self.token)

    def check(self) -> None:
        """Raise LockLost if the lease is lost."""
        if self.lost is not None:
            raise copy_error(self.lost)


def granted_at(grant: Granted | Taken, asked: float) -> float:
    """Return the earliest instant at which the hub can have granted a request that was sent at ``asked``."""
    return asked + max(0.0, grant.waited - WAITED_ROUNDING_S)


class HasToken(Protocol):
    """An object that can guard a write: a lock or a job of either client."""

    @property
    def token(self) -> int:
        """Return the fencing token of the grant."""

    def check(self) -> None:
        """Raise LockLost if it is not held any more."""


Guarding = int | HasToken
"""The values of ``guard=``: a lock, a job, or the token of one."""


def to_guard(guard: Guarding | None) -> Guard | None:
    """Return the guard for the wire. Raises as `token_of`."""
    token = token_of(guard)
    return None if token is None else Guard(token)


def token_of(guard: Guarding | None) -> int | None:
    """Return the token of a guard.

    Raises LockLost if the lock is known to be lost, so a write that must fail is not sent; BadRequest if ``guard``
    is not a guard.
    """
    if guard is None or (isinstance(guard, int) and not isinstance(guard, bool)):
        return guard
    if isinstance(guard, int) or not hasattr(guard, "check"):
        raise BadRequest(f"guard is a lock, a job or a token, not {type(guard).__name__}", field="guard")
    guard.check()
    return guard.token
