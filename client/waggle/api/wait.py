"""The conditions of a wait, as a program writes them: a key, or a dict with the words of the wire (protocol 7).

    await hub.wait_all(["spec", {"pattern": "result:*", "count": 3}], timeout=600)

The types are for type checkers and editors; the hub checks whether a condition makes sense. A text is always a key,
whatever characters it has. A pattern needs a dict.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NotRequired, Required, TypedDict

import msgspec

from waggle.wire import plain_json
from waggle.wire.errors import BadRequest, TimedOut
from waggle.wire.limits import MAX_WAIT_S
from waggle.wire.messages import Awaited, Comparison, Wait

__all__ = [
    "WaitBudget", "WaitFor", "WaitForEntries", "WaitForEntry", "WaitForState", "Where", "condition_of", "conditions_of",
]  # fmt: skip


class Where(TypedDict):
    """A test of the value at ``pointer`` (RFC 6901); ``op`` defaults to ``eq``."""

    value: NotRequired[Any]
    op: NotRequired[Comparison]
    pointer: NotRequired[str]


class WaitFor(TypedDict):
    """A condition: a number of entries of a key or pattern, no entry, or no lock there."""

    key: NotRequired[str]
    pattern: NotRequired[str]
    ns: NotRequired[str | None]
    count: NotRequired[int]
    absent: NotRequired[bool]
    unlocked: NotRequired[bool]
    since: NotRequired[int | None]
    where: NotRequired[Where | None]


class WaitForEntry(TypedDict, total=False):
    """The options of ``hub.wait`` for one key; the result is its entry."""

    where: Where | None
    since: int | None
    ns: str | None
    timeout: float | None


class WaitForEntries(WaitForEntry, total=False):
    """The options of ``hub.wait`` for a pattern; the result is a list of entries."""

    pattern: Required[str]
    count: int


class WaitForState(WaitForEntry, total=False):
    """The options of ``hub.wait`` for anything: the result is an entry, a list of entries, or None."""

    pattern: str | None
    absent: bool
    unlocked: bool


def condition_of(**fields: Any) -> Awaited:
    """Return one condition. Raises BadRequest if the fields make none."""
    return _condition(fields, "wait")


def conditions_of(conditions: Iterable[str | WaitFor], field: str) -> list[Awaited]:
    """Return a list of conditions. Raises BadRequest, with ``index``, for an item that is none."""
    if isinstance(conditions, str | Mapping):
        raise BadRequest(f"{field} takes a list, not one {type(conditions).__name__}: put it into [ ]", field=field)
    checked = []
    for index, condition in enumerate(conditions):
        place = f"{field}[{index}]"
        if isinstance(condition, str):
            condition = {"key": condition}
        elif not isinstance(condition, Mapping):
            fault = f"{place} is a key or a dict, not {type(condition).__name__}"
            raise BadRequest(f'{fault}: such as {{"pattern": "a*", ...}}', field=field, index=index)
        checked.append(_condition(condition, place))
    return checked


def _condition(fields: Mapping[str, Any], place: str) -> Awaited:
    plain_json.check(dict(fields), place)
    try:
        return msgspec.convert(fields, Awaited)
    except msgspec.ValidationError as fault:
        raise BadRequest(f"{place}: {fault}", field=place.partition("[")[0]) from None


class WaitBudget:
    """The time that a wait may take in all, and its next command."""

    def __init__(self, timeout: float | None, now: float) -> None:
        self._deadline = None if timeout is None else now + timeout

    def command(self, conditions: list[Awaited], *, all: bool, now: float) -> Wait:
        """Return the next command."""
        timeout = MAX_WAIT_S if self._deadline is None else max(0.0, min(MAX_WAIT_S, self._deadline - now))
        return Wait(id=0, all=conditions if all else None, any=None if all else conditions, timeout=timeout)

    def on_timeout(self, error: TimedOut, now: float) -> None:
        """Continue after the hub has waited as long as the command allowed. Raises ``error`` if the whole time is
        over."""
        over = self._deadline is not None and now >= self._deadline
        if over or error.details.get("unanswered"):
            raise error
