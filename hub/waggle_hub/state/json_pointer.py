"""JSON pointers (RFC 6901) into decoded values, and when two JSON values are equal. Pure functions.

Equality is that of JSON: numbers are equal by value, `true` is not 1, and the order of members does not matter.
"""

from __future__ import annotations

from typing import Any

from waggle.wire.errors import BadRequest

ABSENT: Any = object()
"""The value of a key without an entry, or of a member that does not exist."""


def parse_pointer(pointer: str, field: str = "pointer") -> list[str]:
    """Return the tokens of a JSON pointer. Raises BadRequest that names the field."""
    if not pointer:
        return []
    if not pointer.startswith("/"):
        raise BadRequest(f"a pointer is empty or begins with /, as in /a/0: {pointer!r}", field=field)
    tokens = pointer[1:].split("/")
    for token in tokens:
        if "~" in token.replace("~0", "").replace("~1", ""):
            raise BadRequest(f"in a pointer ~ is written ~0, and / is written ~1: {pointer!r}", field=field)
    return [token.replace("~1", "/").replace("~0", "~") for token in tokens]


def find(value: Any, tokens: list[str], field: str = "pointer") -> Any:
    """Return the part of a value to which the tokens lead. Raises BadRequest if they lead nowhere."""
    for token in tokens:
        if isinstance(value, dict):
            if token not in value:
                raise BadRequest(f"the pointer leads nowhere: there is no member {token!r}", field=field)
            value = value[token]
        else:
            value = value[array_index(value, token, field)]
    return value


def array_index(value: Any, token: str, field: str = "pointer") -> int:
    """Return the index that a token means in an array. Raises BadRequest if there is no such item."""
    if not isinstance(value, list):
        raise BadRequest(f"the pointer leads nowhere: {kind_of(value)} has no {token!r}", field=field)
    # At most 9 digits: a longer number is beyond any array, and converting it could take long.
    if not (token.isascii() and token.isdigit()) or (len(token) > 1 and token[0] == "0") or len(token) > 9:
        raise BadRequest(f"the pointer leads nowhere: {token!r} is not an index", field=field)
    if int(token) >= len(value):
        raise BadRequest(f"the pointer leads nowhere: the array has {len(value)} items", field=field)
    return int(token)


def is_number(value: Any) -> bool:
    """Return whether a value is a JSON number. True and False are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def equal(left: Any, right: Any) -> bool:
    """Return whether two JSON values are equal."""
    # Python compares True with 1 and holds them equal, also within lists and objects, so == is not enough.
    if is_number(left) and is_number(right):
        return bool(left == right)
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(equal(item, right[name]) for name, item in left.items())
    if isinstance(left, list):
        return len(left) == len(right) and all(map(equal, left, right))
    return bool(left == right)


def kind_of(value: Any) -> str:
    """Return the type of a JSON value in words, with its article."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "an array"
        case _:
            return "an object"
