"""The kinds of stores, and how one lets each of them fail half-way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.unit.journal.memory import MemoryStore
from waggle_hub.journal.files import Files
from waggle_hub.journal.json.store import DocumentStore
from waggle_hub.journal.sqlite.store import SqliteStore


class FailingFiles(Files):
    """Files of which the call after so many others fails, as on a disk that is full."""

    calls: int | None = None

    def _call(self) -> None:
        if self.calls is not None:
            self.calls -= 1
            if self.calls == -1:
                raise OSError(28, "No space left on device")

    def create(self, path: Path) -> int:
        self._call()
        return super().create(path)

    def write(self, file: int, data: bytes) -> None:
        self._call()
        super().write(file, data)

    def sync(self, file: int) -> None:
        self._call()
        super().sync(file)

    def rename(self, source: Path, target: Path) -> None:
        self._call()
        super().rename(source, target)

    def sync_directory(self, path: Path) -> None:
        self._call()
        super().sync_directory(path)


@dataclass(frozen=True)
class Kind:
    """A kind of store."""

    name: str
    open: Callable[[Path], Any]
    failing: Callable[[Any, int], Any]
    """A block in which a write of this store fails after so many steps of its work, if it takes so many."""

    def __str__(self) -> str:
        return self.name


@contextmanager
def _memory_failing(store: MemoryStore, steps: int) -> Iterator[None]:
    store.fails = True
    try:
        yield
    finally:
        store.fails = False


@contextmanager
def _sqlite_failing(store: SqliteStore, steps: int) -> Iterator[None]:
    db = store._open()
    db.set_progress_handler(lambda: 1, 1 + steps * 10)
    try:
        yield
    finally:
        db.set_progress_handler(None, 0)


@contextmanager
def _document_failing(store: DocumentStore, steps: int) -> Iterator[None]:
    files = store._files
    assert isinstance(files, FailingFiles)
    files.calls = steps
    try:
        yield
    finally:
        files.calls = None


MEMORY = Kind("memory", MemoryStore, _memory_failing)
SQLITE = Kind("sqlite", SqliteStore, _sqlite_failing)
JSON = Kind("json", lambda path: DocumentStore(path, FailingFiles()), _document_failing)
