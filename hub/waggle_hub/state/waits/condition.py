"""Waits and their conditions: what must be true before a `wait` is answered (protocol 7, G9).

Rules:
1. A condition on a key, or one that only asks for no lock, stores nothing: it is decided by a look-up or two.
2. A condition on a pattern stores the keys that are known to match. A scan of the keyspace in slices finds them, from
   then on events update them; the keys above `scanned_to` are unknown until the scan has come past them. At most
   `capacity` matches are stored, and a scan stops when that many are. If they later become too few, it goes on. So the
   memory of a condition is bounded, and a second scan is rare.
3. Due entries do not match, although their `expire` events have not come yet.
4. What a step spends on comparing values has a bound (`Budget`). A wait whose turn comes after that keeps what its
   conditions see at this revision (`Moment`), and later steps compare it, in the order of the revisions. So the wait is
   answered even if the next revision undoes what met it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
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
_LOOK_BYTES = 256
"""What a look at a condition, or at a key that it may match, costs beside the bytes that it compares: some 10 µs."""
MAX_MOMENTS = 100
"""Moments that a wait keeps. More come only if values change faster than they can be compared."""


class Budget:
    """The bytes of values that one step may still compare. The last comparison may go beyond it."""

    __slots__ = ("left",)

    def __init__(self, size: float) -> None:
        self.left = size


class Moment:
    """The view that the conditions of a wait have at one revision."""

    __slots__ = ("changes", "entries", "holds", "now", "rev")

    def __init__(self, rev: int, now: float, changes: list[Change]) -> None:
        self.rev = rev
        self.now = now
        self.changes = deque(changes)
        """The changes since the moment before that conditions on patterns have not been told."""
        self.holds: list[bool | None] = []
        """For each condition whether it holds; None while this is not known."""
        self.entries: list[list[Entry]] = []
        """For each condition on a key its entry; for one on a pattern its matches, when these are known."""

    @property
    def met(self) -> list[int]:
        """The indices of the conditions that are known to hold."""
        return [index for index, holds in enumerate(self.holds) if holds]


class Condition:
    """One condition of a wait."""

    __slots__ = (
        "_compared",
        "_holds",
        "_values",
        "absent",
        "count",
        "incomplete",
        "key",
        "matches",
        "ns",
        "operand_bytes",
        "pattern",
        "predicate",
        "scanned_to",
        "shown",
        "since",
        "unlocked",
        "wait",
    )

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
        self.operand_bytes = 0
        """The size of the value that the predicate compares with."""
        self._values = values
        self._compared: bytes | None = None
        """For a condition on a key: the value that the predicate was applied to last."""
        self._holds = False
        """Whether the predicate holds for that value."""
        self.matches: dict[str, Entry] = {}
        """The matching entries by key, for a condition on a pattern."""
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

    def must_compare(self, entry: Entry) -> bool:
        """Return whether only a comparison with the value can tell if an entry matches."""
        return (
            entry.rev > self.since
            and self.predicate is not None
            and (self.pattern is not None or self._compared is not entry.value)
        )

    def accepts(self, entry: Entry, budget: Budget) -> bool:
        """Return whether an entry of this key or pattern matches."""
        if entry.rev <= self.since:
            return False
        if self.predicate is None:
            return True
        if self.pattern is None and self._compared is entry.value:
            return self._holds
        size = len(entry.value)
        # A comparison ends at the first difference, so it costs no more than the smaller side; `contains` tries all.
        budget.left -= _LOOK_BYTES + (size if self.predicate.searches else min(size, self.operand_bytes))
        if entry.value not in self._values:
            budget.left -= size
        holds = self.predicate.holds(self._values.get(entry.value))
        if self.pattern is None:
            self._compared, self._holds = entry.value, holds
        return holds

    def see(self, keyspace: Keyspace, lock_table: LockTable, now: float) -> tuple[bool | None, list[Entry]]:
        """Return whether the condition holds, as far as this is known without a comparison, and the entry of its key.

        For a condition on a pattern the keyspace is not looked at.
        """
        if self.unlocked and self._is_locked(lock_table):
            return False, []
        if not self.on_entries:
            return True, []
        if self.key is None:
            return None, []
        entry = keyspace.get(self.ns, self.key)
        if entry is None:
            self._compared = None  # a value that is gone must not stay in memory
        return (self.absent, []) if entry is None or entry.is_due(now) else (None, [entry])

    def matching_entries(self, now: float) -> list[Entry]:
        """Return the first `count` of the entries that are known to match the pattern, in key order."""
        entries = (self.matches[key] for key in sorted(self.matches))
        return list(islice(_live(entries, now), self.count))

    def holds_for_matches(self, now: float) -> bool:
        """Return whether the known matches of the pattern suffice. While `needs_scan` is true, False may be wrong."""
        if self.absent:
            return not self.incomplete and next(_live(self.matches.values(), now), None) is None
        if len(self.matches) < self.count:
            return False
        return sum(1 for _ in islice(_live(self.matches.values(), now), self.count)) == self.count

    def _is_locked(self, lock_table: LockTable) -> bool:
        if self.key is not None:
            return next(lock_table.held_locks_on_key(self.ns, self.key), None) is not None
        assert self.pattern is not None
        return next(lock_table.held_locks_overlapping(self.ns, self.pattern), None) is not None

    def update(self, key: str, entry: Entry | None) -> None:
        """Store the matching entry of this key, or that there is none, after an event of its entry."""
        if self.incomplete and (self.scanned_to is None or key > self.scanned_to):
            return  # the scan will look at this key
        if entry is None:
            self.matches.pop(key, None)
        elif key in self.matches or len(self.matches) < self.capacity:
            self.matches[key] = entry
        else:
            # No room for another match: from now on only the keys up to the highest stored one are known.
            self.incomplete = True
            self.scanned_to = max(self.matches)
            if key <= self.scanned_to:
                del self.matches[self.scanned_to]
                self.matches[key] = entry
                self.scanned_to = max(self.matches)

    def drop_due_matches(self, now: float) -> None:
        """Remove the stored entries that are due, so that a scan may find others instead of them."""
        for key in [key for key, entry in self.matches.items() if entry.is_due(now)]:
            del self.matches[key]

    def scan(self, keyspace: Keyspace, now: float, max_keys: int, budget: Budget) -> int:
        """Look at the next keys, at most `max_keys`, while there are capacity and budget. Return their number."""
        assert self.pattern is not None
        scanned = 0
        for entry in keyspace.scan(self.ns, self.pattern, self.scanned_to):
            if scanned == max_keys or len(self.matches) >= self.capacity or budget.left <= 0:
                return scanned
            scanned += 1
            self.scanned_to = entry.key
            if self.pattern.match(entry.key) and not entry.is_due(now) and self.accepts(entry, budget):
                self.matches[entry.key] = entry
        self.incomplete = False
        return scanned


Change = tuple[Condition, str, Entry | None]
"""A condition on a pattern, and a key that it matches with the entry that is there after a commit."""


def _live(entries: Iterable[Entry], now: float) -> Iterator[Entry]:
    return (entry for entry in entries if not entry.is_due(now))


class Wait(PendingCommand):
    """A `wait` command that waits for all of its conditions, or for any of them."""

    __slots__ = ("awaited", "conditions", "moments", "need_all", "timed_out")

    def __init__(
        self, serial: int, session: Session, id: m.Id, since: float, awaited: list[m.Awaited], *, need_all: bool
    ) -> None:
        super().__init__(serial, session, id, None, since)
        self.awaited = awaited
        """The conditions as the command has them."""
        self.need_all = need_all
        self.conditions: list[Condition] = []
        self.moments: deque[Moment] = deque()
        """Moments that are not compared yet, in the order of the revisions."""
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

    def see(
        self, keyspace: Keyspace, lock_table: LockTable, rev: int, now: float, changes: Iterable[Change] = ()
    ) -> Moment:
        """Return what the conditions see now."""
        moment = Moment(rev, now, list(changes))
        for condition in self.conditions:
            holds, entries = condition.see(keyspace, lock_table, now)
            moment.holds.append(holds)
            moment.entries.append(entries)
        return moment

    def examine(self, moment: Moment, budget: Budget) -> bool:
        """Find out which conditions hold at a moment. Return False if the budget has ended before all are known.

        All moments before this one must have been examined.
        """
        while moment.changes:
            if budget.left <= 0:
                return False
            condition, key, entry = moment.changes.popleft()
            condition.update(key, entry if entry is not None and condition.accepts(entry, budget) else None)
        for index, condition in enumerate(self.conditions):
            if moment.holds[index] is not None:
                continue
            if condition.key is None:
                holds = moment.holds[index] = condition.holds_for_matches(moment.now)
                if holds and not condition.absent:
                    moment.entries[index] = condition.matching_entries(moment.now)
                continue
            entry = moment.entries[index][0]
            if budget.left <= 0 and condition.must_compare(entry):
                return False
            moment.holds[index] = condition.accepts(entry, budget) != condition.absent
        budget.left -= _LOOK_BYTES
        return True

    def is_satisfied(self, met: list[int]) -> bool:
        """Return whether the conditions with these indices are enough to answer the wait."""
        return len(met) == len(self.conditions) if self.need_all else bool(met)

    @property
    def needs_scan(self) -> bool:
        """Whether only a scan can tell if one of the conditions holds."""
        return any(condition.needs_scan for condition in self.conditions)
