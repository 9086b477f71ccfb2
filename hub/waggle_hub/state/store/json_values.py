"""JSON values: which ones may enter the store, and their stored form (protocol 1).

A value arrives decoded and is stored as compact UTF-8 JSON text. It is encoded once, and this text is copied into every
reply and event. The check goes level by level and looks at the set of types on each, so five million numbers in one
array cost a few passes in C, not a loop in Python.
"""

from __future__ import annotations

from typing import Any

from waggle.wire.errors import BadRequest, TooLarge
from waggle.wire.json import encode

_LEAVES = frozenset({str, bool, float, type(None)})
_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1


def encode_value(value: Any, field: str, *, limit: int, depth: int) -> bytes:
    """Return the stored form of a decoded JSON value.

    `limit` is in bytes. Raises BadRequest, which names `field`, or TooLarge, which carries the limit.
    """
    if type(value) not in _LEAVES:
        _check_levels(value, field, depth)
    try:
        text = encode(value)
    except UnicodeEncodeError:
        raise BadRequest(f"{field} holds a lone surrogate: send valid Unicode", field=field) from None
    if len(text) > limit:
        raise TooLarge(f"{field} has {len(text)} bytes, the limit is {limit}: store it elsewhere "
                       "and keep a reference here", limit=limit, field=field)  # fmt: skip
    return text


def _check_levels(value: Any, field: str, depth: int) -> None:
    level = [value]
    for _ in range(depth + 1):
        kinds = set(map(type, level))
        if int in kinds:
            _check_integers(level, kinds, field)
        if dict not in kinds and list not in kinds:
            return
        below: list[Any] = []
        for item in level:
            if type(item) is dict:
                below.extend(item.values())
            elif type(item) is list:
                below.extend(item)
        level = below
    raise BadRequest(f"{field} is nested deeper than {depth}: flatten it, or store it as text", field=field)


def _check_integers(level: list[Any], kinds: set[type], field: str) -> None:
    numbers = level if len(kinds) == 1 else [item for item in level if type(item) is int]
    if max(numbers) > _INT_MAX or min(numbers) < _INT_MIN:
        raise BadRequest(f"{field} holds an integer beyond 64 bits: send it as text", field=field)
