"""A snapshot: the entries that matched at one revision, read in slices while the machine goes on.

How it stays exact without copying anything up front (copy on update): the snapshot walks the keys in order. Before a
key that lies ahead of the walk changes, the entry as it was is handed over; it goes out with the next slice, and the
walk skips that key when it gets there. A key behind the walk has been read already. So each matching key is read once,
as it was at the revision, and what came later follows as events. A touch is no such change: few hear of touches, so the
deadline that is shown, and that decides whether an entry is due, is the one it has by now.

The order of the walk: namespaces by name; in each, the patterns in turn; for each pattern its keys in order, but for
those that an earlier pattern has matched. Of an interest that does not ask for ``set`` there is nothing to read.

Locks are few beside entries: those that are held are copied when the snapshot is opened.

What is handed over is bounded by `limit` bytes: beyond it the snapshot is `overrun`, lets go of everything, and has to
be started again.

A snapshot is open, and changes are handed over to it, until everything has been read, it is overrun, or whoever reads
it closes it. `Snapshots` are those that are open, by what they are of: a change costs only those that it concerns.
"""

from __future__ import annotations

from waggle_hub.state.interests import Interest, InterestIndex
from waggle_hub.state.log import Event

from .entry import Entry
from .keyspace import Keyspace

_HANDED_BYTES = 200
"""What it costs to remember that a key was handed over."""
_SHOWN_BYTES = 200
"""What an entry takes on the wire, beside its key, value and meta."""


class Snapshots:
    """All snapshots that are open."""

    def __init__(self, keyspace: Keyspace, limit: int) -> None:
        self._keyspace = keyspace
        self._limit = limit
        self._index = InterestIndex()
        self._open: dict[Interest, dict[Snapshot, None]] = {}

    def __len__(self) -> int:
        return sum(len(snapshots) for snapshots in self._open.values())

    def open(self, interest: Interest, rev: int, locks: list[Event]) -> Snapshot:
        """A snapshot of the state as it stands, which is that of the revision `rev`, with these locks."""
        snapshot = Snapshot(self, self._keyspace, interest, rev, self._limit, locks)
        if not snapshot.read_all:
            if interest not in self._open:
                self._open[interest] = {}
                self._index.add(interest)
            self._open[interest][snapshot] = None
        return snapshot

    def close(self, snapshot: Snapshot) -> None:
        """Hand nothing over to it any more; one that is not open stays as it is."""
        interest = snapshot.interest
        snapshots = self._open.get(interest, {})
        if snapshot in snapshots:
            del snapshots[snapshot]
            if not snapshots:
                del self._open[interest]
                self._index.remove(interest)

    def before_change(self, ns: str, key: str, prev: Entry | None) -> None:
        """Hand over the entry that is about to change, None where there is none, to all that have not read it."""
        if self._open:
            for interest in self._index.find(ns, key, "set"):
                pattern = interest.first_match(key)
                assert pattern is not None
                for snapshot in list(self._open[interest]):
                    snapshot.before_change(ns, key, pattern, prev)

    def undo_touch(self, touched: Entry, prev: Entry) -> None:
        """A touch has not happened: who was handed the entry with the deadline that it gave has the one before it."""
        if self._open:
            for interest in self._index.find(prev.ns, prev.key, "set"):
                for snapshot in self._open[interest]:
                    snapshot.undo_touch(touched, prev)

    def check(self) -> None:
        """Assert the rules of this module."""
        self._index.check()
        assert len(self._index) == sum(len(interest.patterns) for interest in self._open)
        for interest, snapshots in self._open.items():
            assert snapshots
            for snapshot in snapshots:
                assert snapshot.interest is interest
                assert not snapshot.read_all
                assert not snapshot.overrun


class Snapshot:
    """The state at revision `rev`, for one interest."""

    def __init__(
        self,
        snapshots: Snapshots,
        keyspace: Keyspace,
        interest: Interest,
        rev: int,
        limit: int,
        locks: list[Event],
    ) -> None:
        self.rev = rev
        self.interest = interest
        self.overrun = False
        self.locks = locks
        """The locks that were held at the revision and that nobody has read yet, as the events of their grants."""
        self._snapshots = snapshots
        self._keyspace = keyspace
        self._limit = limit
        wanted = "set" in interest.scope.types
        self._spaces = [ns for ns in keyspace.namespaces() if wanted and interest.covers(ns)]
        self._space = 0
        self._pattern = 0
        self._after = ""
        self._ahead: set[tuple[str, str]] = set()
        self._handed: list[Entry] = []
        self._bytes = 0

    @property
    def done(self) -> bool:
        """Whether everything has been read."""
        return self.read_all and not self.locks

    @property
    def read_all(self) -> bool:
        """Whether all entries have been read."""
        return self._space >= len(self._spaces) and not self._handed

    def close(self) -> None:
        """Nobody reads it any more."""
        self._snapshots.close(self)

    def before_change(self, ns: str, key: str, pattern: int, prev: Entry | None) -> None:
        """Take the entry that is about to change, None where there is none, unless it has been read. `pattern` is the
        number of the first that matches it."""
        if self._space >= len(self._spaces) or ns < self._spaces[self._space] or (ns, key) in self._ahead:
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
            self.close()

    def undo_touch(self, touched: Entry, prev: Entry) -> None:
        """Should this entry have been handed over, then as it was before."""
        self._handed = [prev if entry is touched else entry for entry in self._handed]

    def read(self, now: float, *, max_keys: int, max_bytes: int) -> list[Entry]:
        """The next entries, none that are due. It ends after looking at `max_keys` or collecting about `max_bytes` of
        lines; a key counts once more for each earlier pattern that it is tried against."""
        found = []
        size = 0
        looked = 0
        while self._handed and looked < max_keys and size < max_bytes:
            looked += 1
            entry = self._handed.pop()
            self._bytes -= entry.size
            if not entry.is_due(now):
                found.append(entry)
                size += _SHOWN_BYTES + entry.size
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
                    size += _SHOWN_BYTES + entry.size
            if finished:
                self._next_pattern()
        if self.read_all:
            self.close()
        return found

    def read_locks(self, most: int) -> list[Event]:
        """The next locks, at most so many."""
        found, self.locks = self.locks[:most], self.locks[most:]
        return found

    def _wanted(self, entry: Entry, now: float) -> bool:
        """Whether an entry that matches has not been handed over or read with an earlier pattern, and is there."""
        if (entry.ns, entry.key) in self._ahead or entry.is_due(now):
            return False
        return self.interest.first_match(entry.key, self._pattern) is None

    def _next_pattern(self) -> None:
        self._pattern += 1
        self._after = ""
        if self._pattern == len(self.interest.patterns):
            self._pattern = 0
            self._space += 1
