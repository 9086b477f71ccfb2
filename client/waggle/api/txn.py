"""The steps and conditions of a txn, as a program writes them: plain dicts with the words of the wire (protocol 4,
txn).

    await hub.txn(
        [{"op": "delete", "key": "todo:1"}, {"op": "set", "key": "done:1", "value": "impl-1"}],
        if_=[{"key": "todo:1", "exists": True}],
    )

The types are for type checkers and editors. The hub checks a step; the client only checks that it is a dict of plain
JSON.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NotRequired, TypedDict

import msgspec

from waggle.core.lease import Guarding, to_guard
from waggle.wire import plain_json
from waggle.wire.errors import BadRequest
from waggle.wire.messages import OPS, REPLIES, Done, Kind, Txn
from waggle.wire.messages import Condition as WireCondition

__all__ = [
    "Condition",
    "DeleteStep",
    "EqualsCondition",
    "ExistsCondition",
    "GuardToken",
    "PublishStep",
    "RevCondition",
    "SetStep",
    "Step",
    "TouchStep",
    "UpdateStep",
    "decoded",
    "txn_of",
]


class GuardToken(TypedDict):
    """The token of a lock or job, in the form of the wire."""

    token: int


class SetStep(TypedDict):
    """Write an entry; the fields are those of ``hub.set``."""

    op: Literal["set"]
    key: str
    value: Any
    ns: NotRequired[str | None]
    ttl: NotRequired[float | None]
    keep_ttl: NotRequired[bool]
    if_rev: NotRequired[int | None]
    kind: NotRequired[Kind]
    ephemeral: NotRequired[bool]
    meta: NotRequired[dict[str, Any] | None]
    guard: NotRequired[Guarding | GuardToken | None]


class DeleteStep(TypedDict):
    """Delete an entry; a key that is absent is no error."""

    op: Literal["delete"]
    key: str
    ns: NotRequired[str | None]
    if_rev: NotRequired[int | None]
    guard: NotRequired[Guarding | GuardToken | None]


class TouchStep(TypedDict):
    """Set a new deadline of an entry; None removes it."""

    op: Literal["touch"]
    key: str
    ttl: float | None
    ns: NotRequired[str | None]
    guard: NotRequired[Guarding | GuardToken | None]


class UpdateStep(TypedDict):
    """Change a value in one step, by one of merge, patch, incr and append."""

    op: Literal["update"]
    key: str
    merge: NotRequired[Any]
    patch: NotRequired[list[Any]]
    incr: NotRequired[int | float]
    append: NotRequired[Any]
    pointer: NotRequired[str | None]
    ns: NotRequired[str | None]
    if_rev: NotRequired[int | None]
    ttl: NotRequired[float | None]
    guard: NotRequired[Guarding | GuardToken | None]


class PublishStep(TypedDict):
    """Send a message, which is delivered together with the changes."""

    op: Literal["publish"]
    channel: str
    data: Any
    ns: NotRequired[str | None]


class RevCondition(TypedDict):
    """Require that the entry has this revision; 0 means that the key is absent."""

    key: str
    rev: int
    ns: NotRequired[str | None]


class ExistsCondition(TypedDict):
    """Require that the key has an entry, or has none."""

    key: str
    exists: bool
    ns: NotRequired[str | None]


class EqualsCondition(TypedDict):
    """Require that the value, or the part at the JSON Pointer, equals this one."""

    key: str
    equals: Any
    pointer: NotRequired[str]
    ns: NotRequired[str | None]


Step = SetStep | DeleteStep | TouchStep | UpdateStep | PublishStep
Condition = RevCondition | ExistsCondition | EqualsCondition


def txn_of(if_: Iterable[Condition], then: Iterable[Step], else_: Iterable[Step]) -> Txn:
    """Return the command. Raises BadRequest, with ``field`` and ``index``, for an item that is not a dict of plain
    JSON."""
    conditions = []
    for index, fields in enumerate(_dicts(if_, "if")):
        try:
            conditions.append(msgspec.convert(fields, WireCondition))
        except msgspec.ValidationError as fault:
            raise BadRequest(f"if[{index}]: {fault}", field="if", index=index) from None
    return Txn(id=0, if_=conditions, then=_dicts(then, "then"), else_=_dicts(else_, "else"))


def _dicts(items: Iterable[Any], field: str) -> list[dict[str, Any]]:
    if isinstance(items, str | Mapping):
        raise BadRequest(f"{field} is a list of dicts, not one {type(items).__name__}: put it into [ ]", field=field)
    dicts: list[dict[str, Any]] = []
    for index, item in enumerate(items):
        if not isinstance(item, Mapping):
            fault = f"{field}[{index}] is a dict, not {type(item).__name__}"
            raise BadRequest(f'{fault}: such as {{"key": "a", ...}}', field=field, index=index)
        plain_item = {name: _guard(value) if name == "guard" else value for name, value in item.items()}
        for name, value in plain_item.items():
            plain_json.check(value, f"{field}[{index}][{name!r}]")
        dicts.append(plain_item)
    return dicts


def _guard(guard: Any) -> Any:
    """Return a guard for the wire. Raises LockLost if the lock is known to be lost."""
    return guard if guard is None or isinstance(guard, Mapping) else msgspec.to_builtins(to_guard(guard))


def decoded(command: Txn, done: Done) -> Done:
    """Return the reply with each result as the struct that its step has outside of a txn."""
    steps = command.then if done.done == "then" else command.else_
    done.results = [
        msgspec.convert(result, REPLIES[OPS[step["op"]]]) for step, result in zip(steps, done.results, strict=True)
    ]
    return done
