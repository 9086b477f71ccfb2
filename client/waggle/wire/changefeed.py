"""What has become of the entries of a namespace since somebody last looked: slices, as a caller hands them over.

This is how an index beside the hub catches up: it says up to where it knows everything (a cursor, None for nothing),
and is told the rest, no more than one slice waiting at a time. After the last slice it knows all that the hub had
acknowledged to anybody before it asked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from msgspec import Raw

from waggle.wire.messages import EventType

__all__ = ["GONE", "TYPES", "Change", "Put", "Slice"]

GONE: Final[frozenset[str]] = frozenset({"delete", "expire", "evict"})
"""The types of events after which a key has no entry."""
TYPES: Final[list[EventType]] = ["set", "delete", "expire", "evict"]
"""The types of events that say which entries there are, and what their values are."""


class Change(NamedTuple):
    """What is at a key now: its value as JSON text, None if there is no entry any more; and the revision of that."""

    key: str
    value: Raw | None
    rev: int


class Slice(NamedTuple):
    """Some of what has changed, in order. If it is ``anew``, nothing that was told before this slice counts."""

    changes: list[Change]
    anew: bool = False


Put = Callable[[Slice], Awaitable[None]]
"""Takes a slice; the next one comes when it returns."""
