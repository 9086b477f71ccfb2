"""The witness: a file beside the store that says how far the store has come.

A store that has lost its newest writes without damage looks like a good, older one: its log was removed, emptied or
cut between two transactions, or the whole database is gone. The witness tells them apart.

Rules:
1. Each write has a number, which the store keeps in the same transaction (`ProgressRecord`).
2. The number is noted in the witness after the store has synced that write. The witness is not synced for it. So it may
   be behind the store after a power failure, and is never ahead of a store that has kept its writes.
3. A witness that is missing, damaged or behind the store says nothing. A store behind its witness is refused, or
   accepted in a new epoch, like a backup that was restored.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from zlib import crc32

import msgspec
from msgspec import Struct

from waggle_hub.state.persistence.records import HubRecord, ProgressRecord, StoredState, WriteBatch

from .backup_restore import restored
from .files import Files
from .interface import Store, StoreError

WITNESS = "witness"
"""The name of the file."""
_SIZE_BYTES = 256
"""Bytes of the file, always as many: a part of one sector, which a disk writes as a whole."""


class _Noted(Struct):
    """The content of the file."""

    writes: int
    epoch: str


class Witness:
    """The file `witness` of a data directory. `load` comes first; `number` and `note` belong to the writer's thread."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = directory / WITNESS
        self._file: int | None = None
        self._writes = 0
        self._epoch = ""

    def load(
        self, store: Store, progress: Callable[[int, int], None], *, accept_older: bool = False
    ) -> StoredState | None:
        """Load the store. Raises StoreError if it is behind the witness.

        With `accept_older`, such a store is changed like a restored backup: its sessions end, and the next hub begins a
        new epoch.
        """
        stored = store.load(progress)
        self._writes = _writes_in(stored)
        noted = self._read()
        if noted is None or noted.writes <= self._writes:
            return stored
        if not accept_older:
            raise self._older(stored, noted)
        self._writes = noted.writes  # so the store is not behind the witness any more
        changes = WriteBatch() if stored is None else restored(stored)
        if stored is None:
            hub = HubRecord(epoch="", rev=0)
            changes.records[hub.name] = hub
        self.number(changes)
        store.write(changes)
        self.note()
        store.close()  # SQLite: a look at an open database from this process would release its locks
        return store.load(progress)

    def number(self, changes: WriteBatch) -> None:
        """Add the number of the next write to it."""
        progress = ProgressRecord(writes=self._writes + 1)
        changes.records[progress.name] = progress
        for record in changes.records.values():
            if isinstance(record, HubRecord):
                self._epoch = record.epoch

    def note(self) -> None:
        """Note that the store has kept the write that was numbered last. If that fails, the witness is behind."""
        self._writes += 1
        text = msgspec.json.encode(_Noted(self._writes, self._epoch))
        with suppress(OSError):
            if self._file is None:
                self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
                os.pwrite(self._file, _line(text), 0)
                os.fsync(self._file)
                Files().sync_directory(self._directory)
            else:
                os.pwrite(self._file, _line(text), 0)

    def close(self) -> None:
        """Sync the file, and close it."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                os.fsync(file)
            os.close(file)

    def _read(self) -> _Noted | None:
        try:
            checksum, text = self._path.read_bytes().split(maxsplit=1)
            if int(checksum, 16) == crc32(text.rstrip()):
                return msgspec.json.decode(text, type=_Noted)
        except (OSError, ValueError):
            pass
        return None

    def _older(self, stored: StoredState | None, noted: _Noted) -> StoreError:
        place = "holds no data" if stored is None else f"holds older data: it ends with write {self._writes:,}"
        return StoreError(
            f"{self._directory} {place}, although the hub has synced write {noted.writes:,} there, in epoch "
            f"{noted.epoch}. A file was removed, emptied, cut or replaced. The hub has not changed anything. Put the "
            "file back, or a backup in its place with `waggle restore`. Or start the hub once with --accept-older: it "
            "continues from what is there, sessions and locks end, and a new epoch begins"
        )


def _writes_in(stored: StoredState | None) -> int:
    records = [] if stored is None else stored.records
    return next((record.writes for record in records if isinstance(record, ProgressRecord)), 0)


def _line(text: bytes) -> bytes:
    return (b"%08x %b" % (crc32(text), text)).ljust(_SIZE_BYTES)
