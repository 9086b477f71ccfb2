"""Serialization of entries, commits and records to JSON, the same in both stores.

A commit does not repeat its entries: its events hold the entry *before* each of them, and the entry after an event
is the one before the next event of that key, or the one that is stored now. So a value is written once when it is
set, and once more when another takes its place. `commits_of` walks the events backwards and puts this together.

What is not kept (transient and cached entries, messages) leaves no trace in a commit, except for the end of a kept
entry whose place such an entry took.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, structs

from waggle_hub.state.log import Commit, Event, LockInfo
from waggle_hub.state.persistence.records import EntryId
from waggle_hub.state.store.entry import Entry

_encode = msgspec.json.Encoder().encode
T = TypeVar("T")


class KeptEntry(Struct, frozen=True, omit_defaults=True, gc=False):
    """An entry whose value and meta stand in JSON as what they are."""

    ns: str
    key: str
    value: Raw
    rev: int
    version: int
    kind: str
    created_at: float
    updated_at: float
    expires_at: float | None
    by: str
    meta: Raw | UnsetType = UNSET
    created_rev: int = 0
    owner: str | None = None


class KeptEvent(Struct, frozen=True, omit_defaults=True):
    """An event without the entry after it. Of a touch, only `was` is kept, the deadline before it."""

    type: str
    ns: str
    key: str
    at: float
    by: str
    origin: str | None = None
    prev: KeptEntry | None = None
    was: float | None = None
    fleeting: bool = False
    """Whether the entry after it is not kept: then the event itself is not told again."""
    reason: str | None = None
    late: float | None = None
    grip: LockInfo | None = None


class KeptCommit(Struct, frozen=True):
    """The kept events of one revision."""

    rev: int
    events: list[KeptEvent]


def encode(thing: object) -> bytes:
    """Return a struct as JSON text."""
    return _encode(thing)


def decoder(type: type[T]) -> msgspec.json.Decoder[T]:
    """Make a decoder for text of `encode`."""
    return msgspec.json.Decoder(type)


def kept_entry(entry: Entry) -> KeptEntry:
    """Return an entry without its earlier versions, as it is kept."""
    return KeptEntry(
        ns=entry.ns,
        key=entry.key,
        value=Raw(entry.value),
        rev=entry.rev,
        version=entry.version,
        kind=entry.kind,
        created_at=entry.created_at,
        updated_at=entry.updated_at,
        expires_at=entry.expires_at,
        by=entry.by,
        meta=UNSET if entry.meta is None else Raw(entry.meta),
        created_rev=entry.created_rev,
        owner=entry.owner,
    )


def entry_of(kept: KeptEntry, earlier: tuple[Entry, ...] = ()) -> Entry:
    """Return the entry of its kept form."""
    return Entry(
        ns=kept.ns,
        key=kept.key,
        value=bytes(kept.value),
        rev=kept.rev,
        version=kept.version,
        kind=kept.kind,
        created_at=kept.created_at,
        updated_at=kept.updated_at,
        expires_at=kept.expires_at,
        by=kept.by,
        meta=None if isinstance(kept.meta, UnsetType) else bytes(kept.meta),
        created_rev=kept.created_rev,
        earlier=earlier,
        owner=kept.owner,
    )


def kept_commit(commit: Commit) -> KeptCommit | None:
    """Return the kept form of a commit, None if nothing of it is kept."""
    events = [_kept_event(event) for event in commit.events if event.persisted]
    return KeptCommit(commit.rev, events) if events else None


def _kept_event(event: Event) -> KeptEvent:
    prev, was = event.prev, None
    if event.type == "touch" and prev is not None:
        was = prev.expires_at
        prev = None
    return KeptEvent(
        type=event.type,
        ns=event.ns,
        key=event.key,
        at=event.at,
        by=event.by,
        origin=event.origin,
        prev=kept_entry(prev) if prev is not None and prev.persisted else None,
        was=was,
        fleeting=event.entry is not None and not event.entry.persisted,
        reason=event.reason,
        late=event.late,
        grip=event.lock,
    )


def commits_of(kept: Iterable[KeptCommit], entries: dict[EntryId, Entry]) -> list[Commit]:
    """Return the commits of their kept forms, oldest first; `entries` are those stored now of all their keys, and
    is used up."""
    commits = []
    for commit in reversed(list(kept)):
        events = []
        for event in reversed(commit.events):
            entry = entries.get((event.ns, event.key)) if event.type in ("set", "touch") else None
            prev = None if event.prev is None else entry_of(event.prev)
            if event.type == "touch" and entry is not None:
                prev = structs.replace(entry, expires_at=event.was)
            if not event.fleeting:
                events.append(_event(event, commit.rev, entry, prev))
            if event.type in ("set", "touch", "delete", "expire", "evict"):
                if prev is None:
                    entries.pop((event.ns, event.key), None)
                else:
                    entries[event.ns, event.key] = prev
        if events:
            events.reverse()
            commits.append(Commit(commit.rev, tuple(events), sum(event.size for event in events)))
    commits.reverse()
    return commits


def commits_with(kept: list[KeptCommit], entries: Iterable[Entry]) -> list[Commit]:
    """Return the commits of their kept forms, oldest first; `entries` are all that are stored now."""
    named = {(event.ns, event.key) for commit in kept for event in commit.events}
    if not named:
        return []
    return commits_of(kept, {place: entry for entry in entries if (place := (entry.ns, entry.key)) in named})


def _event(kept: KeptEvent, rev: int, entry: Entry | None, prev: Entry | None) -> Event:
    return Event(
        type=kept.type,
        rev=rev,
        ns=kept.ns,
        key=kept.key,
        at=kept.at,
        by=kept.by,
        origin=kept.origin,
        entry=entry,
        prev=prev,
        reason=kept.reason,
        late=kept.late,
        lock=kept.grip,
    )
