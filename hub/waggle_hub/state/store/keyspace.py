"""The keyspace: all entries, by namespace and key, in key order and in order of their deadlines.

Rules:
1. An entry is immutable; a write puts a new one in its place. So a snapshot, an event and a reply may hold it.
2. The deadlines index holds exactly the entries that have a deadline.
3. A version never starts again. What a deleted key's version was is kept as a grave; when graves are too many the
   oldest is forgotten, and a key without a grave starts above every version ever forgotten in its namespace (`past`).
4. The keyspace knows nothing of time passing: whether an entry is due is for the machine to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import attrgetter

from msgspec import UNSET, Raw, Struct

from waggle.wire import messages as m
from waggle.wire.names import Pattern
from waggle_hub.state.persistence.dirty import DirtySet
from waggle_hub.state.persistence.records import TombstoneRecord

from .expiry import Deadlines
from .key_map import KeyMap
from .tombstones import VersionFloors

ENTRY_OVERHEAD_BYTES = 250
"""What the fields of an entry take in a reply, beside its key, value and meta."""
PERSISTED_KINDS = ("persistent", "versioned")
"""The kinds of entries that the journal keeps."""


class Entry(Struct, frozen=True, eq=False, gc=False):
    """A key with its value (JSON text) and what is known of it. Instants are Unix seconds."""

    key: str
    ns: str
    value: bytes
    rev: int
    version: int
    kind: str
    created_at: float
    updated_at: float
    expires_at: float | None
    by: str
    meta: bytes | None
    created_rev: int = 0
    """The revision at which the key came to be: the age of work."""
    earlier: tuple[Entry, ...] = ()
    """Of a versioned entry its earlier versions, newest first; they have none of their own."""
    owner: str | None = None
    """The session that an ephemeral entry is tied to."""

    @property
    def persisted(self) -> bool:
        """Whether the journal keeps it."""
        return self.kind in PERSISTED_KINDS

    @property
    def size(self) -> int:
        """Bytes that count against the limit of the store."""
        size = len(self.key) + len(self.value) + (len(self.meta) if self.meta else 0)
        return size + sum(entry.size for entry in self.earlier) if self.earlier else size

    def is_due(self, now: float) -> bool:
        """Whether its deadline has come: then it is absent to everybody (G6)."""
        return self.expires_at is not None and self.expires_at <= now

    def to_wire(self, values: bool = True) -> m.Entry:
        """The entry as the wire shows it."""
        return m.Entry(
            key=self.key,
            ns=self.ns,
            rev=self.rev,
            version=self.version,
            kind=self.kind,
            created_at=self.created_at,
            updated_at=self.updated_at,
            expires_at=self.expires_at,
            by=self.by,
            meta=None if self.meta is None else Raw(self.meta),
            value=Raw(self.value) if values else UNSET,
        )


class Tombstone(Struct, frozen=True, gc=False):
    """What is remembered of a key that was deleted."""

    version: int
    persisted: bool
    """Whether the journal knows it."""


class Keyspace:
    """All entries of the hub."""

    def __init__(self, graves: int, changed: DirtySet) -> None:
        self.version_floors = VersionFloors(changed)
        self._dirty = changed
        self._key_maps: dict[str, KeyMap[Entry]] = {}
        self._bytes: dict[str, int] = {}
        self._tombstones: dict[tuple[str, str], Tombstone] = {}
        self._max_tombstones = graves
        self._last_tombstone_number = 0
        """The number of the newest grave that the journal knows."""
        self.deadlines: Deadlines[Entry] = Deadlines(attrgetter("expires_at", "rev"))
        self.keys = 0
        self.bytes = 0

    def get(self, ns: str, key: str) -> Entry | None:
        space = self._key_maps.get(ns)
        return None if space is None else space.get(key)

    def next_version(self, ns: str, key: str, prev: Entry | None) -> int:
        """The version that the next write of this key gets."""
        if prev is not None:
            return prev.version + 1
        grave = self._tombstones.get((ns, key))
        return 1 + (self.version_floors.floor(ns) if grave is None else grave.version)

    def has_tombstone(self, ns: str, key: str) -> bool:
        """Whether an entry that the journal kept was here last."""
        grave = self._tombstones.get((ns, key))
        return grave is not None and grave.persisted

    def put(self, entry: Entry, prev: Entry | None) -> None:
        """Store an entry in place of `prev`, which is what `get` gives."""
        space = self._key_maps.get(entry.ns)
        if space is None:
            space = self._key_maps[entry.ns] = KeyMap()
            self._bytes[entry.ns] = 0
        space.put(entry.key, entry)
        if prev is None:
            self.keys += 1
            self._pop_tombstone(entry.ns, entry.key)
            self._add_bytes(entry.ns, entry.size)
        else:
            self._add_bytes(entry.ns, entry.size - prev.size)
            if prev.expires_at is not None:
                self.deadlines.remove(prev)
        if entry.expires_at is not None:
            self.deadlines.add(entry)
        if not entry.persisted:
            self.version_floors.mark_volatile(entry.ns, entry.version)

    def remove(self, entry: Entry) -> None:
        """Take out an entry that is stored, and keep its version in a grave."""
        self._take_out(entry)
        self._add_tombstone(entry.ns, entry.key, entry.version, entry.persisted)

    def _take_out(self, entry: Entry) -> None:
        space = self._key_maps[entry.ns]
        space.remove(entry.key)
        if entry.expires_at is not None:
            self.deadlines.remove(entry)
        self.keys -= 1
        self._add_bytes(entry.ns, -entry.size)
        if not len(space):
            del self._key_maps[entry.ns], self._bytes[entry.ns]

    def undo(self, entry: Entry, prev: Entry | None) -> None:
        """Put `prev` back in the place of `entry`, as if that had never been written."""
        if prev is not None:
            self.put(prev, entry)
            return
        self._take_out(entry)
        if entry.version - 1 > self.version_floors.floor(entry.ns):
            self._add_tombstone(entry.ns, entry.key, entry.version - 1, entry.persisted)

    def load(self, entries: Iterable[Entry]) -> None:
        """Store all of these in an empty keyspace; they come in order of namespace and key."""
        assert not self._key_maps
        timed: list[Entry] = []
        for ns, group in groupby(entries, key=lambda entry: entry.ns):
            space = self._key_maps[ns] = KeyMap((entry.key, entry) for entry in group)
            self._bytes[ns] = sum(entry.size for entry in space.values())
            timed += [entry for entry in space.values() if entry.expires_at is not None]
            self.keys += len(space)
            self.bytes += self._bytes[ns]
        self.deadlines.load(timed)

    def restore_tombstones(self, records: list[TombstoneRecord]) -> None:
        """The graves that the journal knows are these, in the order of their numbers."""
        self._tombstones = {
            place: Tombstone(grave.version, persisted=False) for place, grave in self._tombstones.items()
        }
        for record in records:
            self._tombstones.pop((record.ns, record.key), None)
            self._tombstones[record.ns, record.key] = Tombstone(record.version, persisted=True)
            self._last_tombstone_number = max(self._last_tombstone_number, record.number)
        self._drop_oldest_tombstones()

    def mark_unknown(self, rev: int) -> None:
        """Up to this revision anything may have happened to entries that are not kept: keys that are absent start far
        above all that were known."""
        for ns, key in list(self._tombstones):
            self.version_floors.raise_floor(ns, self._pop_tombstone(ns, key))
        self.version_floors.mark_unknown(rev)

    def cached_entries(self) -> list[Entry]:
        """The entries that may be evicted, in the order in which they were written, by looking at all."""
        found = [entry for space in self._key_maps.values() for entry in space.values() if entry.kind == "cached"]
        return sorted(found, key=lambda entry: entry.rev)

    def ephemeral_entries(self) -> Iterator[Entry]:
        """The entries that are tied to a session, by looking at all."""
        return (entry for space in self._key_maps.values() for entry in space.values() if entry.owner is not None)

    def usage(self, ns: str) -> tuple[int, int]:
        """How many keys and bytes a namespace holds."""
        space = self._key_maps.get(ns)
        return 0 if space is None else len(space), self._bytes.get(ns, 0)

    def namespaces(self) -> list[str]:
        """Names of all namespaces that hold an entry, in order."""
        return sorted(self._key_maps)

    def counts(self) -> list[m.NamespaceCount]:
        """Keys and bytes of each namespace, in order."""
        return [m.NamespaceCount(ns, len(self._key_maps[ns]), self._bytes[ns]) for ns in self.namespaces()]

    def scan(self, ns: str, pattern: Pattern, after: str | None = None) -> Iterator[Entry]:
        """Entries above the key `after` in key order, from where `pattern` could match to where it no longer can.

        The caller matches: a scan yields every key it looks at, so that looking can be counted and bounded.
        """
        space = self._key_maps.get(ns)
        if space is None:
            return
        if pattern.exact is not None:
            entry = space.get(pattern.exact)
            if entry is not None and (after is None or entry.key > after):
                yield entry
            return
        prefix = pattern.prefix
        start, inclusive = (after, False) if after is not None and after >= prefix else (prefix, True)
        for key, entry in space.items_from(start, inclusive=inclusive):
            if not key.startswith(prefix):
                return
            yield entry

    def _add_bytes(self, ns: str, size: int) -> None:
        self.bytes += size
        self._bytes[ns] += size

    def _add_tombstone(self, ns: str, key: str, version: int, kept: bool) -> None:
        self._tombstones[ns, key] = Tombstone(version, kept)
        if kept:
            self._last_tombstone_number += 1
            self._dirty.put(TombstoneRecord(ns=ns, key=key, version=version, number=self._last_tombstone_number))
        self._drop_oldest_tombstones()

    def _drop_oldest_tombstones(self) -> None:
        while len(self._tombstones) > self._max_tombstones:
            oldest = next(iter(self._tombstones))
            self.version_floors.raise_floor(oldest[0], self._pop_tombstone(*oldest))

    def _pop_tombstone(self, ns: str, key: str) -> int:
        """Remember this key no longer; what its version was."""
        grave = self._tombstones.pop((ns, key), None)
        if grave is None:
            return 0
        if grave.persisted:
            self._dirty.remove((TombstoneRecord.kind, ns, key))
        return grave.version

    def check(self) -> None:
        """Assert the rules of this module."""
        entries = [entry for space in self._key_maps.values() for entry in space.values()]
        assert all(len(space) for space in self._key_maps.values()), "an empty namespace is not kept"
        for ns, space in self._key_maps.items():
            space.check()
            assert all(entry.ns == ns and entry.key == key for key, entry in space.items_from("", inclusive=True))
            assert self._bytes[ns] == sum(entry.size for entry in space.values())
            assert not any((ns, entry.key) in self._tombstones for entry in space.values())
        assert self.keys == len(entries)
        assert self.bytes == sum(entry.size for entry in entries)
        self.deadlines.check([entry for entry in entries if entry.expires_at is not None])
