"""The updates of a JSON value: merge (RFC 7396), patch (RFC 6902), incr and append at a pointer (RFC 6901).

1. All functions are pure, except that they may change the value in place: it has been decoded for this update.
2. An update that does not fit the value raises BadRequest, which names the field. A failed `test` of a patch raises
   PatchTestFailed.
3. A patch may copy parts of a value into the value, and so double it with each operation. The bytes that it copies are
   counted, and more than a value may have are refused.
4. An operation on an array moves the items behind it. A patch whose operations would move too many is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from waggle.wire.errors import BadRequest, LimitReached, TooLarge
from waggle.wire.json import decode, encode
from waggle_hub.state.json_pointer import ABSENT, array_index, equal, find, is_number, kind_of, parse_pointer


class PatchTestFailed(Exception):
    """A `test` of a patch that failed. The argument tells which."""


def merge(value: Any, patch: Any) -> Any:
    """Apply a JSON Merge Patch: null deletes a member, an object is merged, any other value replaces the old one."""
    if not isinstance(patch, dict):
        return patch
    merged = value if isinstance(value, dict) else {}
    for name, change in patch.items():
        if change is None:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), change)
    return merged


def increment(value: Any, amount: float, pointer: str) -> Any:
    """Add an amount to the number at the pointer. An absent number counts as 0."""

    def add(old: Any) -> Any:
        old = 0 if old is ABSENT else old
        if not is_number(old):
            raise BadRequest(f"incr adds to a number, and there is {kind_of(old)}", field="incr")
        total = old + amount
        if not math.isfinite(total):
            raise BadRequest("incr goes beyond the largest number", field="incr")
        return total

    return change_at(value, pointer, add)


def append(value: Any, item: Any, pointer: str) -> Any:
    """Add an item to the end of the array at the pointer. An absent array counts as []."""

    def add(old: Any) -> Any:
        old = [] if old is ABSENT else old
        if not isinstance(old, list):
            raise BadRequest(f"append adds to an array, and there is {kind_of(old)}", field="append")
        return [*old, item]

    return change_at(value, pointer, add)


def change_at(value: Any, pointer: str, change: Callable[[Any], Any]) -> Any:
    """Return the value with `change(old)` at the pointer. Only the last member on the way there may be absent."""
    tokens = parse_pointer(pointer)
    if not tokens:
        return change(value)
    if value is ABSENT:
        value = {}
    parent = find(value, tokens[:-1])
    last = tokens[-1]
    if isinstance(parent, dict):
        parent[last] = change(parent.get(last, ABSENT))
    else:
        index = array_index(parent, last)
        parent[index] = change(parent[index])
    return value


class Patch:
    """A JSON Patch that is being applied to a value."""

    def __init__(self, value: Any, max_copied_bytes: int, max_moved_items: float = math.inf) -> None:
        self.value = {} if value is ABSENT else value
        self._max_copied_bytes = max_copied_bytes
        self._copied_bytes = 0
        self._max_moved_items = max_moved_items
        self._moved_items = 0

    def apply(self, operations: list[Any]) -> Any:
        """Return the value after all operations, in order.

        Raises BadRequest, TooLarge, LimitReached or PatchTestFailed.
        """
        for number, operation in enumerate(operations):
            try:
                self._apply(operation)
            except BadRequest as error:
                raise BadRequest(f"operation {number} of the patch: {error.message}", field="patch") from None
            except PatchTestFailed:
                raise PatchTestFailed(f"operation {number} of the patch: the test does not hold") from None
            except RecursionError:
                raise BadRequest(f"operation {number} of the patch nests too deeply", field="patch") from None
        return self.value

    def _apply(self, operation: Any) -> None:
        if not isinstance(operation, dict):
            raise BadRequest("an operation must be an object")
        path = self._tokens(operation, "path")
        match operation.get("op"):
            case "add":
                self._add(path, self._operand(operation))
            case "remove":
                self._remove(path)
            case "replace":
                self._replace(path, self._operand(operation))
            case "move":
                origin = self._tokens(operation, "from")
                if path[: len(origin)] == origin and path != origin:
                    raise BadRequest("a value cannot move into itself")
                moved = find(self.value, origin)
                self._remove(origin)
                self._add(path, moved)
            case "copy":
                original = find(self.value, self._tokens(operation, "from"))
                self._add(path, self._copy(original))
            case "test":
                if not equal(find(self.value, path), self._operand(operation)):
                    raise PatchTestFailed
            case _:
                raise BadRequest("op must be one of add, remove, replace, move, copy, test")

    def _tokens(self, operation: dict[str, Any], name: str) -> list[str]:
        pointer = operation.get(name)
        if not isinstance(pointer, str):
            raise BadRequest(f"an operation of this op needs {name}, a JSON pointer")
        return parse_pointer(pointer)

    def _operand(self, operation: dict[str, Any]) -> Any:
        if "value" not in operation:
            raise BadRequest("an operation of this op needs a value")
        value = operation["value"]
        # A copy, because later operations may change it in place, and the command may be decided a second time.
        return decode(encode(value)) if isinstance(value, dict | list) else value

    def _add(self, path: list[str], value: Any) -> None:
        if not path:
            self.value = value
            return
        parent = find(self.value, path[:-1])
        if isinstance(parent, dict):
            parent[path[-1]] = value
        elif isinstance(parent, list) and path[-1] in ("-", str(len(parent))):
            parent.append(value)
        else:
            # The check of the index comes first: the parent may be no array at all, and have no `insert`.
            index = array_index(parent, path[-1])
            self._count_moved(len(parent) - index)
            parent.insert(index, value)

    def _remove(self, path: list[str]) -> None:
        if not path:
            raise BadRequest("the whole value cannot be removed: delete the key")
        parent = find(self.value, path[:-1])
        if isinstance(parent, dict):
            find(parent, path[-1:])
            del parent[path[-1]]
        else:
            index = array_index(parent, path[-1])
            self._count_moved(len(parent) - index)
            del parent[index]

    def _replace(self, path: list[str], value: Any) -> None:
        find(self.value, path)
        if not path:
            self.value = value
            return
        parent = find(self.value, path[:-1])
        parent[path[-1] if isinstance(parent, dict) else int(path[-1])] = value

    def _count_moved(self, items: int) -> None:
        self._moved_items += items
        if self._moved_items > self._max_moved_items:
            limit = self._max_moved_items
            raise LimitReached(
                f"the patch moves {self._moved_items} or more items of arrays, at most {limit}: set the value",
                limit=limit,
                field="patch",
            )

    def _copy(self, value: Any) -> Any:
        text = encode(value)
        self._copied_bytes += len(text)
        if self._copied_bytes > self._max_copied_bytes:
            limit = self._max_copied_bytes
            raise TooLarge(f"the patch copies more than {limit} bytes", limit=limit)
        return decode(text)
