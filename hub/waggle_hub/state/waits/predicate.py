"""The `where` of a condition: a comparison with one part of a value (protocol 7). Pure functions.

Values of different types are never ordered, and `true` is not 1. If the pointer leads nowhere, only `ne` and
`exists: false` hold.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import UNSET

from waggle.wire import messages as m
from waggle.wire.errors import BadRequest
from waggle_hub.state.json_pointer import ABSENT, equal, find, is_number, kind_of, parse_pointer


class Predicate:
    """A `where` that has been checked and can be applied to values."""

    __slots__ = ("_compare", "_operand", "_tokens")

    def __init__(self, where: m.Where) -> None:
        """Raises BadRequest if the pointer is malformed, or the value is not one that the op can compare with."""
        self._tokens = parse_pointer(where.pointer, "where")
        self._compare = _COMPARISONS[where.op]
        self._operand = where.value
        if where.op == "exists":
            self._operand = True if where.value is UNSET else where.value
            if not isinstance(self._operand, bool):
                raise BadRequest("the value of exists must be true or false", field="where")
        elif where.value is UNSET:
            raise BadRequest(f"{where.op} needs a value to compare with", field="where")
        elif where.op == "in" and not isinstance(where.value, list):
            raise BadRequest(f"the value of in must be an array, not {kind_of(where.value)}", field="where")

    @property
    def searches(self) -> bool:
        """Whether the comparison may look at every part of the value."""
        return self._compare is _contains

    def holds(self, value: Any) -> bool:
        """Return whether the comparison holds for a decoded value."""
        try:
            part = find(value, self._tokens)
        except BadRequest:
            part = ABSENT
        return self._compare(part, self._operand)


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compare_if_ordered(part: Any, operand: Any) -> bool:
        numbers = is_number(part) and is_number(operand)
        return (numbers or (isinstance(part, str) and isinstance(operand, str))) and compare(part, operand)

    return compare_if_ordered


def _contains(part: Any, operand: Any) -> bool:
    if isinstance(part, list):
        return any(equal(item, operand) for item in part)
    return isinstance(operand, str) and isinstance(part, str | dict) and operand in part


_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda part, operand: part is not ABSENT and equal(part, operand),
    "ne": lambda part, operand: part is ABSENT or not equal(part, operand),
    "lt": _ordered(lambda part, operand: part < operand),
    "le": _ordered(lambda part, operand: part <= operand),
    "gt": _ordered(lambda part, operand: part > operand),
    "ge": _ordered(lambda part, operand: part >= operand),
    "in": lambda part, operand: part is not ABSENT and any(equal(part, item) for item in operand),
    "contains": _contains,
    "exists": lambda part, operand: (part is not ABSENT) == operand,
}
