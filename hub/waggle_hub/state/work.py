"""Work: which entries may be taken, in which order, and who waits to take one (protocol 7).

Rules:
1. A *line* is what matches one set of patterns: the entries that no name lock is on, held or waited for, in order of
   their creation. It is filled by a scan, in slices, when it is first asked for; from then on events keep it. Whether
   a lock on a pattern is on an entry is asked when somebody wants to take it.
2. Takers are served in order of arrival: what becomes free is *offered* to the first who waits for it. One who is still
   looking through a line is not passed over: what it may yet want is held back until it knows.
3. How often an entry was delivered is remembered as long as there is that entry.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator

from sortedcontainers import SortedDict

from waggle import messages as m
from waggle.keys import Pattern

from .claims import Claim, Claims
from .keyspace import Entry, Keyspace
from .log import Commit
from .overlap import overlap
from .patternindex import PatternIndex
from .sessions import Session
from .waiting import Waiting

Place = tuple[str, str]


class Taker(Waiting):
    """A `take` that is looking, or waits."""

    __slots__ = ("after", "late", "lease", "line", "looking", "max_deliveries")

    def __init__(
        self, serial: int, session: Session, id: m.Id, rid: str | None, since: float, line: Line, lease: float,
        max_deliveries: int | None,
    ) -> None:  # fmt: skip
        super().__init__(serial, session, id, rid, since)
        self.line = line
        self.lease = lease
        self.max_deliveries = max_deliveries
        self.looking = True
        """Whether there may be something for it that it has not looked at."""
        self.after = 0
        """Where it goes on looking: above this creation revision."""
        self.late = False
        """Whether its time is over, and it only has to look to the end."""

    def wants(self, key: str) -> bool:
        return self.line.matches(key)


class Line:
    """What may be taken by one set of patterns in one namespace."""

    __slots__ = ("_after", "_pattern", "ns", "patterns", "revs", "scanning", "takers", "work")

    def __init__(self, ns: str, patterns: tuple[Pattern, ...]) -> None:
        self.ns = ns
        self.patterns = patterns
        self.work: SortedDict[int, str] = SortedDict()
        """Keys by creation revision."""
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

    def scan(self, keyspace: Keyspace, claims: Claims, now: float, most: int) -> int:
        """Look at the next keys, at most so many; how many were looked at."""
        looked = 0
        while self._pattern < len(self.patterns):
            pattern = self.patterns[self._pattern]
            for entry in keyspace.scan(self.ns, pattern, self._after):
                if looked == most:
                    return looked
                looked += 1
                self._after = entry.key
                if pattern.match(entry.key) and not entry.due(now) and not claims.named_on(self.ns, entry.key):
                    self.add(entry)
            self._pattern += 1
            self._after = None
        self.scanning = False
        return looked


class Work:
    """All lines and takers of the hub."""

    def __init__(self, lines: int) -> None:
        self.looking: dict[Taker, None] = {}
        """Takers that have more to look at."""
        self.deliveries: dict[Place, int] = {}
        self._offers: dict[Place, None] = {}
        self._held_back: dict[Place, None] = {}
        self._reopened: list[Claim] = []
        """Locks on patterns that are gone: what they were on may be free."""
        self._lines: OrderedDict[tuple[str, tuple[Pattern, ...]], Line] = OrderedDict()
        self._most = lines
        self._by_ns: dict[str, PatternIndex[Line]] = {}
        self._takers: dict[str, PatternIndex[Taker]] = {}

    # --- lines ---

    def line(self, ns: str, patterns: tuple[Pattern, ...]) -> Line:
        """The line of these patterns; one that was used least recently makes room for a new one."""
        line = self._lines.get((ns, patterns))
        if line is not None:
            self._lines.move_to_end((ns, patterns))
            return line
        idle = [place for place, one in self._lines.items() if not one.takers] if len(self._lines) >= self._most else []
        for place in idle[: len(self._lines) - self._most + 1]:
            self._forget(self._lines.pop(place))
        line = self._lines[ns, patterns] = Line(ns, patterns)
        index = self._by_ns.setdefault(ns, PatternIndex())
        for pattern in patterns:
            index.add(pattern, line)
        return line

    def _forget(self, line: Line) -> None:
        index = self._by_ns[line.ns]
        for pattern in line.patterns:
            index.remove(pattern, line)
        if not len(index):
            del self._by_ns[line.ns]

    def _lines_of(self, ns: str, key: str) -> Iterable[Line]:
        index = self._by_ns.get(ns)
        return () if index is None else index.find(key)

    # --- what changes ---

    def notice(self, commit: Commit, keyspace: Keyspace, claims: Claims) -> None:
        """Entries have come and gone."""
        if not self._by_ns and not self.deliveries:
            return
        for event in commit.events:
            if event.type == "set" and event.prev is None:
                entry = keyspace.get(event.ns, event.key)
                if entry is not None and not claims.named_on(event.ns, event.key):
                    self._free(entry)
            elif event.type in ("delete", "expire", "evict"):
                self.deliveries.pop((event.ns, event.key), None)
                for line in self._lines_of(event.ns, event.key):
                    line.discard(event.key)

    def claimed(self, claim: Claim) -> None:
        """A lock is held or waited for."""
        for name in claim.names:
            for line in self._lines_of(claim.ns, name):
                line.discard(name)

    def freed(self, claim: Claim, keyspace: Keyspace, claims: Claims) -> None:
        """A lock is held or waited for no longer."""
        if claim.ns not in self._by_ns:
            return
        for name in claim.names:
            entry = keyspace.get(claim.ns, name)
            if entry is not None and not claims.named_on(claim.ns, name):
                self._free(entry)
        if claim.patterns and claim.ns in self._takers:
            self._reopened.append(claim)

    def _free(self, entry: Entry) -> None:
        for line in self._lines_of(entry.ns, entry.key):
            line.add(entry)
        if entry.ns in self._takers:
            self._offers[entry.ns, entry.key] = None

    # --- takers ---

    def add(self, taker: Taker) -> None:
        """It waits, or goes on looking."""
        taker.line.takers[taker] = None
        index = self._takers.setdefault(taker.line.ns, PatternIndex())
        for pattern in taker.line.patterns:
            index.add(pattern, taker)
        if taker.looking:
            self.looking[taker] = None

    def remove(self, taker: Taker) -> None:
        """It waits no longer: what was held back for it is offered to others."""
        del taker.line.takers[taker]
        index = self._takers[taker.line.ns]
        for pattern in taker.line.patterns:
            index.remove(pattern, taker)
        if not len(index):
            del self._takers[taker.line.ns]
        self.looked(taker)

    def looked(self, taker: Taker) -> None:
        """It has looked at everything, or looks no longer."""
        taker.looking = False
        self.looking.pop(taker, None)
        self._offers.update(self._held_back)
        self._held_back.clear()

    def look_again(self, taker: Taker) -> None:
        """There may be something for it again."""
        taker.looking = True
        taker.after = 0
        self.looking[taker] = None

    def hold_back(self, ns: str, key: str) -> None:
        """Somebody who came earlier is still looking, and may want it."""
        self._held_back[ns, key] = None

    def waiting_for(self, ns: str, key: str) -> list[Taker]:
        """Those who wait for this key, in order of arrival."""
        index = self._takers.get(ns)
        return [] if index is None else sorted(index.find(key), key=lambda taker: taker.serial)

    def offer(self, ns: str, key: str) -> None:
        """It is free still, for the next."""
        self._offers[ns, key] = None

    @property
    def any_free(self) -> bool:
        """Whether something may have become free for somebody."""
        return bool(self._offers or self._reopened)

    def next_offer(self) -> Place | None:
        """A place that may be free to take."""
        place = next(iter(self._offers), None)
        if place is not None:
            del self._offers[place]
        return place

    def reopened(self) -> Iterator[Taker]:
        """Those who wait for what locks on patterns have freed, in order of arrival; told once."""
        reopened, self._reopened = self._reopened, []
        found: dict[Taker, None] = {}
        for claim in reopened:
            for line in list(self._lines.values()):
                if line.ns == claim.ns and line.takers and _meet(line.patterns, claim.patterns):
                    found.update(line.takers)
        yield from sorted(found, key=lambda taker: taker.serial)

    def check(self, sessions: Iterable[Session], keyspace: Keyspace, claims: Claims) -> None:
        """Assert the rules of this module."""
        takers = {one for session in sessions for one in session.waiting.values() if isinstance(one, Taker)}
        assert takers == {taker for line in self._lines.values() for taker in line.takers}
        assert set(self.looking) == {taker for taker in takers if taker.looking}
        assert not self._offers
        assert not self._reopened
        assert not self._held_back or self.looking
        for (ns, key), count in self.deliveries.items():
            assert keyspace.get(ns, key) is not None
            assert count > 0
        for line in self._lines.values():
            assert {rev: key for key, rev in line.revs.items()} == dict(line.work)
            for key in line.revs:
                assert keyspace.get(line.ns, key) is not None
                assert not claims.named_on(line.ns, key)
            if not line.scanning:
                free = {
                    entry.key
                    for pattern in line.patterns
                    for entry in keyspace.scan(line.ns, pattern)
                    if pattern.match(entry.key) and not claims.named_on(line.ns, entry.key)
                }
                assert set(line.revs) <= free


def _meet(mine: Iterable[Pattern], yours: Iterable[Pattern]) -> bool:
    return any(overlap(one, other) for one in mine for other in yours)
