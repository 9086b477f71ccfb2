"""A command between its call and its outcome: the struct of the reply, or the error.

`waggle.core.session` decides when a command is sent. This module knows what one command carries, and how its reply
is read.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Struct

from waggle.core.incoming import Incoming
from waggle.core.lease import Lease
from waggle.core.subscription import Subscription
from waggle.wire.errors import Disconnected, WaggleError, error_from_wire
from waggle.wire.messages import REPLIES, Backup, Change, Command, Entry, Lock, Search, Take, Wait

__all__ = ["Outcome", "PendingCommand", "in_doubt", "outcome_of"]

Outcome = Struct | WaggleError

_OK = {command: msgspec.json.Decoder(reply) for command, reply in REPLIES.items()}
_DEFERRABLE = frozenset({Lock, Wait, Take, Backup, Search})
"""The commands whose reply the hub may defer."""


class PendingCommand:
    """A command whose outcome a caller awaits. Drivers find the caller by the object's identity."""

    __slots__ = (
        "cancelled", "command", "duplicate", "hub_wait", "ids", "lease", "sent", "settled", "subscription", "waits",
    )  # fmt: skip

    def __init__(self, command: Command, subscription: Subscription | None = None) -> None:
        self.command = command
        self.hub_wait = _hub_wait(command) if type(command) in _DEFERRABLE else 0.0
        """Seconds that the command lets the hub wait before it answers; None for any time."""
        self.waits = self.hub_wait != 0
        """Whether the hub may answer later, out of order."""
        self.sent = False
        """Whether the hub may have received the command."""
        self.subscription = subscription
        """The subscription of a `subscribe`: the command is then built again each time it is sent."""
        self.ids: list[int] = []
        """The ids under which the command was sent in this session, and may be answered."""
        self.lease: Lease | None = None
        """The lease that was granted; for a `renew` of the session itself, the lease to renew."""
        self.cancelled = False
        """Whether the caller gave up, while a grant may still have to be unlocked."""
        self.settled = False
        """Whether the outcome is known."""
        self.duplicate = False
        """Whether the outcome is that of an earlier attempt, and may have changed since."""

    @property
    def grants(self) -> bool:
        """Return whether the command asks for a lock or a job."""
        return isinstance(self.command, Lock | Take)

    @property
    def in_doubt(self) -> bool:
        """Return whether the command may have changed something, and only its reply would say so.

        A `lock` or `take` is never in doubt: what a session was granted ends with the session.
        """
        return self.sent and isinstance(self.command, Change) and not self.grants


def _hub_wait(command: Command) -> float | None:
    if isinstance(command, Lock):
        return command.wait
    return command.timeout if isinstance(command, Wait | Take) else None


def outcome_of(command: Command, incoming: Incoming) -> Outcome:
    """Return the reply as the struct for ``command``, or the error it carries. Raises msgspec's error if the reply
    is neither."""
    if incoming.error is not UNSET:
        error = error_from_wire(incoming.error)
        if isinstance(error.details.get("current"), dict):
            error.details["current"] = msgspec.convert(error.details["current"], Entry)
        return error
    reply: Struct = _OK[type(command)].decode(b"null" if incoming.ok is UNSET else incoming.ok)
    return reply


def in_doubt(pending: PendingCommand, why: str) -> Disconnected:
    """Return the error for a change that was sent and not answered."""
    op = pending.command.__struct_config__.tag
    return Disconnected(
        f"{why} The `{op}` was sent and not answered: it may or may not have taken effect. Read the state to"
        " find out, then repeat it if needed.",
        in_doubt=True,
    )
