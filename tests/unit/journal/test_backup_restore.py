"""What of a backup is true again: what was stored, and nothing of those who were there."""

from __future__ import annotations

from typing import Any

from msgspec import Raw, structs

from tests.unit.journal.memory import DISK, MemoryStore
from tests.unit.journal.world import plain, told
from waggle_hub.journal.backup_restore import restored
from waggle_hub.state.log import Commit, Event
from waggle_hub.state.persistence.records import (
    KINDS,
    ClaimRecord,
    DeliveryRecord,
    HubRecord,
    NamespaceRecord,
    OutcomeRecord,
    ProgressRecord,
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
from waggle_hub.state.store.entry import Entry

HUB = HubRecord(epoch="e1", rev=50, floor=1, sub=7, running="full")
STAYING: list[Record] = [
    ProgressRecord(writes=3),
    NamespaceRecord(ns="default", floor=3),
    TombstoneRecord(ns="default", key="gone", version=4, number=12),
    DeliveryRecord(ns="default", key="stays", count=2),
]
LEAVING: list[Record] = [
    SessionRecord(
        id="s1", secret="x", agent="a", chosen=True, ns="default", meta=Raw(b"{}"), status=Raw(b"null"), since=0.0,
        last=0.0, serial=1,
    ),
    SubscriptionRecord(
        session="s1", sub=1, ns="default", patterns=["*"], types=["set"], values=True, prev=False, start=1,
        snapshot=False,
    ),
    OutcomeRecord(serial=2, session="s1", rid="r", ok=Raw(b"{}")),
    ClaimRecord(serial=3, session="s1", id=1, since=0.0, ns="default", mode="exclusive", ttl=1.0),
    WaitRecord(serial=4, session="s1", id=2, since=0.0, conditions=[], need_all=True),
    TakerRecord(serial=5, session="s1", id=3, since=0.0, ns="default", patterns=["*"], lease=1.0),
    QueuedNoticeRecord(serial=6, session="s1", id=4, ok=Raw(b"{}")),
    DeliveryRecord(ns="default", key="tied", count=2),
]  # fmt: skip


def entry(key: str, **fields: Any) -> Entry:
    plain = Entry(key, "default", b"1", 9, 5, "versioned", 0.0, 0.0, None, "a", None)
    return structs.replace(plain, **fields)


def test_stored_entries_stay_and_ephemeral_ones_go() -> None:
    stays = entry("stays", earlier=(entry("stays", rev=8, version=4),))
    tied = entry("tied", owner="s1", earlier=(entry("tied", rev=8, version=4),))
    event = Event(type="set", rev=9, ns="default", key="stays", at=0.0, by="a", origin=None, entry=stays)
    kept = StoredState([stays, tied], [Commit(9, (event,), 0)], [HUB, *STAYING, *LEAVING])
    assert {record.kind for record in kept.records} == set(KINDS), "each kind is decided on"
    DISK.clear()
    store = MemoryStore(None)  # type: ignore[arg-type]
    bare = {(one.ns, one.key): structs.replace(one, earlier=()) for one in (stays, tied)}
    earlier = {(old.ns, old.key, old.version): old for one in (stays, tied) for old in one.earlier}
    store.write(
        WriteBatch(bare, earlier, kept.commits, {record.name: record for record in kept.records})  # type: ignore[arg-type]
    )
    loaded = store.load(told)
    assert loaded is not None
    store.write(restored(loaded))
    left = plain(store.load(told))
    assert left == plain(
        StoredState(
            [stays],
            [],
            [
                structs.replace(HUB, epoch="", floor=50, running=None),
                *STAYING,
                TombstoneRecord(ns="default", key="tied", version=5, number=13),
            ],
        )
    )
    assert not [name for name in store.disk.earlier if name[1] == "tied"]
