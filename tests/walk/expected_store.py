"""All that must survive, collected afresh from a state: what the journal would hold if nothing had to be marked dirty.

State that was changed and not marked dirty shows as a difference at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import structs

from tests.journals import MemoryDisk
from waggle.wire.patterns import compile_pattern
from waggle_hub.journal.serialization import KeptCommit, decoder, kept_commit
from waggle_hub.state.persistence.dirty import Recorded
from waggle_hub.state.persistence.records import (
    ClaimRecord,
    DeliveryRecord,
    EntryId,
    Key,
    NamespaceRecord,
    Record,
    TombstoneRecord,
)
from waggle_hub.state.state import State
from waggle_hub.state.store.entry import Entry
from waggle_hub.state.waits.condition import Wait
from waggle_hub.state.work.queue import Taker

_decode_commit = decoder(KeptCommit).decode


@dataclass
class ExpectedStore:
    """All that is kept of a state."""

    entries: dict[EntryId, Entry]
    earlier: dict[tuple[str, str, int], Entry]
    commits: dict[int, Any]
    """As they stand in JSON, by revision."""
    floor: int
    records: dict[Key, Record]
    """But for graves."""
    graves: list[tuple[str, str, int]]
    """In the order in which they are forgotten."""
    rest: dict[str, Any]
    """Other restored state: orders, and links between objects."""
    shown: dict[EntryId, Entry]
    """All entries, also those that are not kept."""

    def check_disk(self, disk: MemoryDisk, born: int) -> None:
        """Assert that this is what is on a disk; `born` is the revision at which this life began."""
        for kept, wanted in ((disk.entries, self.entries), (disk.earlier, self.earlier)):
            assert _bare_all(kept) == _bare_all(wanted), f"{_bare_all(kept)} is kept, and {_bare_all(wanted)} is there"
        commits = (_told(_decode_commit(text)) for text in disk.commits)
        told = {commit.rev: plain(commit) for commit in commits if commit.rev > self.floor and commit.events}
        assert told == self.commits, f"{told} is kept, and {self.commits} has happened"
        records = {record.name: record for record in disk.all_records()}
        graves = sorted(
            (one for one in records.values() if isinstance(one, TombstoneRecord)), key=lambda one: one.number
        )
        assert [(grave.ns, grave.key, grave.version) for grave in graves] == self.graves
        said_nothing = NamespaceRecord(ns="*")
        others = {
            name: record
            for name, record in records.items()
            if not isinstance(record, TombstoneRecord) and record != said_nothing
        }
        _check_records(others, self.records, born)


def expected_store(state: State) -> ExpectedStore:
    """All of it, by looking at all."""
    shown = {
        (ns, entry.key): entry
        for ns in state.keyspace.namespaces()
        for entry in state.keyspace.scan(ns, compile_pattern("*"))
    }
    kept = {place: entry for place, entry in shown.items() if entry.persisted}
    earlier = {(ns, key, one.version): one for (ns, key), entry in kept.items() for one in entry.earlier}
    commits = [kept_commit(commit) for commit in state.log.commits_after(state.log.floor)]
    told = [_told(commit) for commit in commits if commit is not None]
    return ExpectedStore(
        entries=kept,
        earlier=earlier,
        commits={commit.rev: plain(commit) for commit in told if commit.events},
        floor=state.log.floor,
        records={record.name: record for record in _records(state)},
        graves=[(ns, key, grave.version) for (ns, key), grave in state.keyspace.tombstones.items() if grave.persisted],
        rest=_rest(state),
        shown=shown,
    )


def plain(record: Record | KeptCommit) -> Any:
    """A record as it stands in JSON."""
    return msgspec.json.decode(msgspec.json.encode(record))


def _records(state: State) -> list[Record]:
    records: list[Record] = [state.hub_record]
    for session in state.sessions:
        nouns: list[Recorded] = [
            session,
            *session.subscriptions.values(),
            *session.outcomes.values(),
            *session.queued_notices,
        ]
        waiting = [one for one in session.pending.values() if isinstance(one, Wait | Taker)]
        records += [noun.record() for noun in (*nouns, *session.lock_requests, *waiting)]
    for (ns, key), count in state.work_queues.deliveries.items():
        records.append(DeliveryRecord(ns=ns, key=key, count=count))
    pasts = (past.record() for past in state.keyspace.version_floors)
    return records + [past for past in pasts if past != NamespaceRecord(ns="*")]


def _rest(state: State) -> dict[str, Any]:
    sessions = {
        session.id: {
            "joins": {rid: one.id for rid, one in session.by_rid.items()},
            "waiting": {id: one.serial for id, one in session.pending.items()},
            "claims": {claim.serial for claim in session.lock_requests},
            "outcomes": list(session.outcomes),
            "unsaid": [unsaid.serial for unsaid in session.queued_notices],
            "ephemeral": {place for place in session.ephemeral if _kept(state, place)},
            "subscriptions": set(session.subscriptions),
        }
        for session in state.sessions
    }
    return {
        "sessions": sessions,
        "agents": {agent: [one.id for one in state.sessions.of_agent(agent)] for agent in state.sessions.agent_names()},
        "held": list(state.lock_table.held),
        "taken": {place: claim.serial for place, claim in state.lock_table.taken.items()},
        "waits": [wait.serial for wait in state.condition_index.waits],
        "interests": {interest.sub: set(interest.sessions) for interest in state.interests},
    }


def _kept(state: State, place: EntryId) -> bool:
    entry = state.keyspace.get(*place)
    return entry is not None and entry.persisted


def _told(commit: KeptCommit) -> KeptCommit:
    """Return the commit without events that are not sent again."""
    return KeptCommit(commit.rev, [event for event in commit.events if not event.fleeting])


def _bare_all(entries: Any) -> dict[Any, dict[str, Any]]:
    return {place: structs.asdict(structs.replace(entry, earlier=())) for place, entry in entries.items()}


def _check_records(kept: dict[Key, Record], wanted: dict[Key, Record], born: int) -> None:
    assert kept.keys() == wanted.keys(), f"{kept.keys() ^ wanted.keys()} on one side only"
    for name, record in kept.items():
        other = wanted[name]
        if isinstance(record, ClaimRecord) and isinstance(other, ClaimRecord) and 0 < (record.token or 0) <= born:
            # A start makes the deadlines of locks later, and is not kept: the next one does so again.
            assert (record.deadline or 0.0) <= (other.deadline or 0.0)
            record = structs.replace(record, deadline=other.deadline)
        assert plain(record) == plain(other), f"{plain(record)} is kept, and {plain(other)} is so"
