"""A snapshot: the entries that matched at one revision, read in slices while the machine goes on.

How it stays exact without copying anything up front (copy on update): the snapshot walks the keys in order. Before a
key that lies ahead of the walk changes, the entry as it was is handed over (`before_change`); it goes out with the
next slice, and the walk skips that key when it gets there. A key behind the walk has been read already. So each
matching key is read once, as it was at the revision, and what came later follows as events. A touch is no such change:
few hear of touches, so the deadline that is shown, and that decides whether an entry is due, is the one it has by now.

The order of the walk: namespaces by name; in each, the patterns in turn; for each pattern its keys in order, but for
those that an earlier pattern has matched.

What is handed over is bounded by `limit` bytes: beyond it the snapshot is `overrun`, lets go of everything, and has to
be started again.
"""

from __future__ import annotations

from .interests import Interest
from .keyspace import Entry, Keyspace

_HANDED_BYTES = 200
"""What it costs to remember that a key was handed over."""


class Snapshot:
    """The state at revision `rev`, for one interest."""

    def __init__(self, keyspace: Keyspace, interest: Interest, rev: int, limit: int) -> None:
        self.rev = rev
        self.interest = interest
        self.overrun = False
        self._keyspace = keyspace
        self._limit = limit
        self._spaces = [ns for ns in keyspace.namespaces() if interest.covers(ns)]
        self._space = 0
        self._pattern = 0
        self._after = ""
        self._ahead: set[tuple[str, str]] = set()
        self._handed: list[Entry] = []
        self._bytes = 0

    @property
    def done(self) -> bool:
        """Whether everything has been read."""
        return self._space >= len(self._spaces) and not self._handed

    def before_change(self, ns: str, key: str, prev: Entry | None) -> None:
        """Hand over the entry that is about to change, None where there is none, unless it has been read."""
        if self.overrun:
            return
        if self._space >= len(self._spaces) or ns < self._spaces[self._space] or not self.interest.covers(ns):
            return
        pattern = self._first_match(key, len(self.interest.patterns))
        if pattern is None or (ns, key) in self._ahead:
            return
        if ns == self._spaces[self._space] and (pattern, key) <= (self._pattern, self._after):
            return
        self._ahead.add((ns, key))
        self._bytes += _HANDED_BYTES + len(key)
        if prev is not None:
            self._handed.append(prev)
            self._bytes += prev.size
        if self._bytes > self._limit:
            self.overrun = True
            self._ahead.clear()
            self._handed.clear()

    def read(self, now: float, *, max_keys: int, max_bytes: int) -> list[Entry]:
        """The next entries, none that are due. It ends after looking at `max_keys` or collecting `max_bytes`; a key
        counts once more for each earlier pattern that it is tried against."""
        found = []
        size = 0
        looked = 0
        while self._handed and looked < max_keys and size < max_bytes:
            looked += 1
            entry = self._handed.pop()
            self._bytes -= entry.size
            if not entry.due(now):
                found.append(entry)
                size += entry.size
        while self._space < len(self._spaces) and looked < max_keys and size < max_bytes:
            finished = True
            pattern = self.interest.patterns[self._pattern]
            for entry in self._keyspace.scan(self._spaces[self._space], pattern, self._after or None):
                if looked >= max_keys or size >= max_bytes:
                    finished = False
                    break
                looked += 1
                self._after = entry.key
                if not pattern.match(entry.key):
                    continue
                looked += self._pattern
                if self._wanted(entry, now):
                    found.append(entry)
                    size += entry.size
            if finished:
                self._next_pattern()
        return found

    def _wanted(self, entry: Entry, now: float) -> bool:
        """Whether an entry that matches has not been handed over or read with an earlier pattern, and is there."""
        if (entry.ns, entry.key) in self._ahead or entry.due(now):
            return False
        return self._first_match(entry.key, self._pattern) is None

    def _first_match(self, key: str, below: int) -> int | None:
        for number, pattern in enumerate(self.interest.patterns[:below]):
            if pattern.match(key):
                return number
        return None

    def _next_pattern(self) -> None:
        self._pattern += 1
        self._after = ""
        if self._pattern == len(self.interest.patterns):
            self._pattern = 0
            self._space += 1
