"""The rules of take: work with one winner (protocol 7).

What is taken is the oldest matching entry that nobody has locked or waits to lock; taking it is locking its name, for
the length of a lease. The lock ends with the entry. If it ends otherwise the entry was given up, and the next taker
gets it; one that was given up too often goes to ``$dead`` instead.
"""

from __future__ import annotations

from itertools import islice

import msgspec

from waggle.wire import messages as m
from waggle.wire.errors import BadRequest, LimitReached, TimedOut
from waggle.wire.names import Pattern, compile_pattern
from waggle_hub.state import pending
from waggle_hub.state.locks.request import LockRequest
from waggle_hub.state.namespaces import DEAD, emptied_ns
from waggle_hub.state.persistence.records import TakerRecord
from waggle_hub.state.sessions import Outcome, Session
from waggle_hub.state.store.expiry import deadline_after
from waggle_hub.state.store.keyspace import Entry
from waggle_hub.state.transaction import Transaction
from waggle_hub.state.work.queue import Taker

from . import locks

_encode = msgspec.json.Encoder().encode
_FEW = 16
"""Places of a line that are listed in one go: as a rule the first of them is free."""


def take(transaction: Transaction, session: Session, command: m.Take) -> m.Taken | None:
    """The entry that was taken, or None while there is none."""
    transaction.check_can_persist()
    taker = _taker(transaction, session, command)
    taken = _look(transaction, taker)
    if taken is not None:
        return taken
    if command.timeout == 0 and not taker.looking:
        raise _nothing(taker)
    pending.check_capacity(transaction, session)
    transaction.state.work.add(taker)
    pending.start(
        transaction, taker, None if command.timeout is None else deadline_after(transaction.now, command.timeout)
    )
    return None


def restore(transaction: Transaction, session: Session, record: TakerRecord) -> None:
    """It goes on waiting as it was kept, and looks through its line anew."""
    line = transaction.state.work.line(record.ns, _compiled(record.patterns))
    taker = Taker(
        record.serial, session, record.id, record.rid, record.since, line, record.lease, record.max_deliveries
    )
    taker.late = record.late
    transaction.state.work.add(taker)
    pending.register(taker)
    transaction.state.timers.set(taker, record.deadline)


def serve_next(transaction: Transaction) -> None:
    """Give something that has become free to the first who waits for it."""
    work = transaction.state.work
    for taker in work.reopened():
        work.look_again(taker)
    place = work.next_offer()
    if place is None:
        return
    ns, key = place
    entry = transaction.state.keyspace.get(ns, key)
    if entry is None or entry.is_due(transaction.now) or transaction.state.lock_table.has_request_on_key(ns, key):
        return
    first = work.first_for(ns, key)
    if first is None:
        return
    if first.looking:
        work.look_again(first, key)
        work.hold_back(entry)
    elif work.holds_back_for(first):
        work.hold_back(entry)
    else:
        _serve(transaction, first, entry)


def proceed(transaction: Transaction, taker: Taker) -> None:
    """Look on, one slice of it."""
    transaction.attribute_to(taker.session)
    try:
        taken = _look(transaction, taker)
    except LimitReached as error:
        _answer(transaction, taker, Outcome(error=error))
        return
    if taken is not None:
        _answer(transaction, taker, Outcome(ok=taken))
    elif not taker.looking:
        transaction.state.work.looked(taker)
        if taker.late:
            _answer(transaction, taker, Outcome(error=_nothing(taker)))


def time_out(transaction: Transaction, taker: Taker) -> None:
    """Its time is over."""
    transaction.state.timers.set(taker, None)
    taker.late = True
    transaction.state.dirty.mark(taker)
    if not taker.looking and transaction.state.work.holds_back_for(taker):
        transaction.state.work.look_again(taker)
    if not taker.looking:
        _answer(transaction, taker, Outcome(error=_nothing(taker)))


def give_up(transaction: Transaction, taker: Taker) -> None:
    """It waits no longer. The answer is for the caller."""
    transaction.state.timers.set(taker, None)
    transaction.state.work.remove(taker)
    transaction.state.dirty.mark_removed(taker)


def _look(transaction: Transaction, taker: Taker) -> m.Taken | None:
    """Look through its line from where it stands, one slice of it, and take the first that is free.

    `looking` tells whether it has to go on. LimitReached if there is one, but its session has as many locks as it may.
    """
    state, line = transaction.state, taker.line
    left = state.limits.scan
    if line.scanning:
        left = max(0, left - line.scan(state.keyspace, state.lock_table, transaction.now, left))
        if line.scanning:
            return None
    if state.lock_table.covers_all(line.ns, line.patterns):
        taker.looking = False
        return None
    while left:
        places = list(islice(line.work.irange(minimum=taker.after), min(left, _FEW)))
        left -= len(places)
        for place in places:
            taker.after = place + 1
            key = line.work.get(place)
            entry = None if key is None else state.keyspace.get(line.ns, key)
            if (
                key is None
                or entry is None
                or entry.is_due(transaction.now)
                or state.lock_table.has_request_on_key(line.ns, key)
            ):
                continue
            first = state.work.first_for(line.ns, key)
            if first is not None and first.serial < taker.serial:
                # Somebody who came earlier still looks: what is left for this one shows when that is done.
                assert state.work.looking[0].serial < taker.serial
                taker.after = place
                return None
            taken = _deliver(transaction, taker, entry)
            if taken is not None:
                taker.looking = False
                return taken
        if not places:
            taker.looking = False
            break
    return None


def _serve(transaction: Transaction, taker: Taker, entry: Entry) -> None:
    transaction.attribute_to(taker.session)
    try:
        taken = _deliver(transaction, taker, entry)
    except LimitReached as error:
        _answer(transaction, taker, Outcome(error=error))
        transaction.state.work.offer(entry)
        return
    if taken is not None:
        _answer(transaction, taker, Outcome(ok=taken))


def _answer(transaction: Transaction, taker: Taker, outcome: Outcome) -> None:
    give_up(transaction, taker)
    transaction.commit()
    pending.reply(transaction, taker, outcome)


def _deliver(transaction: Transaction, taker: Taker, entry: Entry) -> m.Taken | None:
    """Lock it for the taker; or None, and it is dead: it was delivered too often."""
    place = entry.ns, entry.key
    delivery = transaction.state.work.deliveries.get(place, 0) + 1
    if taker.max_deliveries is not None and delivery > taker.max_deliveries:
        _bury(transaction, entry, delivery - 1)
        return None
    _check_number(transaction, taker.session)
    transaction.state.work.deliver(place, delivery)
    claim = LockRequest(
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
    transaction.add_lock_request(claim, {})
    granted = locks.grant(transaction, claim)
    waited = round(transaction.at - taker.since, 3)
    return m.Taken(entry.to_wire(), granted.token, granted.expires_at, delivery, waited)


def _bury(transaction: Transaction, entry: Entry, deliveries: int) -> None:
    """Move an entry to ``$dead``, in one revision."""
    state = transaction.state
    transaction.attribute_to_hub()
    key = f"{entry.ns}:{entry.created_rev}"
    number = 0
    while state.keyspace.get(DEAD, key) is not None:  # of two that were created in one txn
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
    transaction.put(DEAD, key, entry.value, None, meta=_encode(meta))
    transaction.commit()


def _check_number(transaction: Transaction, session: Session) -> None:
    limit = transaction.state.limits.claims
    if len(session.lock_requests) >= limit:
        raise LimitReached(f"this session has {limit} locks: finish some of its work", limit=limit)


def _nothing(taker: Taker) -> TimedOut:
    texts = ", ".join(pattern.text for pattern in taker.line.patterns[:3])
    return TimedOut(f"there was nothing to take for {texts} in time: try again, or wait with a longer timeout")


def _taker(transaction: Transaction, session: Session, command: m.Take) -> Taker:
    limits = transaction.state.limits
    ns = emptied_ns(command.ns, session)
    if ns == DEAD and command.max_deliveries is not None:
        raise BadRequest(f"what is in {DEAD} is dead already: take it without max_deliveries", field="max_deliveries")
    if not command.patterns:
        raise BadRequest("patterns is empty: say what to take", field="patterns")
    if len(command.patterns) > limits.patterns:
        raise LimitReached(f"a take has at most {limits.patterns} patterns", limit=limits.patterns, field="patterns")
    patterns = _compiled(command.patterns)
    locks.check_ttl(transaction, command.lease, "lease")
    if command.timeout is not None and not 0 <= command.timeout <= limits.ttl:
        raise BadRequest(f"timeout is 0 to {limits.ttl:.0f} seconds, or null to wait for ever", field="timeout")
    if command.max_deliveries is not None and command.max_deliveries < 1:
        raise BadRequest("max_deliveries is at least 1", field="max_deliveries")
    _check_number(transaction, session)
    return Taker(
        transaction.state.timers.next_serial(),
        session,
        command.id,
        command.rid,
        transaction.at,
        transaction.state.work.line(ns, patterns),
        command.lease,
        command.max_deliveries,
    )


def _compiled(texts: list[str]) -> tuple[Pattern, ...]:
    return tuple(dict.fromkeys(compile_pattern(text, "patterns") for text in sorted(set(texts))))
