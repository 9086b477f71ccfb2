"""The rules of `take`: work that exactly one taker gets (protocol 7).

A taker gets the oldest matching entry that has no lock request, held or waiting, of anyone. Taking it means locking its
name for the length of a lease. That lock ends with the entry, when the work is done. If the lock ends first, the
delivery has failed, and the next taker gets the entry; after too many deliveries it is moved to the dead-letter
namespace ``$dead`` instead.
"""

from __future__ import annotations

from itertools import islice

import msgspec

from waggle.wire import messages as m
from waggle.wire.errors import BadRequest, LimitReached, TimedOut
from waggle.wire.json import encode
from waggle.wire.patterns import Pattern, compile_pattern
from waggle_hub.state import pending
from waggle_hub.state.locks import lifecycle
from waggle_hub.state.locks.request import LockRequest
from waggle_hub.state.namespaces import DEAD, emptied_ns
from waggle_hub.state.persistence.records import TakerRecord
from waggle_hub.state.sessions import Outcome, Session
from waggle_hub.state.store.entry import Entry
from waggle_hub.state.store.expiry import deadline_after
from waggle_hub.state.transaction import Transaction
from waggle_hub.state.work.queue import Taker

from . import locks

_POSITIONS_AT_ONCE = 16
"""Positions of a work queue that are read in one go: usually the entry at the first of them is free."""


def take(transaction: Transaction, session: Session, command: m.Take) -> m.Taken | None:
    """Lock and return the entry that the session gets; None while there is none for it."""
    transaction.check_can_persist()
    taker = _checked_taker(transaction, session, command)
    taken = _scan(transaction, taker)
    if taken is not None:
        return taken
    if command.timeout == 0 and not taker.scanning:
        raise _nothing_to_take(taker)
    pending.check_capacity(transaction, session)
    transaction.state.work_queues.add(taker)
    deadline = None if command.timeout is None else deadline_after(transaction.now, command.timeout)
    pending.start(transaction, taker, deadline)
    return None


def restore(transaction: Transaction, session: Session, record: TakerRecord) -> None:
    """Add a stored taker again. It waits with its old deadline, and scans its queue from the start."""
    queue = transaction.state.work_queues.queue(record.ns, _compile(record.patterns))
    taker = Taker(
        record.serial, session, record.id, record.rid, record.since, queue, record.lease, record.max_deliveries
    )
    taker.timed_out = record.late
    transaction.state.work_queues.add(taker)
    pending.register(taker)
    transaction.state.timers.set(taker, record.deadline)


def handle_next_offer(transaction: Transaction) -> None:
    """Give the oldest entry that is offered to the first taker that waits for it, or defer the offer."""
    work_queues = transaction.state.work_queues
    for waiting in work_queues.takers_of_released_patterns():
        work_queues.rescan(waiting)
    entry_id = work_queues.next_offer()
    if entry_id is None:
        return
    ns, key = entry_id
    entry = transaction.state.keyspace.get(ns, key)
    if entry is None or entry.is_due(transaction.now) or transaction.state.lock_table.has_request_on_key(ns, key):
        return
    taker = work_queues.first_taker(ns, key)
    if taker is None:
        return
    if taker.scanning:
        # Its scan may find an older entry. If not, it must come to this one, so it goes back if it is past it.
        work_queues.rescan(taker, key)
        work_queues.defer(entry)
    elif work_queues.has_deferred_for(taker):
        # It may yet get an older entry, for which an earlier taker is scanning.
        work_queues.defer(entry)
    else:
        _give(transaction, taker, entry)


def continue_scan(transaction: Transaction, taker: Taker) -> None:
    """Scan the next slice of a taker's queue, and reply if that decides the take."""
    transaction.attribute_to(taker.session)
    try:
        taken = _scan(transaction, taker)
    except LimitReached as error:
        _reply(transaction, taker, Outcome(error=error))
        return
    if taken is not None:
        _reply(transaction, taker, Outcome(ok=taken))
    elif not taker.scanning:
        transaction.state.work_queues.finish_scan(taker)
        if taker.timed_out:
            _reply(transaction, taker, Outcome(error=_nothing_to_take(taker)))


def time_out(transaction: Transaction, taker: Taker) -> None:
    """Answer a taker whose deadline has passed with an error, unless a scan may still find an entry for it."""
    work_queues = transaction.state.work_queues
    transaction.state.timers.set(taker, None)
    taker.timed_out = True
    transaction.state.dirty.mark(taker)
    if not taker.scanning and work_queues.has_deferred_for(taker):
        work_queues.rescan(taker)
    if not taker.scanning:
        _reply(transaction, taker, Outcome(error=_nothing_to_take(taker)))


def stop_waiting(transaction: Transaction, taker: Taker) -> None:
    """Remove a taker. The caller replies to it."""
    transaction.state.timers.set(taker, None)
    transaction.state.work_queues.remove(taker)
    transaction.state.dirty.mark_removed(taker)


def _scan(transaction: Transaction, taker: Taker) -> m.Taken | None:
    """Scan one slice of the taker's queue, and take the first entry that is free.

    Afterwards `taker.scanning` tells whether another slice is needed. Raises LimitReached if an entry is free, but the
    session has as many locks as it may have.
    """
    state, queue = transaction.state, taker.queue
    keys_left = state.limits.scan
    if queue.filling:
        keys_left = max(0, keys_left - queue.fill(state.keyspace, state.lock_table, transaction.now, keys_left))
        if queue.filling:
            return None
    if state.lock_table.covers_all(queue.ns, queue.patterns):
        # Nothing can be free until one of those requests is gone, which starts a scan anew.
        taker.scanning = False
        return None
    while keys_left:
        positions = list(islice(queue.keys.irange(minimum=taker.next_position), min(keys_left, _POSITIONS_AT_ONCE)))
        keys_left -= len(positions)
        for position in positions:
            taker.next_position = position + 1
            key = queue.keys.get(position)
            # Moving an earlier entry to the dead letters may have changed the queue since its positions were read.
            entry = None if key is None else state.keyspace.get(queue.ns, key)
            if key is None or entry is None or entry.is_due(transaction.now):
                continue
            if state.lock_table.has_request_on_key(queue.ns, key):
                continue
            first = state.work_queues.first_taker(queue.ns, key)
            if first is not None and first.serial < taker.serial:
                # An earlier taker is scanning and may want this entry: stop here until its scan has ended.
                assert state.work_queues.scanning[0].serial < taker.serial
                taker.next_position = position
                return None
            taken = _deliver(transaction, taker, entry)
            if taken is not None:
                taker.scanning = False
                return taken
        if not positions:
            taker.scanning = False
            break
    return None


def _give(transaction: Transaction, taker: Taker, entry: Entry) -> None:
    transaction.attribute_to(taker.session)
    try:
        taken = _deliver(transaction, taker, entry)
    except LimitReached as error:
        _reply(transaction, taker, Outcome(error=error))
        transaction.state.work_queues.offer(entry)  # to the next taker
        return
    if taken is not None:
        _reply(transaction, taker, Outcome(ok=taken))


def _reply(transaction: Transaction, taker: Taker, outcome: Outcome) -> None:
    stop_waiting(transaction, taker)
    transaction.commit()
    pending.reply(transaction, taker, outcome)


def _deliver(transaction: Transaction, taker: Taker, entry: Entry) -> m.Taken | None:
    """Lock an entry for the taker; or, after too many deliveries, move it to the dead letters and return None."""
    entry_id = entry.ns, entry.key
    delivery = transaction.state.work_queues.deliveries.get(entry_id, 0) + 1
    if taker.max_deliveries is not None and delivery > taker.max_deliveries:
        _move_to_dead_letters(transaction, entry, delivery - 1)
        return None
    _check_lock_count(transaction, taker.session)
    transaction.state.work_queues.set_deliveries(entry_id, delivery)
    request = LockRequest(
        transaction.state.timers.next_serial(),
        taker.session,
        taker.id,
        None,
        transaction.at,
        ns=entry.ns,
        names=(entry.key,),
        mode="exclusive",
        ttl=taker.lease,
        taken=True,
    )
    transaction.attribute_to(taker.session)
    lifecycle.add(transaction, request, {})
    granted = locks.grant(transaction, request)
    waited = round(transaction.at - taker.since, 3)
    return m.Taken(entry.to_wire(), granted.token, granted.expires_at, delivery, waited)


def _move_to_dead_letters(transaction: Transaction, entry: Entry, deliveries: int) -> None:
    """Move an entry to ``$dead`` in one commit. Its new key is its namespace and creation revision."""
    state = transaction.state
    transaction.attribute_to_hub()
    key = f"{entry.ns}:{entry.created_rev}"
    number = 0
    while state.keyspace.get(DEAD, key) is not None:  # entries created by one txn share a revision
        number += 1
        key = f"{entry.ns}:{entry.created_rev}.{number}"
    meta = {
        "ns": entry.ns,
        "key": entry.key,
        "deliveries": deliveries,
        "by": entry.by,
        "meta": None if entry.meta is None else msgspec.Raw(entry.meta),
    }
    transaction.remove(entry, reason="dead")
    transaction.put(DEAD, key, entry.value, None, meta=encode(meta))
    transaction.commit()


def _check_lock_count(transaction: Transaction, session: Session) -> None:
    limit = transaction.state.limits.claims
    if len(session.lock_requests) >= limit:
        raise LimitReached(f"this session has {limit} locks: finish some of its work", limit=limit)


def _nothing_to_take(taker: Taker) -> TimedOut:
    texts = ", ".join(pattern.text for pattern in taker.queue.patterns[:3])
    return TimedOut(f"there was nothing to take for {texts} in time: try again, or wait with a longer timeout")


def _checked_taker(transaction: Transaction, session: Session, command: m.Take) -> Taker:
    limits = transaction.state.limits
    ns = emptied_ns(command.ns, session)
    if ns == DEAD and command.max_deliveries is not None:
        raise BadRequest(
            f"entries in {DEAD} are dead already: take them without max_deliveries", field="max_deliveries"
        )
    if not command.patterns:
        raise BadRequest("patterns is empty: say what to take", field="patterns")
    if len(command.patterns) > limits.patterns:
        raise LimitReached(f"a take has at most {limits.patterns} patterns", limit=limits.patterns, field="patterns")
    patterns = _compile(command.patterns)
    locks.check_ttl(transaction, command.lease, "lease")
    if command.timeout is not None and not 0 <= command.timeout <= limits.ttl:
        raise BadRequest(
            f"timeout must be 0 to {limits.ttl:.0f} seconds, or null to wait without limit", field="timeout"
        )
    if command.max_deliveries is not None and command.max_deliveries < 1:
        raise BadRequest("max_deliveries must be at least 1", field="max_deliveries")
    _check_lock_count(transaction, session)
    return Taker(
        transaction.state.timers.next_serial(),
        session,
        command.id,
        command.rid,
        transaction.at,
        transaction.state.work_queues.queue(ns, patterns),
        command.lease,
        command.max_deliveries,
    )


def _compile(texts: list[str]) -> tuple[Pattern, ...]:
    """Return the patterns in one order for all takes that name the same, so that these share a work queue."""
    return tuple(dict.fromkeys(compile_pattern(text, "patterns") for text in sorted(set(texts))))
