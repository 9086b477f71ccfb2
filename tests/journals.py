"""Journals for tests: they keep what they are given, fail and recover when they are told to."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path
from queue import Queue
from threading import Event
from typing import TypeVar

from msgspec import structs

from waggle_hub.journal.interface import Done, JournalListener
from waggle_hub.journal.serialization import KeptCommit, commits_of, decoder, encode, kept_commit
from waggle_hub.journal.sqlite.store import SqliteStore
from waggle_hub.journal.writer import Writer
from waggle_hub.state.log import Commit
from waggle_hub.state.persistence.records import KINDS, EntryId, Key, Record, StoredState, WriteBatch
from waggle_hub.state.store.entry import Entry

K = TypeVar("K")
V = TypeVar("V")
_DECODERS = {kind: decoder(record) for kind, record in KINDS.items()}
_decode_commit = decoder(KeptCommit).decode


class MemoryDisk:
    """The contents of a disk: records are stored and loaded as text."""

    def __init__(self) -> None:
        self.entries: dict[EntryId, Entry] = {}
        self.earlier: dict[tuple[str, str, int], Entry] = {}
        self.commits: list[bytes] = []
        self.records: dict[Key, bytes] = {}
        self.steady = True
        """True if everything that was shown was written."""

    @property
    def empty(self) -> bool:
        """True if nothing was ever stored."""
        return not (self.entries or self.earlier or self.commits or self.records)

    def write(self, changes: WriteBatch) -> None:
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

    def load(self) -> StoredState:
        bare = {place: _bare(entry) for place, entry in self.entries.items()}
        commits = commits_of([_decode_commit(text) for text in self.commits], bare)
        earlier: dict[EntryId, list[Entry]] = {}
        for (ns, key, _), entry in sorted(self.earlier.items(), reverse=True):
            earlier.setdefault((ns, key), []).append(entry)
        entries = [_with(entry, tuple(earlier.get(place, ()))) for place, entry in sorted(self.entries.items())]
        return StoredState(entries, commits, self.all_records(), self.steady)


class LateJournal:
    """Keeps everything, and says so when it is told to."""

    durability = "full"
    keeps = True

    def __init__(self, listener: JournalListener, disk: MemoryDisk | None = None) -> None:
        self.listener = listener
        self.disk = MemoryDisk() if disk is None else disk
        self.kept: list[Commit] = []
        self.waiting: deque[tuple[WriteBatch, Done]] = deque()
        self.owed: WriteBatch | None = None

    def write(self, changes: WriteBatch, done: Done) -> None:
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
        self.disk.steady = False
        self.owed = WriteBatch()

    def recover(self) -> None:
        """Everything that was owed is kept."""
        assert self.owed is not None
        self.disk.write(self.owed)
        self.kept += self.owed.commits
        self.owed = None
        self.disk.steady = True
        self.listener.on_recovery()

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


class WriterJournal(Writer):
    """The real journal over a real database, whose thread writes only when it is told to."""

    def __init__(self, listener: JournalListener, directory: Path) -> None:
        self._called: Queue[Callable[[], object]] = Queue()
        self.gate = _Gate(directory / "waggle.db")
        super().__init__(self.gate, "full", listener, self._called.put, retry=0.001)

    def write(self, changes: WriteBatch, done: Done) -> None:
        super().write(changes, done)
        if self._undone:
            assert self.gate.arrived.wait(10)

    def commit(self, error: Exception | None = None) -> None:
        """Let the write that is under way succeed, or fail, and say so."""
        if self.gate.arrived.is_set():
            self.gate.arrived.clear()
            self.gate.outcomes.put(error)
        self._called.get(timeout=10)()

    def stop(self) -> None:
        for _ in range(100):
            self.gate.outcomes.put(None)
        super().stop()
        self.gate.close()


class _Gate(SqliteStore):
    """A database in which each write waits for its outcome to be given."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.arrived = Event()
        """A write waits."""
        self.outcomes: Queue[Exception | None] = Queue()

    def write(self, changes: WriteBatch) -> None:
        self.arrived.set()
        error = self.outcomes.get(timeout=60)
        if error is not None:
            raise error
        super().write(changes)
