"""Recovery: what the journal has to write, how stored state is loaded, how unwritten changes are rolled back (G2, G7).

Entries and their earlier versions follow from the commits. Everything else is in records of items that were marked
dirty.

Revisions and subscription numbers are *reserved* ahead of need: the hub's record says how far they may go, and is
written once for many of them. So a restart begins above all that were ever given, without a write for each.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeVar

from msgspec import structs

from waggle.wire import messages as m
from waggle_hub.state.commands import http_sessions, locks, session_lifecycle, subscribe, take
from waggle_hub.state.commands import wait as waits
from waggle_hub.state.effects import Effect, notice_of
from waggle_hub.state.locks import lifecycle
from waggle_hub.state.log import Commit
from waggle_hub.state.sessions import Outcome, QueuedNotice, RememberedOutcome, Session
from waggle_hub.state.state import State
from waggle_hub.state.store.entry import Entry
from waggle_hub.state.store.expiry import deadline_after
from waggle_hub.state.transaction import Transaction

from .records import (
    ClaimRecord,
    ContradictionError,
    DeliveryRecord,
    HubRecord,
    NamespaceRecord,
    OutcomeRecord,
    QueuedNoticeRecord,
    Record,
    SerialRecord,
    SessionRecord,
    StoredState,
    SubscriptionRecord,
    TakerRecord,
    TombstoneRecord,
    WaitRecord,
    WriteBatch,
)

_RESERVED_REVS = 1_000_000
"""Revisions that are reserved at a time: a restart after a crash may skip as many."""
_RESERVED_SUBS = 10_000
_LOG_TRIM_DIVISOR = 32
"""The stored log is cut when at least one part in so many of it has left the window."""
R = TypeVar("R", bound=Record)


def collect_changes(state: State, commits: list[Commit]) -> WriteBatch:
    """Collect what the journal must write: persisted entries of the newest commits, and every record marked dirty."""
    batch = WriteBatch(records=state.dirty.collect())
    for commit in commits:
        persisted = False
        for event in commit.events:
            if event.persisted:
                persisted = True
                if event.type in m.ENTRY_TYPES:
                    _add_entry(batch, event.ns, event.key, event.entry, event.prev)
        if persisted:
            batch.commits.append(commit)
    _reserve(state, batch)
    return batch


def _add_entry(batch: WriteBatch, ns: str, key: str, entry: Entry | None, prev: Entry | None) -> None:
    batch.entries[ns, key] = entry if entry is not None and entry.persisted else None
    # A write of a versioned entry puts the previous entry in front of `earlier` and may drop the oldest: only these two
    # differ, so only these are written.
    before = () if prev is None else prev.earlier
    after = () if entry is None else entry.earlier
    if before is not after:
        if after:
            batch.earlier[ns, key, after[0].version] = after[0]
        for gone in before[max(len(after) - 1, 0) :]:
            batch.earlier[ns, key, gone.version] = None


def _reserve(state: State, batch: WriteBatch) -> None:
    """Add the record of the hub to a batch, if counters come near their reserve or the log can be cut."""
    hub, log = state.hub_record, state.log
    batch.floor = hub.floor
    # While the journal fails the stored reserve is the limit. Without `running` no hub has started on the data yet.
    if state.refusing is not None or hub.running is None:
        return
    if log.rev > hub.rev - _RESERVED_REVS // 2:
        hub = structs.replace(hub, rev=log.rev + _RESERVED_REVS)
    if state.interests.last_sub > hub.sub - _RESERVED_SUBS // 2:
        hub = structs.replace(hub, sub=state.interests.last_sub + _RESERVED_SUBS)
    if (log.floor - hub.floor) * _LOG_TRIM_DIVISOR > log.rev - log.floor:
        hub = structs.replace(hub, floor=log.floor)
    # Cutting the log can wait for something else to write; the reserve cannot.
    if hub is not state.hub_record and (batch or hub.rev != state.hub_record.rev):
        batch.records[hub.name] = state.hub_record = hub
    batch.floor = state.hub_record.floor


# --- restoring ------------------------------------------------------------------------------------------------------


def load(state: State, kept: StoredState, now: float) -> list[Effect]:
    """Load stored state into an empty machine. Entry TTLs keep running while the hub is down (G6).

    Returns the resulting effects. Raises ContradictionError.
    """
    hub = next(record for record in kept.records if isinstance(record, HubRecord))
    state.hub_record = structs.replace(hub, epoch=state.epoch)
    # One above the reserve: a cursor at the end of the old log may have missed events that are lost.
    state.log.rev = max(state.log.rev, hub.rev + 1)
    state.log.load(kept.commits, hub.floor)
    state.keyspace.load(kept.entries)
    for namespace in _of(kept.records, NamespaceRecord):
        state.keyspace.version_floors.restore(namespace, state.log.rev)
    _restore_tombstones(state, kept.records)
    if hub.running is not None and not kept.clean:
        state.keyspace.tombstones.mark_unknown(state.log.rev)
    serials = [record.serial for record in kept.records if isinstance(record, SessionRecord | SerialRecord)]
    state.reset_volatile_state(max(serials, default=0), hub.sub)
    transaction = Transaction(state, now)
    _restore(transaction, kept.records, (), lost=None if hub.epoch == state.epoch else "epoch")
    http_sessions.drop_all_calls(transaction)
    return transaction.effects


def roll_back(
    state: State, commits: list[Commit], records: list[Record], connected: Collection[str], now: float
) -> None:
    """Undo the newest commits, and restore everything but entries from these records.

    `connected` are the ids of the sessions that have a connection now.
    """
    for commit in reversed(commits):
        state.undo_events(commit.events)
        state.log.undo(commit)
    state.hub_record = next(record for record in records if isinstance(record, HubRecord))
    state.reset_volatile_state(state.timers.last_serial, state.interests.last_sub)
    state.dirty.discard()
    state.keyspace.version_floors.roll_back(_of(records, NamespaceRecord))
    _restore_tombstones(state, records)
    _restore(Transaction(state, now), records, connected)


def start(transaction: Transaction) -> None:
    """Bring the state in order after a load or a rollback: presence, locks of work that is gone, waits that are met."""
    state = transaction.state
    for agent in state.sessions.agent_names():
        newest = state.sessions.of_agent(agent)[-1]
        if not newest.connected or (
            newest.connectionless and state.keyspace.get(session_lifecycle.AGENTS, agent) is None
        ):
            session_lifecycle.update_presence(transaction, agent)
    taken = state.lock_table.taken.items()
    for request in [request for (ns, key), request in taken if state.keyspace.get(ns, key) is None]:
        lifecycle.release(transaction, request, "released", lost=True)
    transaction.commit()
    # A copy, and a look at each: the decision of one wait may end others.
    for wait in list(state.condition_index.waits):
        if wait in state.condition_index.waits:
            waits.decide(transaction, wait)


class _Sessions(dict[str, Session]):
    """The restored sessions, by id."""

    def __missing__(self, id: str) -> Session:
        raise ContradictionError(f"there are records of session {id}, and none that describes it")


def _restore(
    transaction: Transaction, records: list[Record], connected: Collection[str], lost: str | None = None
) -> None:
    state = transaction.state
    sessions = _Sessions(
        (session.id, session_lifecycle.restore(transaction, session, session.id in connected))
        for session in _by_serial(records, SessionRecord)
    )
    for entry in state.keyspace.ephemeral_entries():
        state.update_ephemeral_owner(None, entry)
    for cursor in _of(records, SubscriptionRecord):
        subscribe.restore(transaction, sessions[cursor.session], cursor, lost)
    for outcome in _by_serial(records, OutcomeRecord):
        result = Outcome.from_json(outcome.ok, outcome.error)
        remembered = RememberedOutcome(outcome.serial, outcome.session, outcome.rid, outcome.op, result)
        sessions[outcome.session].outcomes[outcome.rid] = remembered
    # All requests arrive before any is granted: so each sees the conflicts that it had. Grants follow in the old order.
    requests = [
        (locks.restore(transaction, sessions[record.session], record), record)
        for record in _by_serial(records, ClaimRecord)
    ]
    until = deadline_after(transaction.now, state.limits.grace)
    for request, record in sorted(requests, key=lambda pair: pair[1].token or 0):
        locks.restore_grant(transaction, request, record, until)
    for delivery in _of(records, DeliveryRecord):
        if state.keyspace.get(delivery.ns, delivery.key) is not None:
            state.work_queues.deliveries[delivery.ns, delivery.key] = delivery.count
        else:
            state.dirty.remove(delivery.name)
    for wait in _by_serial(records, WaitRecord):
        waits.restore(transaction, sessions[wait.session], wait)
    for taker in _by_serial(records, TakerRecord):
        take.restore(transaction, sessions[taker.session], taker)
    for queued in _by_serial(records, QueuedNoticeRecord):
        sessions[queued.session].queued_notices.append(QueuedNotice(queued.serial, notice_of(queued)))


def _restore_tombstones(state: State, records: list[Record]) -> None:
    state.keyspace.tombstones.restore(sorted(_of(records, TombstoneRecord), key=lambda tombstone: tombstone.number))


def _of(records: list[Record], kind: type[R]) -> list[R]:
    return [record for record in records if isinstance(record, kind)]


S = TypeVar("S", bound=SessionRecord | SerialRecord)


def _by_serial(records: list[Record], kind: type[S]) -> list[S]:
    return sorted(_of(records, kind), key=lambda record: record.serial)
