"""What may be a value: the plain JSON data of protocol 1, checked before anything is sent.

The JSON encoder is lenient where the wire is not: it turns nan into null and a set into a list, so what comes
back would not be what was put in. Here such data is refused, with the place where it stands and what to write
instead. Lengths and rights are the hub's to judge.

A loop in Python takes five million numbers two seconds, too long for a door that others wait at. There `check_large`
looks level by level, at each by a few passes in C, and does not say where it stands.
"""

from __future__ import annotations

import math
from typing import Any

from waggle.wire.errors import BadRequest

__all__ = ["check", "check_large", "is_plain"]

DEPTH = 100
"""How deep a value may nest (protocol 1)."""
_ANY = frozenset({str, bool, type(None)})
"""Types of which JSON can hold whatever there is."""
_KNOWN = _ANY | {int, float, dict, list, tuple}
"""Types of what can be plain."""


def check(value: Any, field: str) -> None:
    """Raise BadRequest if JSON cannot hold ``value`` exactly; ``field`` names it in the message."""
    fault = None if type(value) in _ANY else _fault(value, DEPTH)
    if fault is not None:
        place, what = fault
        raise BadRequest(f"{field}{place}: {what}", field=field)


def check_large(value: Any, field: str) -> None:
    """As `check`, for what a door has decoded, however large it is."""
    if not is_plain(value):
        raise BadRequest(
            f"{field} holds what JSON cannot, or no hub: a number beyond 64 bits or that is not finite, or more than"
            f" {DEPTH} levels; send it as text",
            field=field,
        )


def is_plain(value: Any) -> bool:
    """Whether what was decoded is plain; a subclass of a JSON type is not."""
    level = [value]
    for _ in range(DEPTH + 1):
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
    """Whether JSON can hold all numbers of a level."""
    for kind in kinds & {int, float}:
        numbers = level if len(kinds) == 1 else [item for item in level if type(item) is kind]
        if kind is int and not -(2**63) <= min(numbers) <= max(numbers) < 2**63:
            return False
        if kind is float and not all(map(math.isfinite, numbers)):
            return False
    return True


def _fault(value: Any, depth: int) -> tuple[str, str] | None:
    """The first place in ``value`` that JSON cannot hold, and what to do about it; None if there is none."""
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
                return "", f"nested deeper than {DEPTH} levels; flatten it, or store it as text"
            return _fault_within(value, depth - 1)
        case _:
            return "", f"{type(value).__name__} is not JSON; use dict, list, str, int, float, bool or None"


def _fault_within(value: dict[Any, Any] | list[Any] | tuple[Any, ...], depth: int) -> tuple[str, str] | None:
    """As `_fault`, for what a container holds."""
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
