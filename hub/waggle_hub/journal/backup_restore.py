"""Restoring: what of a backup may be true again.

Rules:
1. Agents that were there when the backup was made are not there any more, as far as anybody knows. What they held,
   waited for and were owed is gone, and so is what was tied to them; the versions of such keys do not start again.
2. Nobody knows what was told since. So the log begins anew, in an epoch that the next start gives a name (G2).
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
    """What to change in the copy of a backup before a hub may start on it."""
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
