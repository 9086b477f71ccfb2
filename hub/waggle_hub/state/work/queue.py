"""Work queues: which entries may be taken, in which order, and which takers wait for them (protocol 7).

Rules:
1. A *work queue* is for one namespace and one set of patterns. It has the keys of the matching entries whose name has
   no lock request, held or waiting, in order of creation. A scan of the keyspace fills it, in slices, when these
   patterns are first taken from; from then on commits and lock requests keep it up to date. Locks on patterns are
   checked later, when a taker is about to take the entry.
2. Takers are served in order of arrival, and each gets the oldest entry that is free for it. An entry that may have
   become free is *offered*, oldest first, to the first taker that waits for it. A taker that still scans its queue is
   not passed over: the offer of an entry that it may want is *deferred* until its scan ends, and so is a later offer
   to any taker that is waiting for a deferred entry. Of the scanning takers, the first to arrive scans first.
3. The number of deliveries of an entry is kept as long as the entry exists.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from heapq import heappop, heappush

from sortedcontainers import SortedDict, SortedKeyList

from waggle.wire import messages as m
from waggle.wire.patterns import Pattern
from waggle_hub.state.locks.request import LockRequest
from waggle_hub.state.locks.table import LockTable
from waggle_hub.state.log import Commit
from waggle_hub.state.patterns.overlap import overlap
from waggle_hub.state.patterns.pattern_index import PatternIndex
from waggle_hub.state.pending import PendingCommand
from waggle_hub.state.persistence.dirty import DirtySet
from waggle_hub.state.persistence.records import DeliveryRecord, EntryId, Key, Record, TakerRecord
from waggle_hub.state.sessions import Session
from waggle_hub.state.store.entry import Entry
from waggle_hub.state.store.keyspace import Keyspace

_INSERT_COST_KEYS = 4
"""Keys that a scan can look at in the time in which it inserts one into a queue (3 against 0.7 µs)."""

_POSITION_BITS = 7
"""Low bits of a position, which number the entries of one revision: a txn creates at most 128."""


class Taker(PendingCommand):
    """A `take` that scans its work queue, or has found nothing in it and waits."""

    __slots__ = ("lease", "max_deliveries", "next_position", "queue", "scanning", "timed_out")
    op = "take"

    def __init__(
        self, serial: int, session: Session, id: m.Id, rid: str | None, since: float, queue: WorkQueue, lease: float,
        max_deliveries: int | None,
    ) -> None:  # fmt: skip
        super().__init__(serial, session, id, rid, since)
        self.queue = queue
        self.lease = lease
        """Seconds."""
        self.max_deliveries = max_deliveries
        self.scanning = True
        """Whether the queue may have an entry for this taker from `next_position` on."""
        self.next_position = 0
        """The position in the queue at which the scan goes on."""
        self.timed_out = False
        """Whether the deadline has passed: the taker gets an error as soon as its scan has found nothing."""

    @property
    def record_name(self) -> Key:
        return (TakerRecord.kind, self.serial)

    def record(self) -> Record:
        return TakerRecord(
            serial=self.serial,
            session=self.session.id,
            id=self.id,
            rid=self.rid,
            since=self.since,
            deadline=self.deadline,
            late=self.timed_out,
            ns=self.queue.ns,
            patterns=[pattern.text for pattern in self.queue.patterns],
            lease=self.lease,
            max_deliveries=self.max_deliveries,
        )


class WorkQueue:
    """The entries that one set of patterns may take in one namespace, and the takers that wait for them."""

    __slots__ = ("_filled_to", "_filling_pattern", "filling", "keys", "ns", "patterns", "positions", "takers")

    def __init__(self, ns: str, patterns: tuple[Pattern, ...]) -> None:
        self.ns = ns
        self.patterns = patterns
        self.keys: SortedDict[int, str] = SortedDict()
        """Key by position: the revision that created the entry, and a number (`_POSITION_BITS`)."""
        self.positions: dict[str, int] = {}
        self.takers: dict[Taker, None] = {}
        """Takers that scan or wait, in order of arrival."""
        self.filling = True
        """Whether the keyspace has not been scanned to its end yet."""
        self._filling_pattern = 0
        self._filled_to: str | None = None
        """The last key that the scan has looked at, for the pattern of this index."""

    def matches(self, key: str) -> bool:
        """Return whether one of the patterns matches this key."""
        return any(pattern.match(key) for pattern in self.patterns)

    def add(self, entry: Entry) -> None:
        """Add an entry at the position of its creation."""
        self.discard(entry.key)
        position = entry.created_rev << _POSITION_BITS
        # Entries created by one txn share a revision. Among these, the first to be free is the first in the queue.
        while position in self.keys:
            position += 1
        self.keys[position] = entry.key
        self.positions[entry.key] = position

    def discard(self, key: str) -> None:
        """Remove a key if it is in the queue."""
        position = self.positions.pop(key, None)
        if position is not None:
            del self.keys[position]

    def fill(self, keyspace: Keyspace, lock_table: LockTable, now: float, max_keys: int) -> int:
        """Scan the next keys of the keyspace, about `max_keys`. Return how many were; an added key counts more."""
        scanned = 0
        while self._filling_pattern < len(self.patterns):
            pattern = self.patterns[self._filling_pattern]
            for entry in keyspace.scan(self.ns, pattern, self._filled_to):
                if scanned >= max_keys:
                    return scanned
                scanned += 1
                self._filled_to = entry.key
                if not pattern.match(entry.key) or entry.is_due(now):
                    continue
                if not lock_table.has_request_for_name(self.ns, entry.key):
                    self.add(entry)
                    scanned += _INSERT_COST_KEYS
            self._filling_pattern += 1
            self._filled_to = None
        self.filling = False
        return scanned


class WorkQueues:
    """All work queues and takers of the hub."""

    def __init__(self, max_queues: int, dirty: DirtySet) -> None:
        self._dirty = dirty
        self.scanning: SortedKeyList[Taker] = SortedKeyList(key=lambda taker: taker.serial)
        """Takers whose scan goes on, in order of arrival."""
        self.deliveries: dict[EntryId, int] = {}
        self._offers: list[tuple[int, int, EntryId]] = []
        """A heap of entries that may have become free: creation revision, number of the offer, namespace and key."""
        self._offer_count = 0
        self._deferred: dict[EntryId, Entry] = {}
        self._released_pattern_locks: list[LockRequest] = []
        """Requests for patterns that are gone: any entry that they matched may have become free."""
        self._queues: OrderedDict[tuple[str, tuple[Pattern, ...]], WorkQueue] = OrderedDict()
        """By namespace and patterns, the least recently used first."""
        self._max_queues = max_queues
        self._index_by_ns: dict[str, PatternIndex[WorkQueue]] = {}

    # --- queues ---

    def queue(self, ns: str, patterns: tuple[Pattern, ...]) -> WorkQueue:
        """Return the queue for these patterns. A new one takes the place of the least recently used without takers."""
        queue = self._queues.get((ns, patterns))
        if queue is not None:
            self._queues.move_to_end((ns, patterns))
            return queue
        if len(self._queues) >= self._max_queues:
            idle = [name for name, queue in self._queues.items() if not queue.takers]
            for name in idle[: len(self._queues) - self._max_queues + 1]:
                self._drop_queue(self._queues.pop(name))
        queue = self._queues[ns, patterns] = WorkQueue(ns, patterns)
        index = self._index_by_ns.setdefault(ns, PatternIndex())
        for pattern in patterns:
            index.add(pattern, queue)
        return queue

    def _drop_queue(self, queue: WorkQueue) -> None:
        index = self._index_by_ns[queue.ns]
        for pattern in queue.patterns:
            index.remove(pattern, queue)
        if not len(index):
            del self._index_by_ns[queue.ns]

    def _queues_matching(self, ns: str, key: str) -> Iterable[WorkQueue]:
        index = self._index_by_ns.get(ns)
        return () if index is None else index.find(key)

    # --- what changes them ---

    def apply(self, commit: Commit, keyspace: Keyspace, lock_table: LockTable) -> None:
        """Add the entries that a commit has created, and discard those that it has removed."""
        if not self._index_by_ns and not self.deliveries:
            return
        for event in commit.events:
            if event.type == "set" and event.prev is None:
                entry = keyspace.get(event.ns, event.key)
                # Absent if a later event of the same commit has removed it.
                if entry is not None and not lock_table.has_request_for_name(event.ns, event.key):
                    self._add_free(entry)
            elif event.type in ("delete", "expire", "evict"):
                if self.deliveries.pop((event.ns, event.key), None) is not None:
                    self._dirty.remove((DeliveryRecord.kind, event.ns, event.key))
                for queue in self._queues_matching(event.ns, event.key):
                    queue.discard(event.key)

    def discard_locked(self, request: LockRequest) -> None:
        """Discard the entries whose names a new lock request is for."""
        for name in request.names:
            for queue in self._queues_matching(request.ns, name):
                queue.discard(name)

    def add_released(self, request: LockRequest, keyspace: Keyspace, lock_table: LockTable) -> None:
        """Add the entries that are free now that a lock request, held or waiting, is gone."""
        if request.ns not in self._index_by_ns:
            return
        for name in request.names:
            entry = keyspace.get(request.ns, name)
            if entry is not None and not lock_table.has_request_for_name(request.ns, name):
                self._add_free(entry)
        if request.patterns:
            self._released_pattern_locks.append(request)

    def _add_free(self, entry: Entry) -> None:
        has_takers = False
        for queue in self._queues_matching(entry.ns, entry.key):
            queue.add(entry)
            has_takers = has_takers or bool(queue.takers)
        if has_takers:
            self.offer(entry)

    def set_deliveries(self, entry_id: EntryId, count: int) -> None:
        """Store how often an entry has been delivered."""
        ns, key = entry_id
        self.deliveries[entry_id] = count
        self._dirty.put(DeliveryRecord(ns=ns, key=key, count=count))

    # --- takers ---

    def add(self, taker: Taker) -> None:
        """Add a taker that waits or goes on with its scan."""
        taker.queue.takers[taker] = None
        if taker.scanning:
            self.scanning.add(taker)

    def remove(self, taker: Taker) -> None:
        """Remove a taker."""
        del taker.queue.takers[taker]
        self.finish_scan(taker)

    def finish_scan(self, taker: Taker) -> None:
        """Let a taker scan no longer, and offer the deferred entries again: it may have been their first taker."""
        taker.scanning = False
        self.scanning.discard(taker)
        deferred, self._deferred = self._deferred, {}
        for entry in deferred.values():
            self.offer(entry)

    def rescan(self, taker: Taker, key: str | None = None) -> None:
        """Let a taker scan again from this key on; from the start of its queue by default."""
        position = 0 if key is None else taker.queue.positions.get(key, 0)
        taker.next_position = min(taker.next_position, position)
        if not taker.scanning:
            taker.scanning = True
            self.scanning.add(taker)

    def first_taker(self, ns: str, key: str) -> Taker | None:
        """Return the first to arrive of the takers that wait for this key or may find it in their scan."""
        # Takers of one queue are in order of arrival, so only the first of each queue has to be compared.
        takers = (next(iter(queue.takers)) for queue in self._queues_matching(ns, key) if queue.takers)
        return min(takers, key=lambda taker: taker.serial, default=None)

    # --- offers ---

    def offer(self, entry: Entry) -> None:
        """Offer an entry that may be free to the first taker that waits for it."""
        self._offer_count += 1
        heappush(self._offers, (entry.created_rev, self._offer_count, (entry.ns, entry.key)))

    def defer(self, entry: Entry) -> None:
        """Offer an entry again when the next scan has ended: an earlier taker may find it, or an older entry."""
        self._deferred[entry.ns, entry.key] = entry

    def has_deferred_for(self, taker: Taker) -> bool:
        """Return whether an entry that this taker waits for is deferred."""
        return any(ns == taker.queue.ns and taker.queue.matches(key) for ns, key in self._deferred)

    @property
    def any_free(self) -> bool:
        """Whether an entry may have become free for a taker."""
        return bool(self._offers or self._released_pattern_locks)

    def next_offer(self) -> EntryId | None:
        """Remove and return the oldest entry that is offered."""
        return heappop(self._offers)[2] if self._offers else None

    def takers_of_released_patterns(self) -> Iterator[Taker]:
        """Yield the takers that wait for anything that a removed lock request for patterns matched; each once."""
        released, self._released_pattern_locks = self._released_pattern_locks, []
        takers: dict[Taker, None] = {}
        for request in released:
            for queue in list(self._queues.values()):
                if queue.ns == request.ns and queue.takers and _any_overlap(queue.patterns, request.patterns):
                    takers.update(queue.takers)
        yield from takers

    def check(self, sessions: Iterable[Session], keyspace: Keyspace, lock_table: LockTable, granting: bool) -> None:
        """Assert the rules of this module. If `granting`, no free entry is left for a taker that waits."""
        takers = {command for session in sessions for command in session.pending.values() if isinstance(command, Taker)}
        assert takers == {taker for queue in self._queues.values() for taker in queue.takers}
        scanning = (taker for taker in takers if taker.scanning)
        assert list(self.scanning) == sorted(scanning, key=lambda taker: taker.serial)
        assert not self.any_free or not granting
        assert not self._deferred or self.scanning
        for (ns, key), count in self.deliveries.items():
            assert keyspace.get(ns, key) is not None
            assert count > 0
        for queue in self._queues.values():
            assert list(queue.takers) == sorted(queue.takers, key=lambda taker: taker.serial)
            assert {position: key for key, position in queue.positions.items()} == dict(queue.keys)
            for key in queue.positions:
                assert keyspace.get(queue.ns, key) is not None
                assert not lock_table.has_request_for_name(queue.ns, key)
            if not queue.filling:
                free = {
                    entry.key: entry
                    for pattern in queue.patterns
                    for entry in keyspace.scan(queue.ns, pattern)
                    if pattern.match(entry.key) and not lock_table.has_request_for_name(queue.ns, entry.key)
                }
                for key, position in queue.positions.items():
                    assert position >> _POSITION_BITS == free[key].created_rev
                missing = [entry for key, entry in free.items() if key not in queue.positions]
                assert all(entry.expires_at is not None for entry in missing), "only entries that were due are left out"


def _any_overlap(patterns: Iterable[Pattern], others: Iterable[Pattern]) -> bool:
    return any(overlap(pattern, other) for pattern in patterns for other in others)
