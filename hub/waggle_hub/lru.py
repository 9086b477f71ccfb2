"""Recency: the cached entries, least recently used first, so that the engine knows what to evict when the hub is full.

It is kept outside of the machine, fed with what the engine decides: so a read stays a read, and changes no state. What
goes is decided here, and goes by a command of its own (`Machine.evict`). To use an entry is to get it or to write it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from .state.commands.entries import StoreFull
from .state.log import Commit
from .state.store.keyspace import Entry

Place = tuple[str, str]


class Lru:
    """The place and size of each cached entry, in order of last use."""

    def __init__(self, cached: Iterable[Entry] = ()) -> None:
        self._sizes: OrderedDict[Place, int] = OrderedDict(((entry.ns, entry.key), entry.size) for entry in cached)
        self._bytes = sum(self._sizes.values())

    def __len__(self) -> int:
        return len(self._sizes)

    def on_used(self, ns: str, key: str) -> None:
        """An entry was read."""
        if (ns, key) in self._sizes:
            self._sizes.move_to_end((ns, key))

    def on_committed(self, commit: Commit) -> None:
        """Entries were written, or have gone."""
        for event in commit.events:
            cached = event.type in ("set", "touch") and event.entry is not None and event.entry.kind == "cached"
            if cached or self._sizes:
                self._forget((event.ns, event.key))
            if cached and event.entry is not None:
                self._sizes[event.ns, event.key] = event.entry.size
                self._bytes += event.entry.size

    def eviction_candidates(self, full: StoreFull, least: int, most: int) -> list[Place]:
        """Which entries to evict so that what was refused has room: `least` to `most`; none if all were not enough.

        The entry that was to be written is none of them.
        """
        spared = self._sizes.get((full.ns, full.key))
        if len(self._sizes) - (spared is not None) < full.keys or self._bytes - (spared or 0) < full.bytes:
            return []
        found: list[Place] = []
        freed = 0
        for place, size in self._sizes.items():
            if len(found) >= most or (len(found) >= max(full.keys, least) and freed >= full.bytes):
                break
            if place != (full.ns, full.key):
                found.append(place)
                freed += size
        return found

    def _forget(self, place: Place) -> None:
        self._bytes -= self._sizes.pop(place, 0)

    def check(self) -> None:
        """Assert the rules of this module."""
        assert self._bytes == sum(self._sizes.values())
