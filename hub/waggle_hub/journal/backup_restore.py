"""Restore of a backup: which records of it may still hold.

Rules:
1. Agents that had a session when the backup was made are treated as gone: their locks, waits, queued notices and
   ephemeral entries end; the versions of such keys do not start again.
2. What clients saw since the backup is unknown. So the log begins anew, in an epoch that the next start names (G2).
"""

from __future__ import annotations

from msgspec import structs

from waggle_hub.state.persistence.records import (
    ClaimRecord,
    DeliveryRecord,
    HubRecord,
    OutcomeRecord,
    QueuedNoticeRecord,
    SessionRecord,
    StoredState,
    SubscriptionRecord,
    TakerRecord,
    TombstoneRecord,
    WaitRecord,
    WriteBatch,
)

_OF_AGENTS = (
    SessionRecord, SubscriptionRecord, OutcomeRecord, ClaimRecord, WaitRecord, TakerRecord, QueuedNoticeRecord
)  # fmt: skip


def restored(kept: StoredState) -> WriteBatch:
    """Return the changes that a copy of a backup needs before a hub may start on it."""
    changes = WriteBatch()
    number = max((record.number for record in kept.records if isinstance(record, TombstoneRecord)), default=0)
    for entry in kept.entries:
        if entry.owner is not None:
            number += 1
            grave = TombstoneRecord(ns=entry.ns, key=entry.key, version=entry.version, number=number)
            changes.entries[entry.ns, entry.key] = None
            changes.records[grave.name] = grave
            changes.records[DeliveryRecord(ns=entry.ns, key=entry.key, count=0).name] = None
            for earlier in entry.earlier:
                changes.earlier[earlier.ns, earlier.key, earlier.version] = None
    for record in kept.records:
        if isinstance(record, _OF_AGENTS):
            changes.records[record.name] = None
        elif isinstance(record, HubRecord):
            changes.records[record.name] = structs.replace(record, epoch="", floor=record.rev, running=None)
            changes.floor = record.rev
    return changes
