"""The event log: every change, in the order of revisions.

Rules:
1. A commit is everything that happened at one revision. It is never split, and its events share one time.
2. Revisions only grow. After a start they begin above all that were ever given, and that of an undone commit is not
   given again: a client may have seen it.
3. The log keeps a window of the newest commits, bounded by count, bytes and age. `floor` is the highest revision that
   has left the window: a cursor at or above `floor` can be sent everything that came after it.

Replay, resume, catch-up and history are reads of this log.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from msgspec import UNSET, Struct, UnsetType

from .store.entry import Entry

_EVENT_BYTES = 250
"""Bytes that an event takes beside its key and values: the struct, its commit, its place in the window."""


class LockInfo(Struct, frozen=True, eq=False, gc=False, kw_only=True):
    """The fields of a lock in an event; each type of event has some of them. The journal stores these names."""

    session: str
    token: int | UnsetType = UNSET
    mode: str | UnsetType = UNSET
    expires_at: float | UnsetType = UNSET
    names: list[str] | UnsetType = UNSET
    patterns: list[str] | UnsetType = UNSET
    waiting: int | UnsetType = UNSET


class Event(Struct, frozen=True, eq=False, gc=False, kw_only=True):
    """One change of a key or a lock, or one message on a channel. Fields that a type does not use are None."""

    type: str
    rev: int
    ns: str
    key: str
    at: float
    by: str
    origin: str | None
    """The session that caused it, for ``echo: false``; None if time did."""
    entry: Entry | None = None
    """The entry after the event: of set and touch."""
    prev: Entry | None = None
    """The entry before the event: of set, delete, expire, evict and touch."""
    data: bytes | None = None
    reason: str | None = None
    late: float | None = None
    lock: LockInfo | None = None
    """Of lock, renew, unlock and queue."""

    @property
    def persisted(self) -> bool:
        """Whether the journal stores it: not messages, and not events of entries that the journal does not store."""
        if self.type == "message":
            return False
        if self.lock is not None:
            return True
        return (self.entry is not None and self.entry.persisted) or (self.prev is not None and self.prev.persisted)

    @property
    def size(self) -> int:
        """Bytes that the event may keep in memory."""
        return (
            _EVENT_BYTES
            + len(self.key)
            + (self.entry.size if self.entry else 0)
            + (self.prev.size if self.prev else 0)
            + (len(self.data) if self.data else 0)
        )


class Commit(Struct, frozen=True, eq=False, gc=False):
    """Everything that happened at one revision, in order."""

    rev: int
    events: tuple[Event, ...]
    size: int


class Log:
    """The window of the newest commits, and the counter of revisions."""

    def __init__(self, rev: int, *, max_events: int, max_bytes: int, max_age: float | None = None) -> None:
        self.rev = rev
        """The revision of the newest change."""
        self.floor = rev
        """The highest revision that has left the window."""
        self.events = 0
        self.bytes = 0
        self._commits: list[Commit] = []
        self._start = 0
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._max_age = max_age

    def append(self, events: tuple[Event, ...]) -> Commit:
        """Append a commit of these events, and drop the oldest commits beyond the bounds."""
        commit = Commit(events[0].rev, events, sum(event.size for event in events))
        assert commit.rev > self.rev
        self.rev = commit.rev
        self._commits.append(commit)
        self.events += len(events)
        self.bytes += commit.size
        self._trim()
        return commit

    def load(self, commits: list[Commit], floor: int) -> None:
        """Load a stored window into an empty log: the commits above `floor`, oldest first."""
        assert not self._commits
        self._commits = [commit for commit in commits if commit.rev > floor]
        self.floor = floor
        self.events = sum(len(commit.events) for commit in self._commits)
        self.bytes = sum(commit.size for commit in self._commits)
        self._trim()

    def undo(self, commit: Commit) -> None:
        """Remove the newest commit, if it is still in the window. Its revision is not given again."""
        if len(self) and self._commits[-1] is commit:
            self._commits.pop()
            self.events -= len(commit.events)
            self.bytes -= commit.size

    def commits_after(self, rev: int) -> Iterator[Commit]:
        """Yield the commits above `rev`, oldest first. The log must not change meanwhile."""
        assert rev >= self.floor, "the window no longer reaches back that far"
        first = bisect_right(self._commits, rev, lo=self._start, key=lambda commit: commit.rev)
        for index in range(first, len(self._commits)):
            yield self._commits[index]

    def __len__(self) -> int:
        return len(self._commits) - self._start

    def _trim(self) -> None:
        while self.events > self._max_events or self.bytes > self._max_bytes:
            self._drop_oldest()
        if self._max_age is not None and len(self):
            since = self._commits[-1].events[0].at - self._max_age
            while self._commits[self._start].events[0].at < since:
                self._drop_oldest()

    def _drop_oldest(self) -> None:
        # The list is cut rarely: cutting it at every drop would move all commits each time.
        commit = self._commits[self._start]
        self.floor = commit.rev
        self.events -= len(commit.events)
        self.bytes -= commit.size
        self._commits[self._start] = _DROPPED
        self._start += 1
        if self._start > 1024 and self._start * 2 > len(self._commits):
            del self._commits[: self._start]
            self._start = 0

    def check(self) -> None:
        """Assert the rules of this module."""
        commits = self._commits[self._start :]
        revs = [commit.rev for commit in commits]
        assert revs == sorted(set(revs)), "revisions only grow"
        assert not revs or self.floor < revs[0] <= revs[-1] <= self.rev
        for commit in commits:
            assert commit.events
            assert all(event.rev == commit.rev for event in commit.events)
        assert self.events == sum(len(commit.events) for commit in commits)
        assert self.bytes == sum(commit.size for commit in commits)
        assert self.events <= self._max_events
        assert self.bytes <= self._max_bytes


_DROPPED = Commit(0, (), 0)
