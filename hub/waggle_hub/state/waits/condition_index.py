"""The index of conditions: which waits a commit may affect (protocol 7, G9).

Rules:
1. A commit examines only the conditions whose key or pattern one of its events touches, or a lock that it released.
   Ten thousand other waits cost nothing.
2. A wait is decided at one revision: after all events of a commit, not between them.
3. A wait that has moments to examine learns everything through these, so that its matches follow the revisions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sortedcontainers import SortedDict

from waggle.wire import messages as m
from waggle.wire.patterns import Pattern
from waggle_hub.state.locks.request import LockRequest
from waggle_hub.state.log import Commit
from waggle_hub.state.patterns.overlap import overlap
from waggle_hub.state.patterns.pattern_index import PatternIndex
from waggle_hub.state.sessions import Session
from waggle_hub.state.store.keyspace import Keyspace

from .condition import Budget, Change, Condition, Moment, Wait
from .decoded_values import DecodedValues


class _NamespaceIndex:
    """The conditions of one namespace, by key and by pattern."""

    def __init__(self) -> None:
        self._by_key: SortedDict[str, dict[Condition, None]] = SortedDict()
        self._by_pattern: dict[Pattern, dict[Condition, None]] = {}
        self._pattern_index: PatternIndex[Condition] = PatternIndex()
        """The conditions on patterns, to be found by a key that they match."""

    def add(self, condition: Condition) -> None:
        """Add a condition."""
        if condition.key is not None:
            self._by_key.setdefault(condition.key, {})[condition] = None
        elif condition.pattern is not None:
            self._pattern_index.add(condition.pattern, condition)
            self._by_pattern.setdefault(condition.pattern, {})[condition] = None

    def remove(self, condition: Condition) -> None:
        """Remove a condition."""
        if condition.key is not None:
            del self._by_key[condition.key][condition]
            if not self._by_key[condition.key]:
                del self._by_key[condition.key]
        elif condition.pattern is not None:
            self._pattern_index.remove(condition.pattern, condition)
            del self._by_pattern[condition.pattern][condition]
            if not self._by_pattern[condition.pattern]:
                del self._by_pattern[condition.pattern]

    def matching_key(self, key: str) -> Iterator[Condition]:
        """Yield the conditions on this key, or on a pattern that matches it."""
        yield from self._by_key.get(key, ())
        if self._by_pattern:
            yield from self._pattern_index.find(key)

    def overlapping(self, pattern: Pattern) -> Iterator[Condition]:
        """Yield the conditions on anything that this pattern could match too."""
        for key in self._by_key.irange(minimum=pattern.prefix):
            if not key.startswith(pattern.prefix):
                break
            if pattern.match(key):
                yield from self._by_key[key]
        for other, conditions in self._by_pattern.items():
            if overlap(pattern, other):
                yield from conditions

    def __bool__(self) -> bool:
        return bool(self._by_key) or bool(self._by_pattern)


class ConditionIndex:
    """All waits of the hub, and their conditions by what may change them."""

    def __init__(self) -> None:
        self.values = DecodedValues()
        """The values that conditions were compared with last, decoded."""
        self.waits: dict[Wait, None] = {}
        self.to_scan: dict[Wait, None] = {}
        """The waits with `needs_scan`, in the order in which they came to need one."""
        self.to_examine: dict[Wait, None] = {}
        """The waits with moments, in the order in which they got the first."""
        self._on_entries: dict[str, _NamespaceIndex] = {}
        self._on_locks: dict[str, _NamespaceIndex] = {}

    def add(self, wait: Wait) -> None:
        """Add a wait with its conditions."""
        self.waits[wait] = None
        for condition in wait.conditions:
            for index_by_ns in self._indices_of(condition):
                index_by_ns.setdefault(condition.ns, _NamespaceIndex()).add(condition)
        self.update_to_scan(wait)

    def remove(self, wait: Wait) -> None:
        """Remove a wait with its conditions."""
        del self.waits[wait]
        self.to_scan.pop(wait, None)
        self.to_examine.pop(wait, None)
        for condition in wait.conditions:
            for index_by_ns in self._indices_of(condition):
                index_by_ns[condition.ns].remove(condition)
                if not index_by_ns[condition.ns]:
                    del index_by_ns[condition.ns]

    def _indices_of(self, condition: Condition) -> Iterator[dict[str, _NamespaceIndex]]:
        if condition.on_entries:
            yield self._on_entries
        if condition.unlocked:
            yield self._on_locks

    def keep_moment(self, wait: Wait, moment: Moment) -> None:
        """Let a later step examine this moment of a wait."""
        wait.moments.append(moment)
        self.to_examine[wait] = None

    def drop_moment(self, wait: Wait) -> None:
        """Remove the oldest moment of a wait: it has been examined."""
        wait.moments.popleft()
        if not wait.moments:
            del self.to_examine[wait]

    def drop_due_matches(self, wait: Wait, now: float) -> None:
        """Remove due entries from the matches of a wait that has timed out: a scan may have to find others first."""
        for condition in wait.conditions:
            if condition.incomplete:
                condition.drop_due_matches(now)
        self.update_to_scan(wait)

    def update_to_scan(self, wait: Wait) -> None:
        """Add a wait to `to_scan` or remove it, after its conditions have changed."""
        if wait.needs_scan:
            self.to_scan[wait] = None
        else:
            self.to_scan.pop(wait, None)

    def affected_by(
        self, commit: Commit, released: list[LockRequest], keyspace: Keyspace, budget: Budget
    ) -> dict[Wait, list[Change]]:
        """Update the conditions with a commit. Return the waits that it, or the locks it released, may have met.

        With each wait come the changes that its conditions have not been told, because the budget has ended.
        """
        affected: dict[Wait, list[Change]] = {}
        for event in commit.events:
            index = self._on_entries.get(event.ns)
            if index is None or event.type not in m.ENTRY_TYPES:
                continue
            # The entry after the whole commit, which a later event of it may have changed again (rule 2).
            entry = keyspace.get(event.ns, event.key)
            for condition in index.matching_key(event.key):
                wait = condition.wait
                changes = affected.setdefault(wait, [])
                if condition.pattern is None:
                    continue
                if changes or wait.moments or budget.left <= 0:
                    changes.append((condition, event.key, entry))
                else:
                    condition.update(
                        event.key, entry if entry is not None and condition.accepts(entry, budget) else None
                    )
                    self.update_to_scan(wait)
        for request in released:
            index = self._on_locks.get(request.ns)
            if index is not None:
                for name in request.names:
                    for condition in index.matching_key(name):
                        affected.setdefault(condition.wait, [])
                for pattern in request.patterns:
                    for condition in index.overlapping(pattern):
                        affected.setdefault(condition.wait, [])
        return affected

    def check(self, sessions: Iterable[Session], keyspace: Keyspace) -> None:
        """Assert the rules of this folder."""
        waits = {command for session in sessions for command in session.pending.values() if isinstance(command, Wait)}
        assert waits == set(self.waits)
        assert set(self.to_scan) == {wait for wait in waits if wait.needs_scan}
        assert set(self.to_examine) == {wait for wait in waits if wait.moments}
        for wait in waits:
            for condition in wait.conditions if not wait.moments else ():
                _check_matches(condition, keyspace)


def _check_matches(condition: Condition, keyspace: Keyspace) -> None:
    if condition.pattern is None or not condition.on_entries:
        assert not condition.matches
        return
    known = {
        entry.key: entry
        for entry in keyspace.scan(condition.ns, condition.pattern)
        if condition.pattern.match(entry.key) and condition.accepts(entry, Budget(0))
        and (not condition.incomplete or (condition.scanned_to is not None and entry.key <= condition.scanned_to))
    }  # fmt: skip
    assert condition.matches.items() <= known.items()
    missing = [entry for key, entry in known.items() if key not in condition.matches]
    assert all(entry.expires_at is not None for entry in missing), "only entries that were due are left out"
    assert len(condition.matches) <= condition.capacity
