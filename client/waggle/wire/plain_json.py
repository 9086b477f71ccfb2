"""Plain JSON data: the check that a value is one that the wire can carry (protocol 1), before it is sent.

The JSON encoder accepts more than the wire: it turns nan into null and a set into a list, so a program would read a
value other than the one it wrote. `check` refuses such data. Its message says which part is wrong, and what to write
instead. The hub checks lengths and rights.

`check` is a loop in Python: five million numbers take it two seconds, too long where other callers wait. `check_large`
looks at one level of nesting after another, with a few passes in C for each, and does not say which part is wrong.
"""

from __future__ import annotations

import math
from typing import Any

from waggle.wire.errors import BadRequest
from waggle.wire.limits import MAX_NESTING_LEVELS

__all__ = ["check", "check_large", "is_plain"]

_ANY = frozenset({str, bool, type(None)})
"""Types of which JSON can hold every value."""
_KNOWN = _ANY | {int, float, dict, list, tuple}
"""Types that a plain value can have."""


def check(value: Any, field: str) -> None:
    """Raise BadRequest if JSON cannot hold ``value`` exactly; ``field`` names it in the message."""
    fault = None if type(value) in _ANY else _fault(value, MAX_NESTING_LEVELS)
    if fault is not None:
        place, what = fault
        raise BadRequest(f"{field}{place}: {what}", field=field)


def check_large(value: Any, field: str) -> None:
    """Raise BadRequest as `check` does, quickly also for a large value; for values that JSON was decoded to."""
    if not is_plain(value):
        raise BadRequest(
            f"{field}: numbers must be finite and fit 64 bits, nesting at most {MAX_NESTING_LEVELS};"
            " otherwise send it as text",
            field=field,
        )


def is_plain(value: Any) -> bool:
    """Return whether a decoded value is plain; one of a subclass of a JSON type is not."""
    level = [value]
    for _ in range(MAX_NESTING_LEVELS + 1):
        kinds = set(map(type, level))
        if kinds <= _ANY:
            return True
        if not kinds <= _KNOWN or not _are_numbers(level, kinds):
            return False
        below: list[Any] = []
        for item in level if kinds & {dict, list, tuple} else ():
            if type(item) is dict:
                if not set(map(type, item)) <= {str}:
                    return False
                below.extend(item.values())
            elif type(item) is list or type(item) is tuple:
                below.extend(item)
        level = below
    return False


def _are_numbers(level: list[Any], kinds: set[type]) -> bool:
    """Return whether JSON can hold all numbers of a level."""
    for kind in kinds & {int, float}:
        numbers = level if len(kinds) == 1 else [item for item in level if type(item) is kind]
        if kind is int and not -(2**63) <= min(numbers) <= max(numbers) < 2**63:
            return False
        if kind is float and not all(map(math.isfinite, numbers)):
            return False
    return True


def _fault(value: Any, depth: int) -> tuple[str, str] | None:
    """Return the first part of ``value`` that JSON cannot hold, and what to do about it; None if there is none."""
    match value:
        case None | bool() | str():
            return None
        case int():
            if -(2**63) <= value < 2**63:
                return None
            return "", f"{value} does not fit into 64 bits; send it as text"
        case float():
            return None if math.isfinite(value) else ("", f"{value} is no JSON number; use None or text")
        case dict() | list() | tuple():
            if not depth:
                return "", f"nested deeper than {MAX_NESTING_LEVELS} levels; flatten it, or store it as text"
            return _fault_within(value, depth - 1)
        case _:
            return "", f"{type(value).__name__} is not JSON; use dict, list, str, int, float, bool or None"


def _fault_within(value: dict[Any, Any] | list[Any] | tuple[Any, ...], depth: int) -> tuple[str, str] | None:
    """Return the same for the items of a container."""
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                return "", f"the key {key!r} is not text; use {str(key)!r}"
    for place, item in value.items() if isinstance(value, dict) else enumerate(value):
        if type(item) in _ANY:
            continue
        fault = _fault(item, depth)
        if fault is not None:
            return f"[{place!r}]{fault[0]}", fault[1]
    return None
