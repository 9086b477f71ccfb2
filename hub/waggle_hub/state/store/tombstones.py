"""Tombstones and version floors: what the hub remembers of entries that are gone, and of entries it never stored.

The promise behind both: the version of a key never restarts, so a version that a client remembers is never given to
another value.

Rules:
1. A deleted key leaves a *tombstone* with its last version. A key that is written again goes on from its tombstone.
2. There are at most `limit` tombstones. When the oldest is dropped, its version raises the *floor* of its namespace; a
   key without a tombstone starts above the floor.
3. Versions of entries that the journal does not store would be lost at a restart. So the journal stores a *ceiling*
   above them, ahead of need: one record for `_CEILING_STEP` writes. At a restart the ceiling becomes the floor.
4. A namespace is *volatile* once something happened in it that the journal does not store. At the next start that makes
   a *gap*: a cursor that is below the gap's revision may have missed something (G2).
5. While the journal fails, none of this can be stored. If the hub ends in that state, the next one does not know what
   clients saw (`mark_unknown`): there is a gap everywhere, and versions start far above all that were known.

Namespaces beyond `max_namespaces` share one floor, one ceiling and one gap.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator

from msgspec import Struct

from waggle_hub.state.persistence.dirty import DirtySet
from waggle_hub.state.persistence.records import Key, NamespaceRecord, Record, TombstoneRecord

_CEILING_STEP = 1_000
"""Versions by which a ceiling is raised above the version that needs it."""
_UNKNOWN_STEP = 1_000_000
"""Versions by which floors are raised when the versions that were given are unknown."""
_SHARED = "*"
"""The name under which namespaces beyond the limit are stored. No namespace can have it."""


class Tombstone(Struct, frozen=True, gc=False):
    """The last version of a deleted key."""

    version: int
    persisted: bool
    """Whether the journal stores this tombstone."""


class Tombstones:
    """The tombstones of all namespaces, oldest first, at most `limit` of them."""

    def __init__(self, limit: int, floors: VersionFloors, dirty: DirtySet) -> None:
        self._limit = limit
        self._floors = floors
        self._dirty = dirty
        self._by_key: dict[tuple[str, str], Tombstone] = {}
        self._last_number = 0
        """The number of the newest tombstone that the journal stores."""

    def __len__(self) -> int:
        return len(self._by_key)

    def items(self) -> ItemsView[tuple[str, str], Tombstone]:
        """Return all tombstones by namespace and key, oldest first."""
        return self._by_key.items()

    def next_version(self, ns: str, key: str) -> int:
        """Return the version that the next write of an absent key gets."""
        tombstone = self._by_key.get((ns, key))
        return 1 + (self._floors.floor(ns) if tombstone is None else tombstone.version)

    def has_persisted(self, ns: str, key: str) -> bool:
        """Return whether the last entry under this key was one that the journal stored."""
        tombstone = self._by_key.get((ns, key))
        return tombstone is not None and tombstone.persisted

    def add(self, ns: str, key: str, version: int, persisted: bool) -> None:
        """Remember the version of a key that was deleted."""
        self._by_key[ns, key] = Tombstone(version, persisted)
        if persisted:
            self._last_number += 1
            self._dirty.put(TombstoneRecord(ns=ns, key=key, version=version, number=self._last_number))
        self._drop_oldest()

    def pop(self, ns: str, key: str) -> int:
        """Remove the tombstone of a key; return its version, 0 if there is none."""
        tombstone = self._by_key.pop((ns, key), None)
        if tombstone is None:
            return 0
        if tombstone.persisted:
            self._dirty.remove((TombstoneRecord.kind, ns, key))
        return tombstone.version

    def restore(self, records: list[TombstoneRecord]) -> None:
        """Let the persisted tombstones be these, given in the order of their numbers."""
        # After a journal failure a tombstone in memory may be one that was never stored: it stays, as not persisted.
        self._by_key = {place: Tombstone(old.version, persisted=False) for place, old in self._by_key.items()}
        for record in records:
            self._by_key.pop((record.ns, record.key), None)
            self._by_key[record.ns, record.key] = Tombstone(record.version, persisted=True)
            self._last_number = max(self._last_number, record.number)
        self._drop_oldest()

    def mark_unknown(self, rev: int) -> None:
        """Raise the floor of every absent key: changes up to `rev` may have been seen by clients and not stored."""
        for ns, key in list(self._by_key):
            self._floors.raise_floor(ns, self.pop(ns, key))
        self._floors.mark_unknown(rev)

    def _drop_oldest(self) -> None:
        while len(self._by_key) > self._limit:
            ns, key = next(iter(self._by_key))
            self._floors.raise_floor(ns, self.pop(ns, key))


class NamespaceVersions:
    """Floor, ceiling and gap of one namespace."""

    __slots__ = ("ceiling", "floor", "gap", "ns", "volatile")

    def __init__(self, ns: str) -> None:
        self.ns = ns
        self.floor = 0
        """A key without a tombstone starts above this version."""
        self.ceiling = 0
        """No version of an entry that the journal does not store is above this one."""
        self.volatile = False
        """Whether something has happened here, since the start, that the journal does not store."""
        self.gap = 0
        """The last revision up to which events may be missing."""

    @property
    def record_name(self) -> Key:
        return (NamespaceRecord.kind, self.ns)

    def record(self) -> Record:
        """Return the stored form of these versions."""
        return NamespaceRecord(ns=self.ns, floor=self.floor, ceiling=self.ceiling, volatile=self.volatile, gap=self.gap)


class VersionFloors:
    """Floor, ceiling and gap of each namespace."""

    def __init__(self, dirty: DirtySet, max_namespaces: int = 10_000) -> None:
        self._dirty = dirty
        self._max_namespaces = max_namespaces
        self._shared = NamespaceVersions(_SHARED)
        self._by_ns: dict[str, NamespaceVersions] = {_SHARED: self._shared}

    def __iter__(self) -> Iterator[NamespaceVersions]:
        return iter(self._by_ns.values())

    def _of(self, ns: str) -> NamespaceVersions:
        """Return the record of a namespace for a change: its own, the shared one, or a new one."""
        versions = self._by_ns.get(ns)
        if versions is None:
            if len(self._by_ns) >= self._max_namespaces:
                return self._shared
            versions = self._by_ns[ns] = NamespaceVersions(ns)
            # Until now the shared record spoke for this namespace as well.
            versions.floor = self._shared.floor
            versions.gap = self._shared.gap
        return versions

    def floor(self, ns: str) -> int:
        """Return the version above which a key without a tombstone starts."""
        return self._by_ns.get(ns, self._shared).floor

    def raise_floor(self, ns: str, version: int) -> None:
        """Let keys without a tombstone start above this version."""
        if version > self.floor(ns):
            versions = self._of(ns)
            versions.floor = version
            self._dirty.mark(versions)

    def mark_volatile(self, ns: str, version: int = 0) -> None:
        """Note that something happened that the journal does not store; `version` is that of the entry, if any."""
        versions = self._by_ns.get(ns)
        if versions is not None and versions.volatile and version <= versions.ceiling:
            return
        versions = self._of(ns)
        versions.volatile = True
        if version > versions.ceiling:
            versions.ceiling = version + _CEILING_STEP
        self._dirty.mark(versions)

    def gap(self, namespaces: Iterable[str] | None) -> int:
        """Return the last revision up to which events may be missing here; None: in all but the hub's namespaces."""
        if namespaces is None:
            return max(versions.gap for versions in self if not versions.ns.startswith("$"))
        return max(self._by_ns.get(ns, self._shared).gap for ns in namespaces)

    def restore(self, record: NamespaceRecord, rev: int) -> None:
        """Restore a namespace at a start at revision `rev`: what was not stored of it is lost."""
        versions = self._of(record.ns)
        versions.floor = max(versions.floor, record.floor, record.ceiling)
        versions.ceiling = max(versions.ceiling, record.ceiling)
        versions.gap = max(versions.gap, rev if record.volatile else record.gap)
        self._dirty.mark(versions)

    def mark_unknown(self, rev: int) -> None:
        """Put a gap up to `rev` and a much higher floor into every namespace (rule 5)."""
        for versions in self:
            versions.gap = rev
            versions.floor = max(versions.floor, versions.ceiling) + _UNKNOWN_STEP
            self._dirty.mark(versions)

    def roll_back(self, records: Iterable[NamespaceRecord]) -> None:
        """Let the ceilings be as these records have them: nothing above them was shown to a client.

        Floors stay: one that is too high costs only some numbers.
        """
        stored = {record.ns: record for record in records}
        for versions in self:
            record = stored.get(versions.ns)
            versions.volatile = record is not None and record.volatile
            versions.ceiling = 0 if record is None else record.ceiling
            self._dirty.mark(versions)
