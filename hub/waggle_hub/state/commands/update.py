"""Updates of a JSON value: merge (RFC 7396), patch (RFC 6902), incr and append at a pointer (RFC 6901). Pure functions.

A value comes in freshly decoded and may be changed in place. What does not apply is BadRequest and names the field; a
`test` of a patch that fails is PatchTestFailed. A patch may copy parts of the value into itself, which doubles it each
time: so what it adds is counted, and refused beyond the limit of a value.

JSON's own equality is used: numbers by value, `true` is not 1, the order of members is nothing.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

from waggle.wire.errors import BadRequest, TooLarge

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode

ABSENT: Any = object()
"""The value of a key that has no entry."""


class PatchTestFailed(Exception):
    """A `test` of a patch did not hold; the argument says which."""


def merge(value: Any, patch: Any) -> Any:
    """JSON Merge Patch: null deletes a member, an object goes into an object, all else takes the place."""
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
    """Add a number to the number at the pointer; what is absent counts as 0."""

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
    """Add an item at the end of the array at the pointer; what is absent counts as []."""

    def add(old: Any) -> Any:
        old = [] if old is ABSENT else old
        if not isinstance(old, list):
            raise BadRequest(f"append adds to an array, and there is {kind_of(old)}", field="append")
        return [*old, item]

    return change_at(value, pointer, add)


def change_at(value: Any, pointer: str, change: Any) -> Any:
    """The value with `change(old)` at the pointer; the last step may lead to a member that is absent yet."""
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
        index = _index(parent, last)
        parent[index] = change(parent[index])
    return value


# --- pointers ---


def parse_pointer(pointer: str, field: str = "pointer") -> list[str]:
    """The tokens of a JSON Pointer."""
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
    """What the tokens lead to."""
    for token in tokens:
        if isinstance(value, dict):
            if token not in value:
                raise BadRequest(f"the pointer leads nowhere: there is no member {token!r}", field=field)
            value = value[token]
        else:
            value = value[_index(value, token, field)]
    return value


def _index(value: Any, token: str, field: str = "pointer") -> int:
    if not isinstance(value, list):
        raise BadRequest(f"the pointer leads nowhere: {kind_of(value)} has no {token!r}", field=field)
    if not (token.isascii() and token.isdigit()) or (len(token) > 1 and token[0] == "0") or len(token) > 9:
        raise BadRequest(f"the pointer leads nowhere: {token!r} is no index", field=field)
    if int(token) >= len(value):
        raise BadRequest(f"the pointer leads nowhere: the array has {len(value)} items", field=field)
    return int(token)


# --- patches ---


class Patch:
    """A JSON Patch being applied. `budget` is how many bytes its copies may add."""

    def __init__(self, value: Any, budget: int) -> None:
        self.value = {} if value is ABSENT else value
        self._limit = self._budget = budget

    def apply(self, operations: list[Any]) -> Any:
        """The value after all operations, in order."""
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
            raise BadRequest("it is no object")
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
                found = find(self.value, self._tokens(operation, "from"))
                self._add(path, self._copy(found))
            case "test":
                if not same(find(self.value, path), self._operand(operation)):
                    raise PatchTestFailed
            case _:
                raise BadRequest("op is one of add, remove, replace, move, copy, test")

    def _tokens(self, operation: dict[str, Any], name: str) -> list[str]:
        pointer = operation.get(name)
        if not isinstance(pointer, str):
            raise BadRequest(f"it needs {name}, a JSON Pointer")
        return parse_pointer(pointer)

    def _operand(self, operation: dict[str, Any]) -> Any:
        if "value" not in operation:
            raise BadRequest("it needs a value")
        value = operation["value"]
        # A copy: later operations may go on inside of it, and the command may be decided a second time.
        return _decode(_encode(value)) if isinstance(value, dict | list) else value

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
            index = _index(parent, path[-1])
            parent.insert(index, value)

    def _remove(self, path: list[str]) -> None:
        if not path:
            raise BadRequest("the whole value cannot be removed: delete the key")
        parent = find(self.value, path[:-1])
        if isinstance(parent, dict):
            find(parent, path[-1:])
            del parent[path[-1]]
        else:
            del parent[_index(parent, path[-1])]

    def _replace(self, path: list[str], value: Any) -> None:
        find(self.value, path)
        if not path:
            self.value = value
            return
        parent = find(self.value, path[:-1])
        parent[path[-1] if isinstance(parent, dict) else int(path[-1])] = value

    def _copy(self, value: Any) -> Any:
        """A copy, counted by its length as text until the budget is gone."""
        text = _encode(value)
        self._budget -= len(text)
        if self._budget < 0:
            raise TooLarge(f"the patch copies more than {self._limit} bytes", limit=self._limit)
        return _decode(text)


# --- JSON's own notions ---


def is_number(value: Any) -> bool:
    """Whether it is a JSON number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def same(left: Any, right: Any) -> bool:
    """Whether two JSON values are equal."""
    if is_number(left) and is_number(right):
        return bool(left == right)
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(item, right[name]) for name, item in left.items())
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


def kind_of(value: Any) -> str:
    """What JSON calls it."""
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
