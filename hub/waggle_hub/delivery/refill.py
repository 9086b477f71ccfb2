"""Refill: bring a cursor that is behind up to now, a slice at a time (G4, G5, G12).

The way of a cursor: its snapshot, if it has one, then `synced`; then the log from where it stands; then a mark, and it
is live. A slice is bounded in keys, events and bytes, and the next comes when this one has left: so a slow reader
costs one slice of memory, and its own pace is nobody else's.
"""

from __future__ import annotations

from ..state.log import Commit, Event, Log
from .encoding import event_body, event_line, mark_line, snapshot_line, synced_line
from .feed import Cursor


def snapshot_slice(cursor: Cursor, now: float, *, max_keys: int, max_bytes: int) -> list[bytes]:
    """The next lines of the cursor's snapshot. At its end the cursor stands at its revision, and has none."""
    snapshot = cursor.snapshot
    assert snapshot is not None
    scope = cursor.feed.interest.scope
    entries = snapshot.read(now, max_keys=max_keys, max_bytes=max_bytes)
    lines = []
    if "set" in scope.types:
        lines = [snapshot_line(cursor.feed.sub, entry, scope.values) for entry in entries]
    if snapshot.done:
        cursor.snapshot = None
        cursor.rev = cursor.after = snapshot.rev
        lines.append(synced_line(cursor.feed.sub, snapshot.rev))
    return lines


def log_slice(cursor: Cursor, log: Log, upto: int, *, max_events: int, max_bytes: int) -> list[bytes]:
    """The next lines of the log up to and with the revision `upto`; a mark ends them when the cursor gets there.

    `max_events` is for a subscription of one pattern: an event is tried against each.
    """
    patterns = len(cursor.feed.interest.patterns)
    lines: list[bytes] = []
    looked = size = 0
    for commit in log.after(cursor.rev):
        if commit.rev > upto or looked >= max_events or size >= max_bytes:
            break
        looked += len(commit.events) * patterns
        for line in _commit_lines(cursor, commit):
            lines.append(line)
            size += len(line)
        cursor.rev = commit.rev
    if log.rev == cursor.rev or _next_rev(log, cursor.rev) > upto:
        cursor.rev = upto
        lines.append(mark_line(upto, cursor.feed.sub))
    return lines


def _next_rev(log: Log, rev: int) -> int:
    return next(iter(log.after(rev))).rev


def _commit_lines(cursor: Cursor, commit: Commit) -> list[bytes]:
    interest = cursor.feed.interest
    events = [event for event in commit.events if interest.matches(event.ns, event.key, event.type)]
    if not events:
        return []
    if cursor.own(events[0]):
        return [mark_line(commit.rev, interest.sub)]
    lines = [_line(cursor, event, number < len(events)) for number, event in enumerate(events, 1)]
    cursor.after = commit.rev
    return lines


def _line(cursor: Cursor, event: Event, more: bool) -> bytes:
    scope = cursor.feed.interest.scope
    body = event_body(event, scope.values, scope.prev)
    return event_line(cursor.feed.sub, event.rev, cursor.after, more, body)
