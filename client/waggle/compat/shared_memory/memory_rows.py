"""Rows of the index: a memory as much of it as is shown among others, and its place in an order."""

from __future__ import annotations

from typing import Any, Final, Literal

from msgspec import UNSET, UnsetType

from waggle.compat.mapping import Memory, instant_of
from waggle.wire.changefeed import Change
from waggle.wire.json import encode

__all__ = ["RANKS", "Order", "Place", "Shown", "place_of", "row_of"]

Order = Literal["chronological", "reverse", "priority"]
Place = tuple[int | str, ...]
"""Where a memory stands in an order: instant and id, and the rank of its priority before them."""

RANKS: Final = {"high": 0, "medium": 1, "low": 2}
MAX_SHOWN_CHARS: Final = 22_000
"""Characters of JSON of a memory that is shown whole: it has room in a reply."""
EXCERPT_CHARS: Final = 1_500
"""Characters of each text of a longer one."""
MAX_SEARCHED_CHARS: Final = 10_000
"""Characters of the content, and of its other texts, that are searched: 200 words have about 1,500."""


class Shown(Memory, kw_only=True, omit_defaults=False):
    """A memory as it is shown among others, and what is left out of it if it is too long."""

    left_out: str | UnsetType = UNSET


def place_of(memory: Memory, order: Order) -> Place:
    """Return the place of a memory in an order."""
    place = (instant_of(memory.timestamp), memory.entry_id)
    return (RANKS[memory.priority], *place) if order == "priority" else place


def row_of(number: int, change: Change, memory: Memory) -> tuple[Any, ...]:
    """Return the row of a memory, in the order of the columns."""
    json = encode(memory).decode()
    if len(json) > MAX_SHOWN_CHARS:
        json = encode(_shortened(memory)).decode()
    names = "\x1f".join((memory.agent_name, *memory.tags))
    text = f"{memory.content[:MAX_SEARCHED_CHARS]}\x1f{names[:MAX_SEARCHED_CHARS]}"
    return (
        number,
        memory.entry_id,
        instant_of(memory.timestamp),
        memory.agent_name,
        RANKS[memory.priority],
        len(memory.content.split()),
        len(change.value or b""),
        change.rev,
        len(json) + 1,
        text,
        text.casefold(),
        json,
    )


def _shortened(memory: Memory) -> Shown:
    """Return as much of a long memory as is shown among others."""
    fields = {name: getattr(memory, name) for name in memory.__struct_fields__}
    left = [f"metadata ({len(encode(memory.metadata).decode()):,} characters)"] if memory.metadata else []
    fields["metadata"] = {}
    for name in ("content", "agent_name"):
        if len(fields[name]) > EXCERPT_CHARS:
            left.append(f"most of {name} ({len(fields[name]):,} characters)")
            fields[name] = f"{fields[name][:EXCERPT_CHARS]}..."
    if len(encode(memory.tags)) > EXCERPT_CHARS:
        left.append(f"tags ({len(memory.tags):,})")
        fields["tags"] = []
    return Shown(**fields, left_out=f"{', '.join(left)}: get_memory reads it whole")
