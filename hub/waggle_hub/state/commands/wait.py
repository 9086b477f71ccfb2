"""The rules of wait: when it begins, when it is met, when its time is over (protocol 7, G9).

Looking and registering are one step, and each commit asks the waits it could concern before anything else happens: so
no wake-up is lost, also not one whose reason is gone again in the next revision. A pattern over very many keys is
looked at in slices (`proceed`); a wait whose time is over is not refused before its first look is complete.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET, structs

from waggle.wire import messages as m
from waggle.wire.errors import BadRequest, LimitReached, TimedOut
from waggle.wire.names import check_key, compile_pattern
from waggle_hub.state import pending
from waggle_hub.state.namespaces import read_ns
from waggle_hub.state.persistence.records import WaitRecord
from waggle_hub.state.sessions import Outcome, Session
from waggle_hub.state.store.expiry import deadline_after
from waggle_hub.state.store.keyspace import ENTRY_OVERHEAD_BYTES
from waggle_hub.state.waits.condition_index import Condition, Wait

if TYPE_CHECKING:
    from waggle_hub.state.transaction import Transaction

_SHOWN_BYTES = 1_000
"""How long a value to compare with may be to be shown by inspect."""


def wait(transaction: Transaction, session: Session, command: m.Wait) -> m.Waited | None:
    """What was waited for, or None while it is not there yet."""
    state = transaction.state
    asked = _asked(transaction, command)
    if session.connectionless:  # the next call may come with another namespace
        asked = [structs.replace(item, ns=read_ns(item.ns, session)) for item in asked]
    longest = state.limits.wait
    if not 0 <= command.timeout <= longest:
        raise BadRequest(f"timeout is 0 to {longest:.0f} seconds: wait again if it is not enough", field="timeout")
    one = Wait(state.timers.next_serial(), session, command.id, transaction.at, asked, need_all=command.all is not None)
    one.conditions = [_condition(transaction, one, item, "any" if command.all is None else "all") for item in asked]
    for condition in one.conditions:
        if condition.key is not None:
            transaction.get_live(condition.ns, condition.key)
    _scan(transaction, one)
    met = _met(transaction, one)
    if one.satisfied(met):
        return _waited(transaction, one, met)
    if command.timeout == 0 and not one.unknown:
        raise _timed_out(transaction, one)
    pending.check_capacity(transaction, session)
    state.conditions.add(one)
    pending.start(transaction, one, deadline_after(transaction.now, command.timeout))
    return None


def restore(transaction: Transaction, session: Session, record: WaitRecord) -> None:
    """It goes on waiting as it was kept; what it knew of patterns is looked for anew."""
    one = Wait(record.serial, session, record.id, record.since, record.conditions, need_all=record.need_all)
    one.conditions = [_condition(transaction, one, asked, "all") for asked in record.conditions]
    one.late = record.deadline is None
    transaction.state.conditions.add(one)
    pending.register(one)
    transaction.state.timers.set(one, record.deadline)


def decide(transaction: Transaction, one: Wait) -> None:
    """Answer a wait if it is met now, or if its time was over and its scan is done."""
    if one.late:
        transaction.state.conditions.forget_due(one, transaction.state.keyspace, transaction.now)
    met = _met(transaction, one)
    if one.satisfied(met):
        outcome = Outcome(ok=_waited(transaction, one, met))
    elif one.late and not one.unknown:
        outcome = Outcome(error=_timed_out(transaction, one))
    else:
        return
    give_up(transaction, one)
    pending.reply(transaction, one, outcome)


def proceed(transaction: Transaction, one: Wait) -> None:
    """Scan on, one slice of it."""
    _scan(transaction, one)
    transaction.state.conditions.look_for_scans(one)
    decide(transaction, one)


def time_out(transaction: Transaction, one: Wait) -> None:
    """Its time is over."""
    transaction.state.timers.set(one, None)
    one.late = True
    transaction.state.dirty.mark(one)
    decide(transaction, one)


def give_up(transaction: Transaction, one: Wait) -> None:
    """It waits no longer. The answer is for the caller."""
    transaction.state.timers.set(one, None)
    transaction.state.conditions.remove(one)
    transaction.state.dirty.mark_removed(one)


def _scan(transaction: Transaction, one: Wait) -> None:
    left = transaction.state.limits.scan
    for condition in one.conditions:
        if condition.unknown and left > 0:
            left -= condition.scan(transaction.state.keyspace, transaction.now, left)


def _met(transaction: Transaction, one: Wait) -> list[int]:
    return one.met(transaction.state.keyspace, transaction.state.lock_table, transaction.now)


def _waited(transaction: Transaction, one: Wait, met: list[int]) -> m.Waited:
    limit = transaction.state.limits.page_bytes
    entries: list[m.Entry] = []
    size = 0
    for index in met:
        condition = one.conditions[index]
        if condition.absent or not condition.on_entries:
            continue
        for entry in condition.matching(transaction.state.keyspace, transaction.now):
            size += ENTRY_OVERHEAD_BYTES + entry.size
            if entries and size > limit:
                break
            entries.append(entry.to_wire())
    return m.Waited(entries, met, transaction.rev)


def _timed_out(transaction: Transaction, one: Wait) -> TimedOut:
    met = _met(transaction, one)
    held = f"{len(met)} of {len(one.conditions)} conditions hold" if met else "none of it holds"
    return TimedOut(f"it has not come true in time ({held}): wait again", met=met, rev=transaction.rev)


def _asked(transaction: Transaction, command: m.Wait) -> list[m.Awaited]:
    if (command.all is None) == (command.any is None):
        raise BadRequest("a wait has one of all and any: a list of conditions", field="all")
    field = "any" if command.all is None else "all"
    asked = command.any if command.all is None else command.all
    limit = transaction.state.limits.names
    if not asked:
        raise BadRequest(f"{field} is empty: say what to wait for", field=field)
    if len(asked) > limit:
        raise LimitReached(f"{field} has {len(asked)} conditions, at most {limit} are taken", limit=limit, field=field)
    return asked


def _condition(transaction: Transaction, one: Wait, asked: m.Awaited, field: str) -> Condition:
    limit = transaction.state.limits.page
    ns = read_ns(asked.ns, one.session)
    if (asked.key is None) == (asked.pattern is None):
        raise BadRequest("a condition has one of key and pattern", field=field)
    if asked.key is not None:
        check_key(asked.key, field)
    pattern = None if asked.pattern is None else compile_pattern(asked.pattern, field)
    if not 1 <= asked.count <= limit:
        raise BadRequest(f"count is 1 to {limit}", field=field)
    if asked.count != 1 and (asked.absent or asked.key is not None):
        raise BadRequest("count goes with a pattern, and not with absent", field=field)
    if asked.since is not None and asked.since < 0:
        raise BadRequest("since is a revision", field=field)
    if asked.unlocked and (asked.since is not None or asked.where is not None or asked.count != 1):
        raise BadRequest("unlocked stands alone, or with absent", field=field)
    condition = Condition(one, asked, ns, pattern)
    if asked.where is not None and asked.where.value is not UNSET:
        text = transaction.encode_value(asked.where.value, "where")
        if len(text) > _SHOWN_BYTES:
            condition.asked = structs.replace(asked, where=structs.replace(asked.where, value=UNSET))
    return condition
