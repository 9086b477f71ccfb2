"""LRU: the cached entries, least recently used first, from which the engine chooses what to evict from a full hub.

Rules:
1. To use an entry is to get it or to write it.
2. The order is kept outside of the machine, so a read changes no state. It chooses the entries; the machine removes
   them by a command of its own (`Machine.evict`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from .state.commands.entries import StoreFull
from .state.log import Commit
from .state.persistence.records import EntryId
from .state.store.entry import Entry


class Lru:
    """The id and size in bytes of each cached entry, in order of last use."""

    def __init__(self, cached: Iterable[Entry] = ()) -> None:
        self._sizes: OrderedDict[EntryId, int] = OrderedDict()
        self._bytes = 0
        self.reset(cached)

    def __len__(self) -> int:
        return len(self._sizes)

    def reset(self, cached: Iterable[Entry]) -> None:
        """Start again from these entries, in this order."""
        self._sizes = OrderedDict(((entry.ns, entry.key), entry.size) for entry in cached)
        self._bytes = sum(self._sizes.values())

    def on_used(self, ns: str, key: str) -> None:
        """Note that an entry was read."""
        if (ns, key) in self._sizes:
            self._sizes.move_to_end((ns, key))

    def on_committed(self, commit: Commit) -> None:
        """Note that entries were written or removed."""
        for event in commit.events:
            cached = event.type in ("set", "touch") and event.entry is not None and event.entry.kind == "cached"
            if cached or self._sizes:
                self._forget((event.ns, event.key))
            if cached and event.entry is not None:
                self._sizes[event.ns, event.key] = event.entry.size
                self._bytes += event.entry.size

    def eviction_candidates(self, full: StoreFull, at_least: int, at_most: int) -> list[EntryId]:
        """Return the entries to evict so that the refused write has room; none if evicting all would not be enough.

        There are `at_least` to `at_most` of them, and the entry that was to be written is not among them.
        """
        spared = self._sizes.get((full.ns, full.key))
        if len(self._sizes) - (spared is not None) < full.keys or self._bytes - (spared or 0) < full.bytes:
            return []
        candidates: list[EntryId] = []
        freed_bytes = 0
        for entry_id, size in self._sizes.items():
            enough = len(candidates) >= max(full.keys, at_least) and freed_bytes >= full.bytes
            if enough or len(candidates) >= at_most:
                break
            if entry_id != (full.ns, full.key):
                candidates.append(entry_id)
                freed_bytes += size
        return candidates

    def _forget(self, entry_id: EntryId) -> None:
        self._bytes -= self._sizes.pop(entry_id, 0)

    def check(self) -> None:
        """Assert the rules of this module."""
        assert self._bytes == sum(self._sizes.values())
