"""What a wait waits for, as a program writes it: a key, or a dict with the words of the wire (protocol 7).

    await hub.wait_all(["spec", {"pattern": "result:*", "count": 3}], timeout=600)

The types here are for whoever checks types and for editors; whether a condition makes sense is the hub's to judge. A
text is a key and nothing else, whatever characters it has: patterns are said to be patterns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NotRequired, Required, TypedDict

import msgspec

from waggle.wire import plain_json
from waggle.wire.errors import BadRequest, TimedOut
from waggle.wire.messages import Awaited, Comparison, Wait

__all__ = [
    "WaitBudget", "WaitFor", "WaitForEntries", "WaitForEntry", "WaitForState", "Where", "condition_of", "conditions_of",
]  # fmt: skip

LONGEST = 3600.0
"""Seconds that the hub waits for one command; a longer wait is asked for again."""


class Where(TypedDict):
    """What a value has to be like, where ``pointer`` (RFC 6901) leads; ``op`` is ``eq`` if it is not given."""

    value: NotRequired[Any]
    op: NotRequired[Comparison]
    pointer: NotRequired[str]


class WaitFor(TypedDict):
    """A condition: so many entries of a key or pattern, none of them, or nothing locked there."""

    key: NotRequired[str]
    pattern: NotRequired[str]
    ns: NotRequired[str | None]
    count: NotRequired[int]
    absent: NotRequired[bool]
    unlocked: NotRequired[bool]
    since: NotRequired[int | None]
    where: NotRequired[Where | None]


class WaitForEntry(TypedDict, total=False):
    """The options of ``hub.wait`` for one key, which gives its entry."""

    where: Where | None
    since: int | None
    ns: str | None
    timeout: float | None


class WaitForEntries(WaitForEntry, total=False):
    """The options of ``hub.wait`` for a pattern, which gives a list of entries."""

    pattern: Required[str]
    count: int


class WaitForState(WaitForEntry, total=False):
    """The options of ``hub.wait`` for anything: an entry, entries, or None where none is waited for."""

    pattern: str | None
    absent: bool
    unlocked: bool


def condition_of(**fields: Any) -> Awaited:
    """One condition. Raises BadRequest for what is none."""
    return _condition(fields, "wait")


def conditions_of(conditions: Iterable[str | WaitFor], field: str) -> list[Awaited]:
    """A list of them. Raises BadRequest, with ``index``, for what is none."""
    if isinstance(conditions, str | Mapping):
        raise BadRequest(f"{field} takes a list, not one {type(conditions).__name__}: put it into [ ]", field=field)
    found = []
    for index, condition in enumerate(conditions):
        place = f"{field}[{index}]"
        if isinstance(condition, str):
            condition = {"key": condition}
        elif not isinstance(condition, Mapping):
            said = f"{place} is a key or a dict, not {type(condition).__name__}"
            raise BadRequest(f'{said}: such as {{"pattern": "a*", ...}}', field=field, index=index)
        found.append(_condition(condition, place))
    return found


def _condition(fields: Mapping[str, Any], place: str) -> Awaited:
    plain_json.check(dict(fields), place)
    try:
        return msgspec.convert(fields, Awaited)
    except msgspec.ValidationError as fault:
        raise BadRequest(f"{place}: {fault}", field=place.partition("[")[0]) from None


class WaitBudget:
    """How long a wait may take in all, and the commands that it takes."""

    def __init__(self, timeout: float | None, now: float) -> None:
        self._deadline = None if timeout is None else now + timeout

    def command(self, conditions: list[Awaited], *, all: bool, now: float) -> Wait:
        """The next command."""
        left = LONGEST if self._deadline is None else max(0.0, min(LONGEST, self._deadline - now))
        return Wait(id=0, all=conditions if all else None, any=None if all else conditions, timeout=left)

    def refused(self, error: TimedOut, now: float) -> None:
        """The hub has waited as long as it was asked to. Raises ``error`` if that was all."""
        over = self._deadline is not None and now >= self._deadline
        if over or error.details.get("unanswered"):
            raise error
