"""The rules of `wait`: when it begins, when it is met, when it times out (protocol 7, G9).

1. Looking at the state and registering the wait are one step, and each commit decides the waits that it may affect
   before anything else changes. So no wake-up is lost, not even one whose cause is gone in the next revision.
2. A pattern over many keys is scanned in slices (`continue_scan`), and values are compared in slices (`examine_next`).
   A wait that has timed out gets its error only when both are complete: until then the conditions may turn out to hold.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import TYPE_CHECKING

from msgspec import UNSET, structs

from waggle.wire import messages as m
from waggle.wire.errors import BadRequest, LimitReached, TimedOut
from waggle.wire.names import check_key
from waggle.wire.patterns import compile_pattern
from waggle_hub.state import pending
from waggle_hub.state.namespaces import read_ns
from waggle_hub.state.persistence.records import WaitRecord
from waggle_hub.state.sessions import Outcome, Session
from waggle_hub.state.store.entry import ENTRY_OVERHEAD_BYTES
from waggle_hub.state.store.expiry import deadline_after
from waggle_hub.state.waits.condition import MAX_MOMENTS, Budget, Change, Condition, Moment, Wait

if TYPE_CHECKING:
    from waggle_hub.state.transaction import Transaction

_MAX_SHOWN_VALUE_BYTES = 1_000
"""The longest value of a `where` that `inspect` shows."""
_COPIED_PER_COMPARED = 16
"""Bytes of a reply that are copied in the time in which one byte is compared."""


def wait(transaction: Transaction, session: Session, command: m.Wait) -> m.Waited | None:
    """Return what was waited for, or None while the conditions do not hold."""
    state = transaction.state
    awaited = _checked_conditions(transaction, command)
    if session.connectionless:
        # The next HTTP call of the agent may change the session's namespace: store the one of this call.
        awaited = [structs.replace(item, ns=read_ns(item.ns, session)) for item in awaited]
    longest = state.limits.wait
    if not 0 <= command.timeout <= longest:
        raise BadRequest(f"timeout must be 0 to {longest:.0f} seconds: to wait longer, wait again", field="timeout")
    need_all = command.all is not None
    new = Wait(state.timers.next_serial(), session, command.id, transaction.at, awaited, need_all=need_all)
    new.conditions = [_checked_condition(transaction, new, item, "all" if need_all else "any") for item in awaited]
    for condition in new.conditions:
        if condition.key is not None:
            transaction.get_live(condition.ns, condition.key)
    _scan(transaction, new)
    moment = _see(transaction, new)
    examined = new.examine(moment, transaction.budget)
    if examined and new.is_satisfied(moment.met):
        return _waited(transaction, new, moment)
    if command.timeout == 0 and examined and not new.needs_scan:
        raise _timed_out(transaction, new, moment)
    pending.check_capacity(transaction, session)
    state.condition_index.add(new)
    if not examined:
        state.condition_index.keep_moment(new, moment)
    pending.start(transaction, new, deadline_after(transaction.now, command.timeout))
    return None


def restore(transaction: Transaction, session: Session, record: WaitRecord) -> None:
    """Add a stored wait again, with its old deadline. The matches of its patterns are not stored: they are scanned."""
    wait = Wait(record.serial, session, record.id, record.since, record.conditions, need_all=record.need_all)
    wait.conditions = [_checked_condition(transaction, wait, awaited, "all") for awaited in record.conditions]
    wait.timed_out = record.deadline is None
    transaction.state.condition_index.add(wait)
    pending.register(wait)
    transaction.state.timers.set(wait, record.deadline)


def decide(transaction: Transaction, wait: Wait, changes: Iterable[Change] = ()) -> None:
    """Reply to a wait if its conditions hold now, or if it has timed out and nothing can change that.

    `changes` are those that its conditions have not been told. Beyond the budget of the step the moment is kept.
    """
    index = transaction.state.condition_index
    if wait.timed_out and not wait.moments:
        index.drop_due_matches(wait, transaction.now)
    moment = _see(transaction, wait, changes)
    if len(wait.moments) >= MAX_MOMENTS:
        _examine_oldest(transaction, wait, Budget(inf))
        if wait not in index.waits:
            return
    if wait.moments or transaction.budget.left <= 0 or not wait.examine(moment, transaction.budget):
        index.keep_moment(wait, moment)
    else:
        _settle(transaction, wait, moment)


def continue_scan(transaction: Transaction, wait: Wait) -> None:
    """Scan the next slice for a wait, and reply if that decides it."""
    # Not before its moments are examined: its matches follow the revisions. Without budget the scan would not proceed.
    if not wait.moments and transaction.budget.left > 0:
        _scan(transaction, wait)
        transaction.state.condition_index.update_to_scan(wait)
        decide(transaction, wait)


def examine_next(transaction: Transaction) -> None:
    """Examine moments of waits, the oldest first, as many as the budget of the step allows."""
    to_examine = transaction.state.condition_index.to_examine
    while to_examine and transaction.budget.left > 0:
        _examine_oldest(transaction, next(iter(to_examine)), transaction.budget)


def time_out(transaction: Transaction, wait: Wait) -> None:
    """Decide a wait whose deadline has passed; if it needs a scan first, when that is complete."""
    transaction.state.timers.set(wait, None)
    wait.timed_out = True
    transaction.state.dirty.mark(wait)
    decide(transaction, wait)


def stop_waiting(transaction: Transaction, wait: Wait) -> None:
    """Remove a wait. The caller replies to it."""
    transaction.state.timers.set(wait, None)
    transaction.state.condition_index.remove(wait)
    transaction.state.dirty.mark_removed(wait)


def _examine_oldest(transaction: Transaction, wait: Wait, budget: Budget) -> None:
    """Examine the oldest moment of a wait, and reply if that decides it."""
    moment, index = wait.moments[0], transaction.state.condition_index
    examined = wait.examine(moment, budget)
    index.update_to_scan(wait)  # its matches may have changed
    if not examined:
        return
    index.drop_moment(wait)
    if wait.moments or not wait.timed_out:
        _settle(transaction, wait, moment)
    elif wait.is_satisfied(moment.met):
        _reply(transaction, wait, Outcome(ok=_waited(transaction, wait, moment)))
    else:
        decide(transaction, wait)  # time has passed since that moment


def _settle(transaction: Transaction, wait: Wait, moment: Moment) -> None:
    """Reply to a wait if its conditions hold at an examined moment, or if it has timed out."""
    if wait.is_satisfied(moment.met):
        _reply(transaction, wait, Outcome(ok=_waited(transaction, wait, moment)))
    elif wait.timed_out and not wait.needs_scan and not wait.moments:
        _reply(transaction, wait, Outcome(error=_timed_out(transaction, wait, moment)))


def _reply(transaction: Transaction, wait: Wait, outcome: Outcome) -> None:
    stop_waiting(transaction, wait)
    pending.reply(transaction, wait, outcome)


def _scan(transaction: Transaction, wait: Wait) -> None:
    """Scan one slice of keys for those conditions that need it."""
    keys_left = transaction.state.limits.scan
    for condition in wait.conditions:
        if condition.needs_scan and keys_left > 0:
            keys_left -= condition.scan(transaction.state.keyspace, transaction.now, keys_left, transaction.budget)


def _see(transaction: Transaction, wait: Wait, changes: Iterable[Change] = ()) -> Moment:
    state = transaction.state
    return wait.see(state.keyspace, state.lock_table, transaction.rev, transaction.now, changes)


def _waited(transaction: Transaction, wait: Wait, moment: Moment) -> m.Waited:
    """Return the reply to a wait: the entries that meet its conditions, as many as a reply can carry."""
    limit = transaction.state.limits.page_bytes
    entries: list[m.Entry] = []
    size = 0
    for index in moment.met:
        if wait.conditions[index].absent:
            continue
        for entry in moment.entries[index]:
            size += ENTRY_OVERHEAD_BYTES + entry.size
            if entries and size > limit:
                break
            entries.append(entry.to_wire())
    transaction.budget.left -= size // _COPIED_PER_COMPARED
    return m.Waited(entries, moment.met, moment.rev)


def _timed_out(transaction: Transaction, wait: Wait, moment: Moment) -> TimedOut:
    met = moment.met
    state = f"{len(met)} of {len(wait.conditions)} conditions hold" if met else "no condition holds"
    return TimedOut(f"the wait has timed out ({state}): wait again", met=met, rev=transaction.rev)


def _checked_conditions(transaction: Transaction, command: m.Wait) -> list[m.Awaited]:
    if (command.all is None) == (command.any is None):
        raise BadRequest("pass exactly one of all and any: a list of conditions", field="all")
    field = "any" if command.all is None else "all"
    awaited = command.any if command.all is None else command.all
    limit = transaction.state.limits.names
    if not awaited:
        raise BadRequest(f"{field} is empty: say what to wait for", field=field)
    if len(awaited) > limit:
        raise LimitReached(
            f"{field} has {len(awaited)} conditions, at most {limit} are taken", limit=limit, field=field
        )
    return awaited


def _checked_condition(transaction: Transaction, wait: Wait, awaited: m.Awaited, field: str) -> Condition:
    limit = transaction.state.limits.page
    ns = read_ns(awaited.ns, wait.session)
    if (awaited.key is None) == (awaited.pattern is None):
        raise BadRequest("a condition needs exactly one of key and pattern", field=field)
    if awaited.key is not None:
        check_key(awaited.key, field)
    pattern = None if awaited.pattern is None else compile_pattern(awaited.pattern, field)
    if not 1 <= awaited.count <= limit:
        raise BadRequest(f"count must be 1 to {limit}", field=field)
    if awaited.count != 1 and (awaited.absent or awaited.key is not None):
        raise BadRequest("count is for a pattern, and not together with absent", field=field)
    if awaited.since is not None and awaited.since < 0:
        raise BadRequest("since must be a revision", field=field)
    if awaited.unlocked and (awaited.since is not None or awaited.where is not None or awaited.count != 1):
        raise BadRequest("unlocked goes alone or with absent, not with since, where or count", field=field)
    condition = Condition(wait, awaited, ns, pattern, transaction.state.condition_index.values)
    if awaited.where is not None and awaited.where.value is not UNSET:
        text = transaction.encode_value(awaited.where.value, "where")
        condition.operand_bytes = len(text)
        if len(text) > _MAX_SHOWN_VALUE_BYTES:
            condition.shown = structs.replace(awaited, where=structs.replace(awaited.where, value=UNSET))
    return condition
