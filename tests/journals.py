"""A journal for tests: it keeps everything in memory, and says so, fails and recovers when it is told to."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TypeVar

from msgspec import structs

from waggle_hub.journal.forms import KeptCommit, commits_of, decoder, encode, kept_commit
from waggle_hub.journal.port import Done
from waggle_hub.state.keyspace import Entry
from waggle_hub.state.log import Commit
from waggle_hub.state.records import KINDS, Changes, Kept, Key, Place, Record

K = TypeVar("K")
V = TypeVar("V")
_DECODERS = {kind: decoder(record) for kind, record in KINDS.items()}
_decode_commit = decoder(KeptCommit).decode


class MemoryDisk:
    """What would be on a disk: everything goes there and comes back as text."""

    def __init__(self) -> None:
        self.entries: dict[Place, Entry] = {}
        self.earlier: dict[tuple[str, str, int], Entry] = {}
        self.commits: list[bytes] = []
        self.records: dict[Key, bytes] = {}

    def write(self, changes: Changes) -> None:
        for place, entry in changes.entries.items():
            _put(self.entries, place, entry)
        for name, earlier in changes.earlier.items():
            _put(self.earlier, name, earlier)
        for commit in changes.commits:
            kept = kept_commit(commit)
            assert kept is not None, "there is something to keep"
            self.commits.append(encode(kept))
        for key, record in changes.records.items():
            assert record is None or record.name == key
            _put(self.records, key, None if record is None else encode(record))
        self.commits = [text for text in self.commits if _decode_commit(text).rev > changes.floor]

    def all_records(self) -> list[Record]:
        return [_DECODERS[str(key[0])].decode(text) for key, text in self.records.items()]

    def load(self) -> Kept:
        bare = {place: _bare(entry) for place, entry in self.entries.items()}
        commits = commits_of([_decode_commit(text) for text in self.commits], bare)
        earlier: dict[Place, list[Entry]] = {}
        for (ns, key, _), entry in sorted(self.earlier.items(), reverse=True):
            earlier.setdefault((ns, key), []).append(entry)
        entries = [_with(entry, tuple(earlier.get(place, ()))) for place, entry in sorted(self.entries.items())]
        return Kept(entries, commits, self.all_records())


class LateJournal:
    """Keeps everything, and says so when it is told to."""

    durability = "full"
    keeps = True

    def __init__(self, disk: MemoryDisk | None = None) -> None:
        self.on_failure: Callable[[Exception], None] = lambda error: None
        self.on_recovery: Callable[[], None] = lambda: None
        self.disk = MemoryDisk() if disk is None else disk
        self.kept: list[Commit] = []
        self.waiting: deque[tuple[Changes, Done]] = deque()
        self.owed: Changes | None = None

    def write(self, changes: Changes, done: Done) -> None:
        if self.owed is not None:
            self.owed.add(changes)
            done(None)
        else:
            self.waiting.append((changes, done))

    def commit(self, error: Exception | None = None) -> None:
        """Say that the oldest batch is kept; or that it is not, and nothing that came after it."""
        if error is None:
            changes, done = self.waiting.popleft()
            self.disk.write(changes)
            self.kept += changes.commits
            done(None)
            return
        waiting, self.waiting = self.waiting, deque()
        for _, done in waiting:
            done(error)
        self.owed = Changes()

    def recover(self) -> None:
        """Everything that was owed is kept."""
        assert self.owed is not None
        self.disk.write(self.owed)
        self.kept += self.owed.commits
        self.owed = None
        self.on_recovery()

    def recall(self) -> list[Record]:
        return self.disk.all_records()

    def settle(self, done: Callable[[], None]) -> None:
        done()

    def stop(self) -> None:
        pass


def _put(values: dict[K, V], key: K, value: V | None) -> None:
    if value is None:
        values.pop(key, None)
    else:
        values[key] = value


def _bare(entry: Entry) -> Entry:
    return structs.replace(entry, earlier=())


def _with(entry: Entry, earlier: tuple[Entry, ...]) -> Entry:
    return structs.replace(entry, earlier=earlier)
