"""Work: which entries may be taken, in which order, and who waits to take one (protocol 7).

Rules:
1. A *line* is what matches one set of patterns: the entries that no name lock is on, held or waited for, in order of
   their creation. It is filled by a scan, in slices, when it is first asked for; from then on events keep it. Whether
   a lock on a pattern is on an entry is asked when somebody wants to take it.
2. Takers are served in order of arrival, and each gets the oldest that is there for it: what becomes free is *offered*,
   oldest first, to the first who waits for it. One who is still looking through a line is not passed over: what it may
   yet want is held back until it knows, and so is what those behind it would get instead. Of those who look, the first
   to come is the next to go on.
3. How often an entry was delivered is remembered as long as there is that entry.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from heapq import heappop, heappush

from sortedcontainers import SortedDict, SortedKeyList

from waggle.wire import messages as m
from waggle.wire.names import Pattern
from waggle_hub.state.locks.request import LockRequest
from waggle_hub.state.locks.table import LockTable
from waggle_hub.state.log import Commit
from waggle_hub.state.patterns.overlap import overlap
from waggle_hub.state.patterns.pattern_index import PatternIndex
from waggle_hub.state.pending import PendingCommand
from waggle_hub.state.persistence.dirty import DirtySet
from waggle_hub.state.persistence.records import DeliveryRecord, Key, Record, TakerRecord
from waggle_hub.state.sessions import Session
from waggle_hub.state.store.keyspace import Entry, Keyspace

Place = tuple[str, str]

_PUTTING_IN = 4
"""What it costs to put an entry into a line, in looks at a key (3 against 0.7 µs)."""


class Taker(PendingCommand):
    """A `take` that is looking, or waits."""

    __slots__ = ("after", "late", "lease", "line", "looking", "max_deliveries")
    op = "take"

    def __init__(
        self, serial: int, session: Session, id: m.Id, rid: str | None, since: float, line: WorkQueue, lease: float,
        max_deliveries: int | None,
    ) -> None:  # fmt: skip
        super().__init__(serial, session, id, rid, since)
        self.line = line
        self.lease = lease
        self.max_deliveries = max_deliveries
        self.looking = True
        """Whether there may be something for it that it has not looked at."""
        self.after = 0
        """Where it goes on looking: its place in the line."""
        self.late = False
        """Whether its time is over, and it only has to look to the end."""

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
            late=self.late,
            ns=self.line.ns,
            patterns=[pattern.text for pattern in self.line.patterns],
            lease=self.lease,
            max_deliveries=self.max_deliveries,
        )


class WorkQueue:
    """What may be taken by one set of patterns in one namespace."""

    __slots__ = ("_after", "_pattern", "ns", "patterns", "revs", "scanning", "takers", "work")

    def __init__(self, ns: str, patterns: tuple[Pattern, ...]) -> None:
        self.ns = ns
        self.patterns = patterns
        self.work: SortedDict[int, str] = SortedDict()
        """Keys by their place, which is their creation revision and a number."""
        self.revs: dict[str, int] = {}
        self.scanning = True
        self.takers: dict[Taker, None] = {}
        """Those who wait for it, in order of arrival."""
        self._pattern = 0
        self._after: str | None = None

    def matches(self, key: str) -> bool:
        return any(pattern.match(key) for pattern in self.patterns)

    def add(self, entry: Entry) -> None:
        self.discard(entry.key)
        # Two entries of one txn have one creation revision: what is free first of these goes first.
        rev = entry.created_rev << 7
        while rev in self.work:
            rev += 1
        self.work[rev] = entry.key
        self.revs[entry.key] = rev

    def discard(self, key: str) -> None:
        rev = self.revs.pop(key, None)
        if rev is not None:
            del self.work[rev]

    def scan(self, keyspace: Keyspace, claims: LockTable, now: float, most: int) -> int:
        """Look at the next keys, about so many; how many were looked at. One that is put in counts for several."""
        looked = 0
        while self._pattern < len(self.patterns):
            pattern = self.patterns[self._pattern]
            for entry in keyspace.scan(self.ns, pattern, self._after):
                if looked >= most:
                    return looked
                looked += 1
                self._after = entry.key
                if (
                    pattern.match(entry.key)
                    and not entry.is_due(now)
                    and not claims.has_request_for_name(self.ns, entry.key)
                ):
                    self.add(entry)
                    looked += _PUTTING_IN
            self._pattern += 1
            self._after = None
        self.scanning = False
        return looked


class Work:
    """All lines and takers of the hub."""

    def __init__(self, lines: int, changed: DirtySet) -> None:
        self._changed = changed
        self.looking: SortedKeyList[Taker] = SortedKeyList(key=lambda taker: taker.serial)
        """Takers that have more to look at, in order of arrival."""
        self.deliveries: dict[Place, int] = {}
        self._offers: list[tuple[int, int, Place]] = []
        """What may have become free, as a heap: creation revision, a number in the order of offering, the place."""
        self._offered = 0
        self._held_back: dict[Place, Entry] = {}
        self._reopened: list[LockRequest] = []
        """Locks on patterns that are gone: what they were on may be free."""
        self._lines: OrderedDict[tuple[str, tuple[Pattern, ...]], WorkQueue] = OrderedDict()
        self._most = lines
        self._by_ns: dict[str, PatternIndex[WorkQueue]] = {}

    # --- lines ---

    def line(self, ns: str, patterns: tuple[Pattern, ...]) -> WorkQueue:
        """The line of these patterns; one that was used least recently makes room for a new one."""
        line = self._lines.get((ns, patterns))
        if line is not None:
            self._lines.move_to_end((ns, patterns))
            return line
        idle = [place for place, one in self._lines.items() if not one.takers] if len(self._lines) >= self._most else []
        for place in idle[: len(self._lines) - self._most + 1]:
            self._forget(self._lines.pop(place))
        line = self._lines[ns, patterns] = WorkQueue(ns, patterns)
        index = self._by_ns.setdefault(ns, PatternIndex())
        for pattern in patterns:
            index.add(pattern, line)
        return line

    def _forget(self, line: WorkQueue) -> None:
        index = self._by_ns[line.ns]
        for pattern in line.patterns:
            index.remove(pattern, line)
        if not len(index):
            del self._by_ns[line.ns]

    def _lines_of(self, ns: str, key: str) -> Iterable[WorkQueue]:
        index = self._by_ns.get(ns)
        return () if index is None else index.find(key)

    # --- what changes ---

    def notice(self, commit: Commit, keyspace: Keyspace, claims: LockTable) -> None:
        """Entries have come and gone."""
        if not self._by_ns and not self.deliveries:
            return
        for event in commit.events:
            if event.type == "set" and event.prev is None:
                entry = keyspace.get(event.ns, event.key)
                if entry is not None and not claims.has_request_for_name(event.ns, event.key):
                    self._free(entry)
            elif event.type in ("delete", "expire", "evict"):
                if self.deliveries.pop((event.ns, event.key), None) is not None:
                    self._changed.remove((DeliveryRecord.kind, event.ns, event.key))
                for line in self._lines_of(event.ns, event.key):
                    line.discard(event.key)

    def claimed(self, claim: LockRequest) -> None:
        """A lock is held or waited for."""
        for name in claim.names:
            for line in self._lines_of(claim.ns, name):
                line.discard(name)

    def freed(self, claim: LockRequest, keyspace: Keyspace, claims: LockTable) -> None:
        """A lock is held or waited for no longer."""
        if claim.ns not in self._by_ns:
            return
        for name in claim.names:
            entry = keyspace.get(claim.ns, name)
            if entry is not None and not claims.has_request_for_name(claim.ns, name):
                self._free(entry)
        if claim.patterns:
            self._reopened.append(claim)

    def _free(self, entry: Entry) -> None:
        wanted = False
        for line in self._lines_of(entry.ns, entry.key):
            line.add(entry)
            wanted = wanted or bool(line.takers)
        if wanted:
            self.offer(entry)

    def deliver(self, place: Place, count: int) -> None:
        """An entry is delivered for this time."""
        ns, key = place
        self.deliveries[place] = count
        self._changed.put(DeliveryRecord(ns=ns, key=key, count=count))

    # --- takers ---

    def add(self, taker: Taker) -> None:
        """It waits, or goes on looking."""
        taker.line.takers[taker] = None
        if taker.looking:
            self.looking.add(taker)

    def remove(self, taker: Taker) -> None:
        """It waits no longer: what was held back for it is offered to others."""
        del taker.line.takers[taker]
        self.looked(taker)

    def looked(self, taker: Taker) -> None:
        """It has looked at everything, or looks no longer."""
        taker.looking = False
        self.looking.discard(taker)
        held_back, self._held_back = self._held_back, {}
        for entry in held_back.values():
            self.offer(entry)

    def look_again(self, taker: Taker, key: str | None = None) -> None:
        """There may be something for it again: anywhere, or this key."""
        place = 0 if key is None else taker.line.revs.get(key, 0)
        taker.after = min(taker.after, place)
        if not taker.looking:
            taker.looking = True
            self.looking.add(taker)

    def first_for(self, ns: str, key: str) -> Taker | None:
        """Who came first of those who wait for this key."""
        first = (next(iter(line.takers)) for line in self._lines_of(ns, key) if line.takers)
        return min(first, key=lambda taker: taker.serial, default=None)

    def hold_back(self, entry: Entry) -> None:
        """Somebody who came earlier is still looking, and may want it."""
        self._held_back[entry.ns, entry.key] = entry

    def holds_back_for(self, taker: Taker) -> bool:
        """Whether something that it waits for is held back."""
        return any(ns == taker.line.ns and taker.line.matches(key) for ns, key in self._held_back)

    def offer(self, entry: Entry) -> None:
        """It may be free, for the first who waits for it."""
        self._offered += 1
        heappush(self._offers, (entry.created_rev, self._offered, (entry.ns, entry.key)))

    @property
    def any_free(self) -> bool:
        """Whether something may have become free for somebody."""
        return bool(self._offers or self._reopened)

    def next_offer(self) -> Place | None:
        """The oldest that may be free to take."""
        return heappop(self._offers)[2] if self._offers else None

    def reopened(self) -> Iterator[Taker]:
        """Those who wait for what locks on patterns have freed; told once."""
        reopened, self._reopened = self._reopened, []
        found: dict[Taker, None] = {}
        for claim in reopened:
            for line in list(self._lines.values()):
                if line.ns == claim.ns and line.takers and _meet(line.patterns, claim.patterns):
                    found.update(line.takers)
        yield from found

    def check(self, sessions: Iterable[Session], keyspace: Keyspace, claims: LockTable, granting: bool) -> None:
        """Assert the rules of this module. While `granting`, what is free is given away."""
        takers = {one for session in sessions for one in session.pending.values() if isinstance(one, Taker)}
        assert takers == {taker for line in self._lines.values() for taker in line.takers}
        assert list(self.looking) == sorted((taker for taker in takers if taker.looking), key=lambda one: one.serial)
        assert not self.any_free or not granting
        assert not self._held_back or self.looking
        for (ns, key), count in self.deliveries.items():
            assert keyspace.get(ns, key) is not None
            assert count > 0
        for line in self._lines.values():
            assert list(line.takers) == sorted(line.takers, key=lambda taker: taker.serial)
            assert {rev: key for key, rev in line.revs.items()} == dict(line.work)
            for key in line.revs:
                assert keyspace.get(line.ns, key) is not None
                assert not claims.has_request_for_name(line.ns, key)
            if not line.scanning:
                free = {
                    entry.key: entry
                    for pattern in line.patterns
                    for entry in keyspace.scan(line.ns, pattern)
                    if pattern.match(entry.key) and not claims.has_request_for_name(line.ns, entry.key)
                }
                assert all(rev >> 7 == free[key].created_rev for key, rev in line.revs.items())
                left_out = [entry for key, entry in free.items() if key not in line.revs]
                assert all(entry.expires_at is not None for entry in left_out), "only what was due is left out"


def _meet(mine: Iterable[Pattern], yours: Iterable[Pattern]) -> bool:
    return any(overlap(one, other) for one in mine for other in yours)
