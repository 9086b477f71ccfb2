"""Keeping: what of the state must survive, how it comes back, and how what was not kept is taken back (G2, G7).

Entries and their earlier versions follow from the commits. Everything else is records of nouns that were marked
(`changed`). Revisions and numbers of subscriptions are reserved ahead of need, so that a restart can begin above all
that were ever given without a write for each.
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
from waggle_hub.state.sessions import KeptOutcome, Outcome, QueuedNotice
from waggle_hub.state.state import State
from waggle_hub.state.store.entry import Entry
from waggle_hub.state.store.expiry import deadline_after
from waggle_hub.state.transaction import Transaction

from .records import (
    ClaimRecord,
    DeliveryRecord,
    HubRecord,
    NamespaceRecord,
    OutcomeRecord,
    QueuedNoticeRecord,
    Record,
    SessionRecord,
    StoredState,
    SubscriptionRecord,
    TakerRecord,
    TombstoneRecord,
    WaitRecord,
    WriteBatch,
)

_REVS_AHEAD = 1_000_000
"""Revisions that are reserved in one go: what a restart after a crash may leave out."""
_SUBS_AHEAD = 10_000
_TRIM = 32
"""The log is cut on disk when it may lose this part of itself."""
R = TypeVar("R", bound=Record)


def changes(state: State, commits: list[Commit]) -> WriteBatch:
    """What the newest commits, and whatever was marked since the last call, have changed of what must survive."""
    found = WriteBatch(records=state.dirty.collect())
    for commit in commits:
        kept = False
        for event in commit.events:
            if event.persisted:
                kept = True
                if event.type in m.ENTRY_TYPES:
                    _add_entry(found, event.ns, event.key, event.entry, event.prev)
        if kept:
            found.commits.append(commit)
    _reserve(state, found)
    return found


def _add_entry(found: WriteBatch, ns: str, key: str, entry: Entry | None, prev: Entry | None) -> None:
    found.entries[ns, key] = entry if entry is not None and entry.persisted else None
    before = () if prev is None else prev.earlier
    after = () if entry is None else entry.earlier
    if before is not after:
        if after:
            found.earlier[ns, key, after[0].version] = after[0]
        for gone in before[max(len(after) - 1, 0) :]:
            found.earlier[ns, key, gone.version] = None


def _reserve(state: State, found: WriteBatch) -> None:
    """Write down how far revisions and numbers may go, and where the log begins, ahead of need."""
    hub, log = state.hub_record, state.log
    found.floor = hub.floor
    if state.refusing is not None or hub.running is None:
        return
    if log.rev > hub.rev - _REVS_AHEAD // 2:
        hub = structs.replace(hub, rev=log.rev + _REVS_AHEAD)
    if state.interests.last_sub > hub.sub - _SUBS_AHEAD // 2:
        hub = structs.replace(hub, sub=state.interests.last_sub + _SUBS_AHEAD)
    if (log.floor - hub.floor) * _TRIM > log.rev - log.floor:
        hub = structs.replace(hub, floor=log.floor)
    if hub is not state.hub_record and (found or hub.rev != state.hub_record.rev):
        found.records[hub.name] = state.hub_record = hub
    found.floor = state.hub_record.floor


# --- coming back -------------------------------------------------------------------------------------------------


def load(state: State, kept: StoredState, now: float) -> list[Effect]:
    """Let a state that is empty but for its epoch be what was kept: time spent down counts for entries (G6). What
    there is to say of that."""
    hub = next(record for record in kept.records if isinstance(record, HubRecord))
    state.hub_record = structs.replace(hub, epoch=state.epoch)
    state.log.rev = max(state.log.rev, hub.rev + 1)  # a cursor that stood at the end may have missed what is gone
    state.log.load(kept.commits, hub.floor)
    state.keyspace.load(kept.entries)
    for space in _of(kept.records, NamespaceRecord):
        state.keyspace.version_floors.restore(space, state.log.rev)
    _restore_graves(state, kept.records)
    if hub.running is not None and not kept.clean:
        state.keyspace.tombstones.mark_unknown(state.log.rev)
    serials = [record.serial for record in kept.records if isinstance(record, _Numbered)]
    state.reset_volatile_state(max(serials, default=0), hub.sub)
    transaction = Transaction(state, now)
    _restore(transaction, kept.records, (), lost=None if hub.epoch == state.epoch else "epoch")
    http_sessions.drop_all_calls(transaction)
    return transaction.effects


def rewind(state: State, commits: list[Commit], records: list[Record], connected: Collection[str], now: float) -> None:
    """Take back the newest commits, and let everything but entries be as it was kept. `connected` are the sessions
    whose agents are there."""
    for commit in reversed(commits):
        state.undo_events(commit.events)
        state.log.undo(commit)
    state.hub_record = next(record for record in records if isinstance(record, HubRecord))
    state.reset_volatile_state(state.timers.last_serial, state.interests.last_sub)
    state.dirty.discard()
    state.keyspace.version_floors.roll_back(_of(records, NamespaceRecord))
    _restore_graves(state, records)
    _restore(Transaction(state, now), records, connected)


def begin(transaction: Transaction) -> None:
    """The hub has started, or gone back: show who is here, end the locks of work that is gone, and ask the waits."""
    state = transaction.state
    for agent in state.sessions.agent_names():
        newest = state.sessions.of_agent(agent)[-1]
        if not newest.connected or (
            newest.connectionless and state.keyspace.get(session_lifecycle.AGENTS, agent) is None
        ):
            session_lifecycle.update_presence(transaction, agent)
    for claim in [claim for (ns, key), claim in state.lock_table.taken.items() if state.keyspace.get(ns, key) is None]:
        lifecycle.release(transaction, claim, "released", lost=True)
    transaction.commit()
    for wait in list(state.condition_index.waits):
        if wait in state.condition_index.waits:
            waits.decide(transaction, wait)


_Numbered = SessionRecord | OutcomeRecord | ClaimRecord | WaitRecord | TakerRecord | QueuedNoticeRecord


def _restore(
    transaction: Transaction, records: list[Record], connected: Collection[str], lost: str | None = None
) -> None:
    state = transaction.state
    sessions = {
        session.id: session_lifecycle.restore(transaction, session, session.id in connected)
        for session in _by_serial(records, SessionRecord)
    }
    for entry in state.keyspace.ephemeral_entries():
        state.update_ephemeral_owner(None, entry)
    for cursor in _of(records, SubscriptionRecord):
        subscribe.restore(transaction, sessions[cursor.session], cursor, lost)
    for outcome in _by_serial(records, OutcomeRecord):
        found = Outcome.from_json(outcome.ok, outcome.error)
        kept = KeptOutcome(outcome.serial, outcome.session, outcome.rid, outcome.op, found)
        sessions[outcome.session].outcomes[outcome.rid] = kept
    claims = [(locks.restore(transaction, sessions[one.session], one), one) for one in _by_serial(records, ClaimRecord)]
    until = deadline_after(transaction.now, state.limits.grace)
    for claim, record in sorted(claims, key=lambda pair: pair[1].token or 0):
        locks.restore_grant(transaction, claim, record, until)
    for delivery in _of(records, DeliveryRecord):
        if state.keyspace.get(delivery.ns, delivery.key) is not None:
            state.work_queues.deliveries[delivery.ns, delivery.key] = delivery.count
        else:
            state.dirty.remove(delivery.name)
    for wait in _by_serial(records, WaitRecord):
        waits.restore(transaction, sessions[wait.session], wait)
    for taker in _by_serial(records, TakerRecord):
        take.restore(transaction, sessions[taker.session], taker)
    for unsaid in _by_serial(records, QueuedNoticeRecord):
        sessions[unsaid.session].queued_notices.append(QueuedNotice(unsaid.serial, notice_of(unsaid)))


def _restore_graves(state: State, records: list[Record]) -> None:
    state.keyspace.tombstones.restore(sorted(_of(records, TombstoneRecord), key=lambda grave: grave.number))


def _of(records: list[Record], kind: type[R]) -> list[R]:
    return [record for record in records if isinstance(record, kind)]


N = TypeVar("N", SessionRecord, OutcomeRecord, ClaimRecord, WaitRecord, TakerRecord, QueuedNoticeRecord)


def _by_serial(records: list[Record], kind: type[N]) -> list[N]:
    return sorted(_of(records, kind), key=lambda record: record.serial)
