"""One command on its way to its outcome, and what an outcome is: a reply's struct, or the error it means.

What is sent when is in `waggle.core.session`; here is only what a single command carries, and how its reply is
read.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Struct

from waggle.core.incoming import Incoming
from waggle.core.lease import Lease
from waggle.core.subscription import Subscription
from waggle.wire.errors import Disconnected, WaggleError, again, error_from_wire
from waggle.wire.messages import REPLIES, Backup, Change, Command, Entry, Lock, Search, Take, Wait

__all__ = ["Outcome", "PendingCommand", "again", "in_doubt", "outcome_of"]

Outcome = Struct | WaggleError

_OK = {command: msgspec.json.Decoder(reply) for command, reply in REPLIES.items()}
_PATIENT = frozenset({Lock, Wait, Take, Backup, Search})
"""The commands whose answer the hub may hold back."""


class PendingCommand:
    """A command that somebody waits for. Its identity is what a shell finds the caller by."""

    __slots__ = (
        "command", "given_up", "hold", "ids", "patience", "repeated", "sent", "settled", "subscription", "waits",
    )  # fmt: skip

    def __init__(self, command: Command, subscription: Subscription | None = None) -> None:
        self.command = command
        self.patience = _patience(command) if type(command) in _PATIENT else 0.0
        """Seconds that the hub may take to answer because that is what was asked for; None if it may take for ever."""
        self.waits = self.patience != 0
        """Whether the hub may answer it late, out of order."""
        self.sent = False
        """Whether the hub may have seen it."""
        self.subscription = subscription
        """Whose ``subscribe`` it is: the command is then made anew each time it is sent."""
        self.ids: list[int] = []
        """Under which it was sent in this session, and may be answered."""
        self.hold: Lease | None = None
        """What it was granted; or, of a `renew` that nobody waits for, what it renews."""
        self.given_up = False
        """Whether nobody waits for it any more, but what the hub may have granted is still to be given back."""
        self.settled = False
        """Whether its outcome is known."""
        self.repeated = False
        """Whether the outcome is that of an earlier time, and may not hold any more."""

    @property
    def grants(self) -> bool:
        """Whether it asks for something to hold."""
        return isinstance(self.command, Lock | Take)

    @property
    def in_doubt(self) -> bool:
        """Whether it may have changed something without our knowing. What a session was granted went with it."""
        return self.sent and isinstance(self.command, Change) and not self.grants


def _patience(command: Command) -> float | None:
    if isinstance(command, Lock):
        return command.wait
    return command.timeout if isinstance(command, Wait | Take) else None


def outcome_of(command: Command, incoming: Incoming) -> Outcome:
    """The reply as the struct that ``command`` gets, or as an exception; msgspec's error if it is neither."""
    if incoming.error is not UNSET:
        error = error_from_wire(incoming.error)
        if isinstance(error.details.get("current"), dict):
            error.details["current"] = msgspec.convert(error.details["current"], Entry)
        return error
    reply: Struct = _OK[type(command)].decode(b"null" if incoming.ok is UNSET else incoming.ok)
    return reply


def in_doubt(ask: PendingCommand, why: str) -> Disconnected:
    """What the caller of a change hears that was sent and never answered."""
    op = ask.command.__struct_config__.tag
    return Disconnected(
        f"{why} The `{op}` was sent and not answered: it may or may not have taken effect. Read the state to"
        " find out, then repeat it if needed.",
        in_doubt=True,
    )
