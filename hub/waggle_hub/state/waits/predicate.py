"""What a condition asks of a value: `where` (protocol 7). Pure functions.

Values of different types are never ordered, and `true` is not 1. A pointer that leads nowhere meets only `ne` and
`exists: false`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import UNSET

from waggle.wire import messages as m
from waggle.wire.errors import BadRequest
from waggle_hub.state.commands.update import ABSENT, find, is_number, kind_of, parse_pointer, same


class Test:
    """A `where`, checked and ready to ask values."""

    __slots__ = ("_meets", "_tokens", "_wanted")

    def __init__(self, where: m.Where) -> None:
        """Raises BadRequest where the value is none that the op can be given."""
        self._tokens = parse_pointer(where.pointer, "where")
        self._meets = _MEETS[where.op]
        self._wanted = where.value
        if where.op == "exists":
            self._wanted = True if where.value is UNSET else where.value
            if not isinstance(self._wanted, bool):
                raise BadRequest("exists is given true or false", field="where")
        elif where.value is UNSET:
            raise BadRequest(f"{where.op} needs a value to compare with", field="where")
        elif where.op == "in" and not isinstance(where.value, list):
            raise BadRequest(f"in is given an array of values, not {kind_of(where.value)}", field="where")

    def holds(self, value: Any) -> bool:
        """Whether a decoded value meets it."""
        try:
            found = find(value, self._tokens)
        except BadRequest:
            found = ABSENT
        return self._meets(found, self._wanted)


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def meets(found: Any, wanted: Any) -> bool:
        alike = (is_number(found) and is_number(wanted)) or (isinstance(found, str) and isinstance(wanted, str))
        return alike and compare(found, wanted)

    return meets


def _contains(found: Any, wanted: Any) -> bool:
    if isinstance(found, list):
        return any(same(item, wanted) for item in found)
    return isinstance(wanted, str) and isinstance(found, str | dict) and wanted in found


_MEETS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda found, wanted: found is not ABSENT and same(found, wanted),
    "ne": lambda found, wanted: found is ABSENT or not same(found, wanted),
    "lt": _ordered(lambda found, wanted: found < wanted),
    "le": _ordered(lambda found, wanted: found <= wanted),
    "gt": _ordered(lambda found, wanted: found > wanted),
    "ge": _ordered(lambda found, wanted: found >= wanted),
    "in": lambda found, wanted: found is not ABSENT and any(same(found, item) for item in wanted),
    "contains": _contains,
    "exists": lambda found, wanted: (found is not ABSENT) == wanted,
}
