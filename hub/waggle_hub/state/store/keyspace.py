"""The keyspace: all entries, by namespace and key, in key order and in order of their deadlines.

Rules:
1. An entry is immutable; a write puts a new one in its place. So a snapshot, an event and a reply may hold it.
2. The index of deadlines holds exactly the entries that have a deadline.
3. The version of a key never restarts: see `tombstones`.
4. The keyspace knows nothing of time: the machine decides whether an entry is due.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import attrgetter

from waggle.wire import messages as m
from waggle.wire.patterns import Pattern
from waggle_hub.state.persistence.dirty import DirtySet

from .entry import Entry
from .expiry import Deadlines
from .key_map import KeyMap
from .tombstones import Tombstones, VersionFloors


class Keyspace:
    """All entries of the hub, with counts of keys and bytes."""

    def __init__(self, max_tombstones: int, dirty: DirtySet) -> None:
        self.version_floors = VersionFloors(dirty)
        self.tombstones = Tombstones(max_tombstones, self.version_floors, dirty)
        self._key_maps: dict[str, KeyMap[Entry]] = {}
        """The entries of each namespace that has any."""
        self._bytes: dict[str, int] = {}
        self.deadlines: Deadlines[Entry] = Deadlines(attrgetter("expires_at", "rev"))
        self.keys = 0
        self.bytes = 0

    def get(self, ns: str, key: str) -> Entry | None:
        """Return the entry, due or not; None if there is none."""
        key_map = self._key_maps.get(ns)
        return None if key_map is None else key_map.get(key)

    def next_version(self, ns: str, key: str, prev: Entry | None) -> int:
        """Return the version of the next write of this key, in place of `prev`."""
        return self.tombstones.next_version(ns, key) if prev is None else prev.version + 1

    def put(self, entry: Entry, prev: Entry | None) -> None:
        """Store an entry in place of `prev`, which must be what `get` returns."""
        key_map = self._key_maps.get(entry.ns)
        if key_map is None:
            key_map = self._key_maps[entry.ns] = KeyMap()
            self._bytes[entry.ns] = 0
        key_map.put(entry.key, entry)
        if prev is None:
            self.keys += 1
            self.tombstones.pop(entry.ns, entry.key)
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
        """Remove an entry that is stored; a tombstone keeps its version."""
        self._discard(entry)
        self.tombstones.add(entry.ns, entry.key, entry.version, entry.persisted)

    def _discard(self, entry: Entry) -> None:
        key_map = self._key_maps[entry.ns]
        key_map.remove(entry.key)
        if entry.expires_at is not None:
            self.deadlines.remove(entry)
        self.keys -= 1
        self._add_bytes(entry.ns, -entry.size)
        if not len(key_map):
            del self._key_maps[entry.ns], self._bytes[entry.ns]

    def undo(self, entry: Entry, prev: Entry | None) -> None:
        """Undo the write of `entry`: put `prev` back, or the tombstone that was there."""
        if prev is not None:
            self.put(prev, entry)
            return
        self._discard(entry)
        # A key that started just above the floor had no tombstone.
        if entry.version - 1 > self.version_floors.floor(entry.ns):
            self.tombstones.add(entry.ns, entry.key, entry.version - 1, entry.persisted)

    def load(self, entries: Iterable[Entry]) -> None:
        """Store all of these in an empty keyspace; they come in order of namespace and key."""
        assert not self._key_maps
        timed: list[Entry] = []
        for ns, group in groupby(entries, key=lambda entry: entry.ns):
            key_map = self._key_maps[ns] = KeyMap((entry.key, entry) for entry in group)
            self._bytes[ns] = sum(entry.size for entry in key_map.values())
            timed += [entry for entry in key_map.values() if entry.expires_at is not None]
            self.keys += len(key_map)
            self.bytes += self._bytes[ns]
        self.deadlines.load(timed)

    def cached_entries(self) -> list[Entry]:
        """Return the entries that may be evicted, in the order of their last write. Looks at every entry."""
        cached = [entry for key_map in self._key_maps.values() for entry in key_map.values() if entry.kind == "cached"]
        return sorted(cached, key=lambda entry: entry.rev)

    def ephemeral_entries(self) -> Iterator[Entry]:
        """Yield the entries that are tied to a session. Looks at every entry."""
        return (entry for key_map in self._key_maps.values() for entry in key_map.values() if entry.owner is not None)

    def usage(self, ns: str) -> tuple[int, int]:
        """Return the number of keys and of bytes in a namespace."""
        key_map = self._key_maps.get(ns)
        return 0 if key_map is None else len(key_map), self._bytes.get(ns, 0)

    def namespaces(self) -> list[str]:
        """Return the names of all namespaces that hold an entry, in order."""
        return sorted(self._key_maps)

    def counts(self) -> list[m.NamespaceCount]:
        """Return keys and bytes of each namespace, in order of their names."""
        return [m.NamespaceCount(ns, len(self._key_maps[ns]), self._bytes[ns]) for ns in self.namespaces()]

    def scan(self, ns: str, pattern: Pattern, after: str | None = None) -> Iterator[Entry]:
        """Yield entries above the key `after` in key order, from where `pattern` could match to where it cannot.

        The caller matches: a scan yields every key it looks at, so that looking can be counted and bounded.
        """
        key_map = self._key_maps.get(ns)
        if key_map is None:
            return
        if pattern.exact is not None:
            entry = key_map.get(pattern.exact)
            if entry is not None and (after is None or entry.key > after):
                yield entry
            return
        prefix = pattern.prefix
        start, inclusive = (after, False) if after is not None and after >= prefix else (prefix, True)
        for key, entry in key_map.items_from(start, inclusive=inclusive):
            if not key.startswith(prefix):
                return
            yield entry

    def _add_bytes(self, ns: str, size: int) -> None:
        self.bytes += size
        self._bytes[ns] += size

    def check(self) -> None:
        """Assert the rules of this module."""
        entries = [entry for key_map in self._key_maps.values() for entry in key_map.values()]
        assert all(len(key_map) for key_map in self._key_maps.values()), "a namespace without entries has no key map"
        tombstones = dict(self.tombstones.items())
        for ns, key_map in self._key_maps.items():
            key_map.check()
            assert all(entry.ns == ns and entry.key == key for key, entry in key_map.items_from("", inclusive=True))
            assert self._bytes[ns] == sum(entry.size for entry in key_map.values())
            assert not any((ns, entry.key) in tombstones for entry in key_map.values()), "a stored key has no tombstone"
        assert self.keys == len(entries)
        assert self.bytes == sum(entry.size for entry in entries)
        self.deadlines.check([entry for entry in entries if entry.expires_at is not None])
