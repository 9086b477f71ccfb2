"""Conditions: what waits wait for, and which of them a change could concern (protocol 7, G9).

Rules:
1. A condition on a key, or that nothing is locked, is asked anew each time: that is a look or two.
2. A condition on a pattern keeps the keys that meet it (`found`), up to `room` of them, and each event changes that. It
   knows of all keys up to where its scan has come. A scan stops when there is no room: should what was found then
   fall short, it begins again. So a condition never keeps more than its room, and hardly ever scans twice.
3. A change asks only the conditions whose key or pattern it touches. Ten thousand others cost it nothing.
4. A wait is decided at one revision, after the whole of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from typing import Any

import msgspec
from sortedcontainers import SortedDict

from waggle.wire import messages as m
from waggle.wire.names import Pattern
from waggle_hub.state.locks.request import LockRequest
from waggle_hub.state.locks.table import LockTable
from waggle_hub.state.log import Commit
from waggle_hub.state.patterns.overlap import overlap
from waggle_hub.state.patterns.pattern_index import PatternIndex
from waggle_hub.state.pending import PendingCommand
from waggle_hub.state.persistence.records import Key, Record, WaitRecord
from waggle_hub.state.sessions import Session
from waggle_hub.state.store.keyspace import Entry, Keyspace

from .predicate import Test

_decode = msgspec.json.Decoder().decode
_SPARE = 100
"""Keys that a condition keeps beyond twice what it needs, so that a scan is rare."""


class Condition:
    """One condition of a wait."""

    __slots__ = ("absent", "after", "asked", "count", "found", "key", "ns", "pattern", "scanning", "since", "test",
                 "unlocked", "wait")  # fmt: skip

    def __init__(self, wait: Wait, asked: m.Awaited, ns: str, pattern: Pattern | None) -> None:
        self.wait = wait
        self.asked = asked
        """As it is shown: without a value to compare with that is long."""
        self.ns = ns
        self.key = asked.key
        self.pattern = pattern
        self.count = asked.count
        self.absent = asked.absent
        self.unlocked = asked.unlocked
        self.since = -1 if asked.since is None else asked.since
        self.test = None if asked.where is None else Test(asked.where)
        self.found: dict[str, None] = {}
        self.scanning = self.on_entries and pattern is not None
        """Whether there may be keys that it does not know of, above `after`."""
        self.after: str | None = None

    @property
    def on_entries(self) -> bool:
        """Whether it asks for entries, and not only that nothing is locked."""
        return not self.unlocked or self.absent

    @property
    def room(self) -> int:
        return 2 * self.count + _SPARE

    @property
    def unknown(self) -> bool:
        """Whether only a scan can tell if it holds."""
        return self.scanning and len(self.found) < self.count

    def accepts(self, entry: Entry, value: Any = None) -> bool:
        """Whether an entry of its key or pattern is one that it asks for."""
        if entry.rev <= self.since:
            return False
        return self.test is None or self.test.holds(_decode(entry.value) if value is None else value)

    def matching(self, keyspace: Keyspace, now: float) -> list[Entry]:
        """The entries that meet it, in key order, as many as are asked for at most; none that are due."""
        return list(islice(self._live(sorted(self._keys), keyspace, now), self.count))

    def holds(self, keyspace: Keyspace, claims: LockTable, now: float) -> bool:
        """Whether it holds, as far as is known."""
        if self.unlocked and self._locked(claims):
            return False
        if not self.on_entries:
            return True
        keys = self._keys
        if self.absent:
            return not self.scanning and next(self._live(keys, keyspace, now), None) is None
        if len(keys) < self.count:
            return False
        return sum(1 for _ in islice(self._live(keys, keyspace, now), self.count)) == self.count

    @property
    def _keys(self) -> Collection[str]:
        """The keys whose entries may meet it, as far as is known."""
        return self.found if self.key is None else (self.key,)

    def _live(self, keys: Iterable[str], keyspace: Keyspace, now: float) -> Iterator[Entry]:
        """Of these keys, the entries that meet it and are not due."""
        for key in keys:
            entry = keyspace.get(self.ns, key)
            if entry is not None and not entry.is_due(now) and (self.pattern is not None or self.accepts(entry)):
                yield entry

    def _locked(self, claims: LockTable) -> bool:
        if self.key is not None:
            return next(claims.held_locks_on_key(self.ns, self.key), None) is not None
        assert self.pattern is not None
        return next(claims.held_locks_overlapping(self.ns, self.pattern), None) is not None

    def learn(self, key: str, meets: bool) -> None:
        """An entry has changed: whether there is one of this key now that meets it."""
        if self.scanning and (self.after is None or key > self.after):
            return  # the scan will come by
        if not meets:
            self.found.pop(key, None)
        elif len(self.found) < self.room:
            self.found[key] = None
        elif key not in self.found:
            self.scanning = True  # there is more than it can keep: what it knows ends here
            self.after = max(self.found)
            if key <= self.after:
                del self.found[self.after]
                self.found[key] = None
                self.after = max(self.found)

    def forget_due(self, keyspace: Keyspace, now: float) -> None:
        """Drop what has fallen due: that expires in its own time, and a scan may have to find others instead."""
        for key in list(self.found):
            entry = keyspace.get(self.ns, key)
            if entry is None or entry.is_due(now):
                del self.found[key]

    def scan(self, keyspace: Keyspace, now: float, most: int) -> int:
        """Look at the next keys, at most so many, while there is room; how many were looked at."""
        assert self.pattern is not None
        looked = 0
        for entry in keyspace.scan(self.ns, self.pattern, self.after):
            if looked == most or len(self.found) >= self.room:
                return looked
            looked += 1
            self.after = entry.key
            if self.pattern.match(entry.key) and not entry.is_due(now) and self.accepts(entry):
                self.found[entry.key] = None
        self.scanning = False
        return looked


class Wait(PendingCommand):
    """A `wait`: all of its conditions, or any."""

    __slots__ = ("asked", "conditions", "late", "need_all")

    def __init__(
        self, serial: int, session: Session, id: m.Id, since: float, asked: list[m.Awaited], *, need_all: bool
    ) -> None:
        super().__init__(serial, session, id, None, since)
        self.asked = asked
        """Its conditions as they were asked for."""
        self.need_all = need_all
        self.conditions: list[Condition] = []
        self.late = False
        """Whether its time is over, and only a scan is waited for."""

    @property
    def record_name(self) -> Key:
        return (WaitRecord.kind, self.serial)

    def record(self) -> Record:
        return WaitRecord(
            serial=self.serial,
            session=self.session.id,
            id=self.id,
            since=self.since,
            deadline=self.deadline,
            conditions=self.asked,
            need_all=self.need_all,
        )

    def met(self, keyspace: Keyspace, claims: LockTable, now: float) -> list[int]:
        """The indices of the conditions that hold."""
        return [n for n, one in enumerate(self.conditions) if one.holds(keyspace, claims, now)]

    def satisfied(self, met: list[int]) -> bool:
        return len(met) == len(self.conditions) if self.need_all else bool(met)

    @property
    def unknown(self) -> bool:
        """Whether only a scan can tell if it holds."""
        return any(one.unknown for one in self.conditions)


class _ConditionIndex:
    """The conditions of one namespace, by what they are on."""

    def __init__(self) -> None:
        self.keys: SortedDict[str, dict[Condition, None]] = SortedDict()
        self.patterns: PatternIndex[Condition] = PatternIndex()
        self.by_pattern: dict[Pattern, dict[Condition, None]] = {}

    def add(self, one: Condition) -> None:
        if one.key is not None:
            self.keys.setdefault(one.key, {})[one] = None
        elif one.pattern is not None:
            self.patterns.add(one.pattern, one)
            self.by_pattern.setdefault(one.pattern, {})[one] = None

    def remove(self, one: Condition) -> None:
        if one.key is not None:
            del self.keys[one.key][one]
            if not self.keys[one.key]:
                del self.keys[one.key]
        elif one.pattern is not None:
            self.patterns.remove(one.pattern, one)
            del self.by_pattern[one.pattern][one]
            if not self.by_pattern[one.pattern]:
                del self.by_pattern[one.pattern]

    def on_key(self, key: str) -> Iterator[Condition]:
        yield from self.keys.get(key, ())
        if self.by_pattern:
            yield from self.patterns.find(key)

    def on_pattern(self, pattern: Pattern) -> Iterator[Condition]:
        for key in self.keys.irange(minimum=pattern.prefix):
            if not key.startswith(pattern.prefix):
                break
            if pattern.match(key):
                yield from self.keys[key]
        for other, found in self.by_pattern.items():
            if overlap(pattern, other):
                yield from found

    def __bool__(self) -> bool:
        return bool(self.keys) or bool(self.by_pattern)


class Conditions:
    """All waits, by what they wait for."""

    def __init__(self) -> None:
        self.waits: dict[Wait, None] = {}
        self.to_scan: dict[Wait, None] = {}
        """Waits that a scan may decide, or has to go on for."""
        self._on_entries: dict[str, _ConditionIndex] = {}
        self._on_locks: dict[str, _ConditionIndex] = {}

    def add(self, wait: Wait) -> None:
        self.waits[wait] = None
        for one in wait.conditions:
            for watches, wanted in ((self._on_entries, one.on_entries), (self._on_locks, one.unlocked)):
                if wanted:
                    watches.setdefault(one.ns, _ConditionIndex()).add(one)
        self.look_for_scans(wait)

    def remove(self, wait: Wait) -> None:
        del self.waits[wait]
        self.to_scan.pop(wait, None)
        for one in wait.conditions:
            for watches, wanted in ((self._on_entries, one.on_entries), (self._on_locks, one.unlocked)):
                if wanted:
                    watches[one.ns].remove(one)
                    if not watches[one.ns]:
                        del watches[one.ns]

    def forget_due(self, wait: Wait, keyspace: Keyspace, now: float) -> None:
        """Ask no entry that is due for a wait which is about to be refused."""
        for one in wait.conditions:
            if one.scanning:
                one.forget_due(keyspace, now)
        self.look_for_scans(wait)

    def look_for_scans(self, wait: Wait) -> None:
        """Remember a wait that a scan has to go on for."""
        if wait.unknown:
            self.to_scan[wait] = None
        else:
            self.to_scan.pop(wait, None)

    def concerned(self, commit: Commit, freed: list[LockRequest], keyspace: Keyspace) -> dict[Wait, None]:
        """The waits that this commit, and the locks that it freed, could have met; their conditions know of it."""
        found: dict[Wait, None] = {}
        for event in commit.events:
            watch = self._on_entries.get(event.ns)
            if watch is None or event.type not in m.ENTRY_TYPES:
                continue
            entry = keyspace.get(event.ns, event.key)
            value: Any = None
            for one in watch.on_key(event.key):
                if one.pattern is not None:
                    if value is None and one.test is not None and entry is not None:
                        value = _decode(entry.value)
                    one.learn(event.key, entry is not None and one.accepts(entry, value))
                    self.look_for_scans(one.wait)
                found[one.wait] = None
        for claim in freed:
            watch = self._on_locks.get(claim.ns)
            if watch is not None:
                for name in claim.names:
                    found.update((one.wait, None) for one in watch.on_key(name))
                for pattern in claim.patterns:
                    found.update((one.wait, None) for one in watch.on_pattern(pattern))
        return found

    def check(self, sessions: Iterable[Session], keyspace: Keyspace) -> None:
        """Assert the rules of this module."""
        waits = {one for session in sessions for one in session.pending.values() if isinstance(one, Wait)}
        assert waits == set(self.waits)
        assert set(self.to_scan) == {wait for wait in waits if wait.unknown}
        for wait in waits:
            for one in wait.conditions:
                if one.pattern is None or not one.on_entries:
                    assert not one.found
                    continue
                known = {
                    entry.key: entry
                    for entry in keyspace.scan(one.ns, one.pattern)
                    if one.pattern.match(entry.key) and one.accepts(entry)
                    and (not one.scanning or (one.after is not None and entry.key <= one.after))
                }  # fmt: skip
                assert one.found.keys() <= known.keys()
                left_out = [entry for key, entry in known.items() if key not in one.found]
                assert all(entry.expires_at is not None for entry in left_out), "only what was due is left out"
                assert len(one.found) <= one.room
