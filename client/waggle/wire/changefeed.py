"""The change feed: what became of the entries of a namespace since a cursor, in slices.

An index beside the hub catches up with it. The index gives the cursor up to which it knows everything (None: it knows
nothing), and takes the rest, one slice at a time. After the last slice it knows every change that the hub had
acknowledged before the index asked.
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
"""The types of events that change which entries there are, or their values."""


class Change(NamedTuple):
    """A key with its value as JSON text (None: the entry is gone), and the revision of the change."""

    key: str
    value: Raw | None
    rev: int


class Slice(NamedTuple):
    """Some of the changes, in order. With ``anew`` the feed starts again: forget all slices before this one."""

    changes: list[Change]
    anew: bool = False


Put = Callable[[Slice], Awaitable[None]]
"""A function that takes a slice. The next slice comes when it returns."""
