"""The rule of `txn`: several changes at one revision, all or none (protocol 4).

1. All steps of both branches, and all conditions, are checked before anything changes.
2. The steps of the chosen branch are then executed by the rules of their ops, in order; each sees the changes of those
   before it. If one is refused, all changes are undone, and the error carries its `index`.
"""

from __future__ import annotations

from typing import Any, get_args

import msgspec
from msgspec import UNSET

from waggle.wire import messages as m
from waggle.wire.errors import BadRequest, LimitReached, WaggleError
from waggle.wire.names import check_key, check_ns
from waggle_hub.state.json_pointer import equal, find, parse_pointer
from waggle_hub.state.sessions import Session
from waggle_hub.state.store.entry import Entry
from waggle_hub.state.transaction import Transaction

from . import entries, subscribe

_STEP_OPS = sorted(str(command.__struct_config__.tag) for command in get_args(m.Step))


def txn(transaction: Transaction, session: Session, command: m.Txn) -> m.Done:
    """Execute the steps of `then` if every condition holds, else those of `else`."""
    limit = transaction.state.limits.steps
    for field, items in (("if", command.if_), ("then", command.then), ("else", command.else_)):
        if len(items) > limit:
            raise LimitReached(f"{field} has {len(items)} items, at most {limit} are taken", limit=limit, field=field)
    then = [_checked_step(step, "then", index) for index, step in enumerate(command.then)]
    otherwise = [_checked_step(step, "else", index) for index, step in enumerate(command.else_)]
    for index, condition in enumerate(command.if_):
        _check_condition(transaction, condition, index)
    _expire_due(transaction, session, [*command.if_, *then, *otherwise])
    holds = all(_holds(transaction, session, condition) for condition in command.if_)
    results = _execute(transaction, session, then if holds else otherwise)
    return m.Done("then" if holds else "else", transaction.rev, results)


def _execute(transaction: Transaction, session: Session, steps: list[m.Step]) -> list[m.Ok]:
    results: list[m.Ok] = []
    for index, step in enumerate(steps):
        try:
            results.append(_execute_step(transaction, session, step))
        except WaggleError as error:
            transaction.undo()
            error.details["index"] = index
            raise
    return results


def _execute_step(transaction: Transaction, session: Session, step: m.Step) -> m.Ok:
    match step:
        case m.Set():
            return entries.set_(transaction, session, step)
        case m.Delete():
            return entries.delete(transaction, session, step)
        case m.Touch():
            return entries.touch(transaction, session, step)
        case m.Update():
            return entries.update(transaction, session, step)
        case m.Publish():
            return subscribe.publish(transaction, session, step)


def _checked_step(fields: dict[str, Any], field: str, index: int) -> m.Step:
    for name in ("id", "rid"):
        if name in fields:
            raise BadRequest(f"a step of a txn has no {name}: only the txn has", field=field, index=index)
    if fields.get("op") not in _STEP_OPS:
        raise BadRequest(
            f"{field}[{index}]: the op of a step is one of {', '.join(_STEP_OPS)}", field=field, index=index
        )
    try:
        step: m.Step = msgspec.convert({**fields, "id": 0}, m.Step)
    except msgspec.ValidationError as error:
        raise BadRequest(f"{field}[{index}]: {error}", field=field, index=index) from None
    return step


def _check_condition(transaction: Transaction, condition: m.Condition, index: int) -> None:
    try:
        check_key(condition.key)
        if condition.ns is not None:
            check_ns(condition.ns, hub=True)
        given = sum(operand is not UNSET for operand in (condition.rev, condition.exists, condition.equals))
        if given != 1:
            raise BadRequest("a condition needs exactly one of rev, exists and equals")
        if condition.pointer and condition.equals is UNSET:
            raise BadRequest("pointer goes with equals")
        parse_pointer(condition.pointer)
        if condition.equals is not UNSET:
            transaction.encode_value(condition.equals, "equals")
    except BadRequest as error:
        raise BadRequest(f"if[{index}]: {error.message}", field="if", index=index) from None


def _expire_due(transaction: Transaction, session: Session, items: list[m.Condition | m.Step]) -> None:
    """Expire the due entries that conditions and steps name, each in a revision of its own, before any change."""
    for item in items:
        if not isinstance(item, m.Publish):
            transaction.get_live(session.ns if item.ns is None else item.ns, item.key)


def _holds(transaction: Transaction, session: Session, condition: m.Condition) -> bool:
    entry = transaction.get_live(session.ns if condition.ns is None else condition.ns, condition.key)
    if condition.rev is not UNSET:
        return condition.rev == (0 if entry is None else entry.rev)
    if condition.exists is not UNSET:
        return condition.exists == (entry is not None)
    return entry is not None and _equals(transaction, entry, condition)


def _equals(transaction: Transaction, entry: Entry, condition: m.Condition) -> bool:
    # Many conditions may be on one large value: it is decoded once.
    value = transaction.state.condition_index.values.get(entry.value)
    try:
        part = find(value, parse_pointer(condition.pointer))
    except BadRequest:
        return False  # a pointer that leads nowhere equals nothing
    return equal(part, condition.equals)
