"""A line from the hub, in the form that the client decodes it to."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, Raw, UnsetType

from waggle.wire.messages import Event, Id, LostLock

__all__ = ["Incoming"]


class Incoming(Event, kw_only=True, omit_defaults=True, repr_omit_defaults=True):
    """A line from the hub: a reply has ``ok`` or ``error``, an event has ``type``, a lost lock has ``lost``.

    It is an Event, so that an event needs no second decoding before a program gets it.
    """

    id: Id | None = None
    """The id of the command that is answered; None if that had none."""
    ok: Raw | UnsetType = UNSET
    """The reply."""
    error: dict[str, Any] | UnsetType = UNSET
    """The error: `code`, `message`, and what the code carries."""
    dup: bool = False
    """Whether the outcome is that of an earlier command with the same `rid`."""
    lost: LostLock | UnsetType = UNSET
    """The lock that this session has lost."""

    def __repr__(self) -> str:
        """Return the text of the Event, which is the type that a program knows."""
        return super().__repr__().replace("Incoming", "Event", 1)
