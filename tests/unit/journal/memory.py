"""A store that keeps everything in memory: what the contract means."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Self

from tests.journals import MemoryDisk
from waggle_hub.journal.interface import StoreError
from waggle_hub.state.persistence.records import Record, StoredState, WriteBatch

DISK: dict[Path, MemoryDisk] = {}
"""Stored files, by path."""


class MemoryStore:
    """Keeps entries, commits and records on a disk that is none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fails = False
        self.disk = DISK.setdefault(path, MemoryDisk())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def load(self, progress: Callable[[int, int], None]) -> StoredState | None:
        progress(len(self.disk.entries), len(self.disk.entries))
        return None if self.disk.empty else self.disk.load()

    def records(self) -> list[Record]:
        return self.disk.all_records()

    def write(self, changes: WriteBatch) -> None:
        self.probe()
        self.disk.write(changes)

    def check_place(self) -> None:
        pass

    def probe(self) -> None:
        if self.fails:
            raise StoreError("it was told to fail")

    def backup(self, path: Path) -> None:
        DISK[path] = deepcopy(self.disk)

    def close(self) -> None:
        pass
