"""The difference between two values: one change for each place.

Pure functions. A place is written as in JavaScript (``owner.name``, ``tests[3]``); the value as a whole is
``value``. Lists are compared without their common start and common end, so that an item put in front is one change.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from msgspec import UNSET

from waggle.cli.output.format import preview, truncate, visible

__all__ = ["Change", "change_line", "changes"]

CONTEXT_CHARS = 12
"""Characters shown of the common start of two long values."""

_is_name = re.compile(r"[^\W\d]\w*").fullmatch


class Change(NamedTuple):
    """A change at one place of a value: before and after, each UNSET if absent."""

    place: str
    before: Any
    after: Any


def changes(before: Any, after: Any, place: str = "") -> Iterator[Change]:
    """Yield the changes from ``before`` to ``after``, in the order of the value."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in [*before, *(name for name in after if name not in before)]:
            yield from changes(before.get(name, UNSET), after.get(name, UNSET), place + _member(name, not place))
    elif isinstance(before, list) and isinstance(after, list):
        yield from _list_changes(before, after, place)
    elif not _same(before, after):
        yield Change(place or "value", before, after)


def _list_changes(before: list[Any], after: list[Any], place: str) -> Iterator[Change]:
    """Yield the changes between the common start and the common end of two lists."""
    shorter = min(len(before), len(after))
    start = next((i for i in range(shorter) if not _same(before[i], after[i])), shorter)
    shorter -= start
    end = next((i for i in range(shorter) if not _same(before[-1 - i], after[-1 - i])), shorter)
    old, new = before[start : len(before) - end], after[start : len(after) - end]
    for i in range(max(len(old), len(new))):
        was, now = old[i] if i < len(old) else UNSET, new[i] if i < len(new) else UNSET
        yield from changes(was, now, f"{place}[{start + i}]")


def _same(before: Any, after: Any) -> bool:
    """Return whether two values are equal as JSON, where true is not 1."""
    return bool(before == after) and isinstance(before, bool) == isinstance(after, bool)


def _member(name: str, first: bool) -> str:
    if _is_name(name):
        return name if first else f".{name}"
    return f"[{preview(name, None)}]"


def change_line(change: Change, width: int) -> str:
    """Return a change on one line of about ``width`` characters: ``+`` is added, ``-`` removed, ``~`` changed."""
    place = visible(change.place)
    room = max(8, width - len(place) - 4)
    if change.before is UNSET:
        return f"+ {place}: {preview(change.after, room)}"
    if change.after is UNSET:
        return f"- {place}: {preview(change.before, room)}"
    before, after = _skip_common_start(preview(change.before, None), preview(change.after, None), room)
    before = truncate(before, max(4, room // 2 - 4))
    return f"~ {place}: {before} -> {truncate(after, max(4, room - len(before) - 4))}"


def _skip_common_start(before: str, after: str, room: int) -> tuple[str, str]:
    """Return two long texts without most of their common start, so that the difference is visible."""
    pairs = enumerate(zip(before, after, strict=False))
    common = next((index for index, (old, new) in pairs if old != new), 0) - CONTEXT_CHARS
    if common < CONTEXT_CHARS or len(before) + len(after) <= room:
        return before, after
    return "…" + before[common:], "…" + after[common:]
