"""Refill: bring a cursor that is behind up to now, a slice at a time (G4, G5, G12).

The way of a cursor: its snapshot, if it has one, then `synced`; then the log from where it stands; then a mark, and it
is live. A slice is bounded in keys, events and bytes, and the next comes when this one has left: so a slow reader
costs one slice of memory, and its own pace is nobody else's.

Of a conflated interest each slice of the log is a delivery: the latest of each key in it, all else, and a mark.
"""

from __future__ import annotations

from typing import Protocol

from waggle_hub.state.log import Event, Log

from .conflation import LatestByKey
from .encoding import chain, lock_snapshot_line, mark_line, snapshot_line, synced_line
from .feed import Cursor

_LOCKS = 500
"""Locks that one slice of a snapshot tells: about 2 ms."""


def snapshot_slice(cursor: Cursor, now: float, *, max_keys: int, max_bytes: int) -> list[bytes]:
    """The next lines of the cursor's snapshot. At its end the cursor stands at its revision, and has none."""
    snapshot = cursor.snapshot
    assert snapshot is not None
    lines = [lock_snapshot_line(cursor.feed.sub, lock) for lock in snapshot.read_locks(_LOCKS)]
    if not lines:
        entries = snapshot.read(now, max_keys=max_keys, max_bytes=max_bytes)
        values = cursor.feed.interest.scope.values
        lines = [snapshot_line(cursor.feed.sub, entry, values) for entry in entries]
    if snapshot.done:
        cursor.snapshot = None
        cursor.rev = cursor.after = snapshot.rev
        lines.append(synced_line(cursor.feed.sub, snapshot.rev))
    return lines


def log_slice(cursor: Cursor, log: Log, upto: int, *, max_events: int, max_bytes: int) -> list[bytes]:
    """The next lines of the log up to and with the revision `upto`; a mark ends them when the cursor gets there.

    `max_events` is for a subscription of one pattern: an event is tried against each.
    """
    interest = cursor.feed.interest
    told: _Part = _Whole(cursor) if interest.scope.conflate is None else _Conflated(cursor)
    looked = 0
    for commit in log.commits_after(cursor.rev):
        if commit.rev > upto or looked >= max_events or told.size >= max_bytes:
            break
        looked += len(commit.events) * len(interest.patterns)
        events = [event for event in commit.events if interest.matches(event.ns, event.key, event.type)]
        if events:
            told.add(events)
        cursor.rev = commit.rev
    following = next(log.commits_after(cursor.rev), None)
    if following is None or following.rev > upto:
        cursor.rev = upto
    return told.lines(at_end=cursor.rev == upto)


class _Part(Protocol):
    """What one slice of the log tells a cursor."""

    @property
    def size(self) -> int:
        """About how many bytes of lines there are."""

    def add(self, events: list[Event]) -> None:
        """The events of the next revision that has any."""

    def lines(self, at_end: bool) -> list[bytes]:
        """All of it; `at_end`, the cursor has caught up."""


class _Whole:
    """Every event, as it was."""

    def __init__(self, cursor: Cursor) -> None:
        self.size = 0
        self._cursor = cursor
        self._lines: list[bytes] = []

    def add(self, events: list[Event]) -> None:
        cursor, rev = self._cursor, events[0].rev
        if cursor.suppresses(events[0]):
            self._put(mark_line(rev, cursor.feed.sub))
            return
        for line in chain(cursor.feed.interest, events, cursor.after, {}):
            self._put(line.text)
        cursor.after = rev

    def _put(self, line: bytes) -> None:
        self._lines.append(line)
        self.size += len(line)

    def lines(self, at_end: bool) -> list[bytes]:
        if at_end:
            self._put(mark_line(self._cursor.rev, self._cursor.feed.sub))
        return self._lines


class _Conflated:
    """A delivery of its own. The mark that ends it stands in for what is left out, one's own events too."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self._latest = LatestByKey()

    @property
    def size(self) -> int:
        return self._latest.size

    def add(self, events: list[Event]) -> None:
        for event in events:
            self._latest.add(event)

    def lines(self, at_end: bool) -> list[bytes]:
        cursor = self._cursor
        if not (at_end or self._latest):
            return []
        events = [event for event in self._latest if not cursor.suppresses(event)]
        lines = [line.text for line in chain(cursor.feed.interest, events, cursor.after, {})]
        cursor.after = cursor.rev
        return [*lines, mark_line(cursor.rev, cursor.feed.sub)]
