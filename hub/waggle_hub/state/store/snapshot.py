"""Snapshots: the entries that match an interest at one revision, read in slices while the machine goes on.

How a snapshot is exact without a copy of everything at its start (*copy on update*): it walks the keys in order. Before
a key ahead of the walk changes, the entry as it was is handed over to the snapshot; it is sent with the next slice, and
the walk skips that key later. A key behind the walk has been read already. So each matching key is read once, as it was
at the revision, and later changes follow as events.

Rules:
1. A touch is not such a change: most subscribers do not ask for touches. So the deadline that is shown, and that
   decides whether an entry is due, is the one that the entry has when it is read.
2. The walk goes through the namespaces by name; in each through the patterns in turn; for each pattern through its keys
   in order, without those that an earlier pattern has matched. An interest without ``set`` has no entries to read.
3. Locks are few beside entries: those that are held are copied when the snapshot is opened.
4. The entries handed over take at most `limit` bytes. Beyond that the snapshot is `overrun`: it drops everything and
   has to be started again.
5. A snapshot is open, and entries are handed over to it, until everything has been read, it is overrun, or its reader
   closes it. The open ones are indexed by their interest: a change costs only the snapshots that it belongs to.
"""

from __future__ import annotations

from waggle_hub.state.interests import Interest, InterestIndex
from waggle_hub.state.log import Event

from .entry import Entry
from .keyspace import Keyspace

_HANDED_BYTES = 200
"""Bytes that it takes to remember that a key was handed over."""
_SHOWN_BYTES = 200
"""Bytes that an entry takes on the wire, beside its key, value and meta."""


class Snapshots:
    """All open snapshots."""

    def __init__(self, keyspace: Keyspace, limit: int) -> None:
        self._keyspace = keyspace
        self._limit = limit
        self._index = InterestIndex()
        self._open: dict[Interest, dict[Snapshot, None]] = {}

    def __len__(self) -> int:
        return sum(len(snapshots) for snapshots in self._open.values())

    def open(self, interest: Interest, rev: int, locks: list[Event]) -> Snapshot:
        """Open a snapshot of the state as it is now, at revision `rev`, with these locks."""
        snapshot = Snapshot(self, self._keyspace, interest, rev, self._limit, locks)
        if not snapshot.read_all:
            if interest not in self._open:
                self._open[interest] = {}
                self._index.add(interest)
            self._open[interest][snapshot] = None
        return snapshot

    def close(self, snapshot: Snapshot) -> None:
        """Stop handing entries over to a snapshot; one that is not open stays as it is."""
        interest = snapshot.interest
        snapshots = self._open.get(interest, {})
        if snapshot in snapshots:
            del snapshots[snapshot]
            if not snapshots:
                del self._open[interest]
                self._index.remove(interest)

    def before_change(self, ns: str, key: str, prev: Entry | None) -> None:
        """Hand over an entry that is about to change (None: a new key) to the open snapshots that it belongs to."""
        if self._open:
            for interest in self._index.find(ns, key, "set"):
                pattern = interest.first_match(key)
                assert pattern is not None
                for snapshot in list(self._open[interest]):
                    snapshot.before_change(ns, key, pattern, prev)

    def undo_touch(self, touched: Entry, prev: Entry) -> None:
        """Undo a touch: in snapshots that were handed the touched entry, put back the one before it."""
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
    """The state at revision `rev`, as far as it matches one interest."""

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
        """The locks held at the revision that are still to be read, as the events of their grants."""
        self._snapshots = snapshots
        self._keyspace = keyspace
        self._limit = limit
        wanted = "set" in interest.scope.types
        # Namespaces that come later hold nothing at this revision.
        self._namespaces = [ns for ns in keyspace.namespaces() if wanted and interest.covers(ns)]
        self._namespace = 0
        """The index of the namespace that is walked now; with `_pattern` and `_after` the position of the walk."""
        self._pattern = 0
        self._after = ""
        self._ahead: set[tuple[str, str]] = set()
        """Keys ahead of the walk whose entries were handed over: the walk skips them."""
        self._handed: list[Entry] = []
        """Entries that were handed over and are still to be read."""
        self._bytes = 0

    @property
    def done(self) -> bool:
        """Whether everything has been read."""
        return self.read_all and not self.locks

    @property
    def read_all(self) -> bool:
        """Whether all entries have been read."""
        return self._namespace >= len(self._namespaces) and not self._handed

    def close(self) -> None:
        """Close the snapshot: it has no reader any more."""
        self._snapshots.close(self)

    def before_change(self, ns: str, key: str, pattern: int, prev: Entry | None) -> None:
        """Take an entry that is about to change (None: the key is new), unless the walk has passed it.

        `pattern` is the index of the first pattern that matches the key.
        """
        if self._namespace >= len(self._namespaces) or (ns, key) in self._ahead:
            return
        walked = self._namespaces[self._namespace]
        if ns < walked or (ns == walked and (pattern, key) <= (self._pattern, self._after)):
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
        """Replace a touched entry, if it was handed over, by the one before the touch."""
        self._handed = [prev if entry is touched else entry for entry in self._handed]

    def read(self, now: float, *, max_keys: int, max_bytes: int) -> list[Entry]:
        """Read the next entries that are not due: look at `max_keys` at most, collect about `max_bytes` of lines.

        A key counts once more for each earlier pattern that it is tried against.
        """
        entries = []
        size = 0
        looked = 0
        while self._handed and looked < max_keys and size < max_bytes:
            looked += 1
            entry = self._handed.pop()
            self._bytes -= entry.size
            if not entry.is_due(now):
                entries.append(entry)
                size += _SHOWN_BYTES + entry.size
        while self._namespace < len(self._namespaces) and looked < max_keys and size < max_bytes:
            finished = True
            pattern = self.interest.patterns[self._pattern]
            for entry in self._keyspace.scan(self._namespaces[self._namespace], pattern, self._after or None):
                if looked >= max_keys or size >= max_bytes:
                    finished = False
                    break
                looked += 1
                self._after = entry.key
                if not pattern.match(entry.key):
                    continue
                looked += self._pattern
                if self._wanted(entry, now):
                    entries.append(entry)
                    size += _SHOWN_BYTES + entry.size
            if finished:
                self._next_pattern()
        if self.read_all:
            self.close()
        return entries

    def read_locks(self, most: int) -> list[Event]:
        """Read the next locks, at most `most` of them."""
        locks, self.locks = self.locks[:most], self.locks[most:]
        return locks

    def _wanted(self, entry: Entry, now: float) -> bool:
        """Return whether the walk reads this matching entry: not due, not handed over, not of an earlier pattern."""
        if (entry.ns, entry.key) in self._ahead or entry.is_due(now):
            return False
        return self.interest.first_match(entry.key, self._pattern) is None

    def _next_pattern(self) -> None:
        self._pattern += 1
        self._after = ""
        if self._pattern == len(self.interest.patterns):
            self._pattern = 0
            self._namespace += 1
