"""The event log: every change, in the one order of revisions.

Rules:
1. A commit is all that happened at one revision; it is never split, and its events share one time.
2. Revisions only grow. After a start they begin above all given before, and what was taken back is not given again.
3. The log keeps a window of the newest commits, bounded by count, bytes and age. `floor` is the highest revision that
   has left it: whoever stands at or above `floor` can be told everything that came after.

Replay, resume, refill and history are reads of this log.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from msgspec import UNSET, Struct, UnsetType

from .store.entry import Entry

_EVENT_BYTES = 250
"""What an event costs beyond key and values: the struct, its commit, its place in the window."""


class LockInfo(Struct, frozen=True, eq=False, gc=False, kw_only=True):
    """What an event tells of a lock, as far as its type has it."""

    session: str
    token: int | UnsetType = UNSET
    mode: str | UnsetType = UNSET
    expires_at: float | UnsetType = UNSET
    names: list[str] | UnsetType = UNSET
    patterns: list[str] | UnsetType = UNSET
    waiting: int | UnsetType = UNSET


class Event(Struct, frozen=True, eq=False, gc=False, kw_only=True):
    """What happened to one key, lock or channel. Fields that a type does not use are None."""

    type: str
    rev: int
    ns: str
    key: str
    at: float
    by: str
    origin: str | None
    """The session that did it, for ``echo: false``; None for what time does."""
    entry: Entry | None = None
    """The entry as it is now: set and touch."""
    prev: Entry | None = None
    """The entry as it was before: set, delete, expire, evict and touch."""
    data: bytes | None = None
    reason: str | None = None
    late: float | None = None
    lock: LockInfo | None = None
    """Of lock, renew, unlock and queue."""

    @property
    def persisted(self) -> bool:
        """Whether the journal keeps it: all but messages, and what happens to entries that it does not keep."""
        if self.type == "message":
            return False
        if self.lock is not None:
            return True
        return (self.entry is not None and self.entry.persisted) or (self.prev is not None and self.prev.persisted)

    @property
    def size(self) -> int:
        """Bytes that this event may keep in memory."""
        return (
            _EVENT_BYTES
            + len(self.key)
            + (self.entry.size if self.entry else 0)
            + (self.prev.size if self.prev else 0)
            + (len(self.data) if self.data else 0)
        )


class Commit(Struct, frozen=True, eq=False, gc=False):
    """All that happened at one revision, in the order in which it happened."""

    rev: int
    events: tuple[Event, ...]
    size: int


class Log:
    """The newest commits, and the revision counter."""

    def __init__(self, rev: int, *, max_events: int, max_bytes: int, max_age: float | None = None) -> None:
        self.rev = rev
        """The revision of the newest change."""
        self.floor = rev
        """The highest revision that is no longer in the window."""
        self.events = 0
        self.bytes = 0
        self._commits: list[Commit] = []
        self._start = 0
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._max_age = max_age

    def append(self, events: tuple[Event, ...]) -> Commit:
        """Add what happened at the next revision, and let the oldest leave the window."""
        commit = Commit(events[0].rev, events, sum(event.size for event in events))
        assert commit.rev > self.rev
        self.rev = commit.rev
        self._commits.append(commit)
        self.events += len(events)
        self.bytes += commit.size
        self._trim()
        return commit

    def load(self, commits: list[Commit], floor: int) -> None:
        """Begin with a window that was kept, oldest first, after `floor`."""
        assert not self._commits
        self._commits = [commit for commit in commits if commit.rev > floor]
        self.floor = floor
        self.events = sum(len(commit.events) for commit in self._commits)
        self.bytes = sum(commit.size for commit in self._commits)
        self._trim()

    def undo(self, commit: Commit) -> None:
        """The newest commit has not happened. Its revision is not given again."""
        if len(self) and self._commits[-1] is commit:
            self._commits.pop()
            self.events -= len(commit.events)
            self.bytes -= commit.size

    def commits_after(self, rev: int) -> Iterator[Commit]:
        """The commits above `rev`, oldest first. The log must not change while this is read."""
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
        commit = self._commits[self._start]
        self.floor = commit.rev
        self.events -= len(commit.events)
        self.bytes -= commit.size
        self._commits[self._start] = _GONE
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


_GONE = Commit(0, (), 0)
