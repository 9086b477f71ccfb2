"""Catch-up: the lines that a cursor lacks, from its snapshot and from the log, a slice at a time (G4, G5, G12).

Rules:
1. A cursor first reads its snapshot, if it has one, and gets `synced`; then the log from its revision on; then a mark,
   and it is live.
2. A slice is bounded in keys, events and bytes, and the next is made when this one has left. So a slow reader takes the
   memory of one slice, and its pace is its own.
3. For a conflated interest each slice of the log is a delivery: the latest event of each key, all other events, and a
   mark.
"""

from __future__ import annotations

from typing import Protocol

from waggle_hub.state.log import Event, Log

from .conflation import LatestByKey
from .encoding import chain, lock_snapshot_line, mark_line, snapshot_line, synced_line
from .feed import Cursor

_MAX_LOCKS = 500
"""Locks in one slice of a snapshot: about 2 ms."""


def snapshot_slice(cursor: Cursor, now: float, *, max_keys: int, max_bytes: int) -> list[bytes]:
    """Return the next lines of the snapshot. Its last slice moves the cursor to its revision and drops it."""
    snapshot = cursor.snapshot
    assert snapshot is not None
    lines = [lock_snapshot_line(cursor.feed.sub, lock) for lock in snapshot.read_locks(_MAX_LOCKS)]
    if not lines:  # locks come first, entries when no lock is left
        entries = snapshot.read(now, max_keys=max_keys, max_bytes=max_bytes)
        values = cursor.feed.interest.scope.values
        lines = [snapshot_line(cursor.feed.sub, entry, values) for entry in entries]
    # The end is announced with the last slice, not with an empty one after it.
    if snapshot.done:
        cursor.snapshot = None
        cursor.rev = cursor.after = snapshot.rev
        lines.append(synced_line(cursor.feed.sub, snapshot.rev))
    return lines


def log_slice(cursor: Cursor, log: Log, upto: int, *, max_events: int, max_bytes: int) -> list[bytes]:
    """Return the next lines of the log up to and including the revision `upto`, and move the cursor.

    A mark ends the lines when the cursor has reached `upto`. `max_events` is for a subscription with one pattern: with
    n patterns each event counts n times, since it is matched against each.
    """
    interest = cursor.feed.interest
    # A conflated cursor that reads the log gets what it would have got live: no outdated events.
    part: _Slice = _FullSlice(cursor) if interest.scope.conflate is None else _ConflatedSlice(cursor)
    matched = 0
    for commit in log.commits_after(cursor.rev):
        if commit.rev > upto or matched >= max_events or part.size >= max_bytes:
            break
        # Counted before the match: a log full of events for others must not make a slice long.
        matched += len(commit.events) * len(interest.patterns)
        events = [event for event in commit.events if interest.matches(event.ns, event.key, event.type)]
        if events:
            part.add(events)
        cursor.rev = commit.rev
    # Revisions without a commit in the log (taken back, or not kept) must not keep the cursor from its end.
    following = next(log.commits_after(cursor.rev), None)
    if following is None or following.rev > upto:
        cursor.rev = upto
    return part.lines(at_end=cursor.rev == upto)


class _Slice(Protocol):
    """The lines of one slice of the log, as they are collected."""

    @property
    def size(self) -> int:
        """About the number of bytes collected."""

    def add(self, events: list[Event]) -> None:
        """Collect the matching events of the next revision."""

    def lines(self, at_end: bool) -> list[bytes]:
        """Return the lines; `at_end` says that the cursor has caught up."""


class _FullSlice:
    """Every event, as it was."""

    def __init__(self, cursor: Cursor) -> None:
        self.size = 0
        self._cursor = cursor
        self._lines: list[bytes] = []

    def add(self, events: list[Event]) -> None:
        cursor, rev = self._cursor, events[0].rev
        # All events of one revision have one origin. The mark keeps the chain whole without them.
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
        # The mark tells the client that the replay is over, and that it is up to date.
        if at_end:
            self._put(mark_line(self._cursor.rev, self._cursor.feed.sub))
        return self._lines


class _ConflatedSlice:
    """One delivery: the mark at its end stands for all that is left out, also for events of the session itself."""

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
        # A slice without events for this cursor says nothing, unless the cursor has caught up.
        if not (at_end or self._latest):
            return []
        events = [event for event in self._latest if not cursor.suppresses(event)]
        lines = [line.text for line in chain(cursor.feed.interest, events, cursor.after, {})]
        cursor.after = cursor.rev
        return [*lines, mark_line(cursor.rev, cursor.feed.sub)]
