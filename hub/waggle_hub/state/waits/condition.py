"""Waits and their conditions: what must be true before a `wait` is answered (protocol 7, G9).

Rules:
1. A condition on a key, or one that only asks for no lock, stores nothing: it is decided by a look-up or two.
2. A condition on a pattern stores the keys that are known to match. A scan of the keyspace in slices finds them, from
   then on events update them; the keys above `scanned_to` are unknown until the scan has come past them. At most
   `capacity` matches are stored, and a scan stops when that many are. If they later become too few, it goes on. So the
   memory of a condition is bounded, and a second scan is rare.
3. Due entries do not match, although their `expire` events have not come yet.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import islice

from waggle.wire import messages as m
from waggle.wire.patterns import Pattern
from waggle_hub.state.locks.table import LockTable
from waggle_hub.state.pending import PendingCommand
from waggle_hub.state.persistence.records import Key, Record, WaitRecord
from waggle_hub.state.sessions import Session
from waggle_hub.state.store.entry import Entry
from waggle_hub.state.store.keyspace import Keyspace

from .decoded_values import DecodedValues
from .predicate import Predicate

_SPARE_KEYS = 100
"""Matches that a condition stores beyond twice its count: with these, most deletes need no second scan."""


class Condition:
    """One condition of a wait."""

    __slots__ = ("_compared", "_holds", "_values", "absent", "count", "incomplete", "key", "matches", "ns", "pattern",
                 "predicate", "scanned_to", "shown", "since", "unlocked", "wait")  # fmt: skip

    def __init__(self, wait: Wait, awaited: m.Awaited, ns: str, pattern: Pattern | None, values: DecodedValues) -> None:
        self.wait = wait
        self.shown = awaited
        """The condition as `inspect` shows it. The caller may replace it by one without a long value."""
        self.ns = ns
        self.key = awaited.key
        self.pattern = pattern
        self.count = awaited.count
        self.absent = awaited.absent
        self.unlocked = awaited.unlocked
        self.since = -1 if awaited.since is None else awaited.since
        self.predicate = None if awaited.where is None else Predicate(awaited.where)
        self._values = values
        self._compared: bytes | None = None
        """For a condition on a key: the value that the predicate was applied to last."""
        self._holds = False
        """Whether the predicate holds for that value."""
        self.matches: dict[str, None] = {}
        """Keys of matching entries, for a condition on a pattern."""
        self.incomplete = self.on_entries and pattern is not None
        """Whether keys above `scanned_to` are unknown."""
        self.scanned_to: str | None = None
        """The last key that the scan has looked at; None before the first."""

    @property
    def on_entries(self) -> bool:
        """Whether the condition is about entries, and not only about locks."""
        return not self.unlocked or self.absent

    @property
    def capacity(self) -> int:
        """The largest number of matches that are stored."""
        return 2 * self.count + _SPARE_KEYS

    @property
    def needs_scan(self) -> bool:
        """Whether only a scan can tell if the condition holds."""
        return self.incomplete and len(self.matches) < self.count

    def accepts(self, entry: Entry) -> bool:
        """Return whether an entry of this key or pattern matches."""
        if entry.rev <= self.since:
            return False
        if self.predicate is None:
            return True
        if self.pattern is not None:
            return self.predicate.holds(self._values.get(entry.value))
        if self._compared is not entry.value:
            self._holds = self.predicate.holds(self._values.get(entry.value))
            self._compared = entry.value
        return self._holds

    def matching_entries(self, keyspace: Keyspace, now: float) -> list[Entry]:
        """Return the first `count` of the entries that are known to match, in key order."""
        return list(islice(self._live_matches(sorted(self._candidates), keyspace, now), self.count))

    def holds(self, keyspace: Keyspace, lock_table: LockTable, now: float) -> bool:
        """Return whether the condition holds. While `needs_scan` is true, False may be wrong."""
        if self.unlocked and self._is_locked(lock_table):
            return False
        if not self.on_entries:
            return True
        candidates = self._candidates
        if self.absent:
            return not self.incomplete and next(self._live_matches(candidates, keyspace, now), None) is None
        if len(candidates) < self.count:
            return False
        return sum(1 for _ in islice(self._live_matches(candidates, keyspace, now), self.count)) == self.count

    @property
    def _candidates(self) -> Collection[str]:
        return self.matches if self.key is None else (self.key,)

    def _live_matches(self, keys: Iterable[str], keyspace: Keyspace, now: float) -> Iterator[Entry]:
        for key in keys:
            entry = keyspace.get(self.ns, key)
            if entry is None:
                self._compared = None  # a value that is gone must not stay in memory
            elif not entry.is_due(now) and (self.pattern is not None or self.accepts(entry)):
                yield entry

    def _is_locked(self, lock_table: LockTable) -> bool:
        if self.key is not None:
            return next(lock_table.held_locks_on_key(self.ns, self.key), None) is not None
        assert self.pattern is not None
        return next(lock_table.held_locks_overlapping(self.ns, self.pattern), None) is not None

    def update(self, key: str, matches: bool) -> None:
        """Store whether there is a matching entry of this key now, after an event of its entry."""
        if self.incomplete and (self.scanned_to is None or key > self.scanned_to):
            return  # the scan will look at this key
        if not matches:
            self.matches.pop(key, None)
        elif len(self.matches) < self.capacity:
            self.matches[key] = None
        elif key not in self.matches:
            # No room for another match: from now on only the keys up to the highest stored one are known.
            self.incomplete = True
            self.scanned_to = max(self.matches)
            if key <= self.scanned_to:
                del self.matches[self.scanned_to]
                self.matches[key] = None
                self.scanned_to = max(self.matches)

    def drop_due_matches(self, keyspace: Keyspace, now: float) -> None:
        """Remove the stored keys whose entries are due, so that a scan may find others instead of them."""
        for key in list(self.matches):
            entry = keyspace.get(self.ns, key)
            if entry is None or entry.is_due(now):
                del self.matches[key]

    def scan(self, keyspace: Keyspace, now: float, max_keys: int) -> int:
        """Look at the next keys, at most `max_keys`, until there is no capacity left. Return their number."""
        assert self.pattern is not None
        scanned = 0
        for entry in keyspace.scan(self.ns, self.pattern, self.scanned_to):
            if scanned == max_keys or len(self.matches) >= self.capacity:
                return scanned
            scanned += 1
            self.scanned_to = entry.key
            if self.pattern.match(entry.key) and not entry.is_due(now) and self.accepts(entry):
                self.matches[entry.key] = None
        self.incomplete = False
        return scanned


class Wait(PendingCommand):
    """A `wait` command that waits for all of its conditions, or for any of them."""

    __slots__ = ("awaited", "conditions", "need_all", "timed_out")

    def __init__(
        self, serial: int, session: Session, id: m.Id, since: float, awaited: list[m.Awaited], *, need_all: bool
    ) -> None:
        super().__init__(serial, session, id, None, since)
        self.awaited = awaited
        """The conditions as the command has them."""
        self.need_all = need_all
        self.conditions: list[Condition] = []
        self.timed_out = False
        """Whether the deadline has passed: the wait gets its error as soon as no scan can meet it any more."""

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
            conditions=self.awaited,
            need_all=self.need_all,
        )

    def met_conditions(self, keyspace: Keyspace, lock_table: LockTable, now: float) -> list[int]:
        """Return the indices of the conditions that hold."""
        return [
            index
            for index, condition in enumerate(self.conditions)
            if condition.holds(keyspace, lock_table, now)
        ]  # fmt: skip

    def is_satisfied(self, met: list[int]) -> bool:
        """Return whether the conditions with these indices are enough to answer the wait."""
        return len(met) == len(self.conditions) if self.need_all else bool(met)

    @property
    def needs_scan(self) -> bool:
        """Whether only a scan can tell if one of the conditions holds."""
        return any(condition.needs_scan for condition in self.conditions)
