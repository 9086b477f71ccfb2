"""The data directory of one hub.

    hub.lock                          held by the running hub, with its pid and address
    waggle.db (-wal, -shm)            the data, in SQLite
    waggle.json                       or in one JSON document
    witness                           how far the data has come
    backups/waggle-20260131-235959.db
    restored-20260131-235959.db       a backup that will replace the data at the next start
    replaced-20260131-235959/         the data that a backup replaced

Rules:
1. Nothing in the directory is touched without two locks, which the system releases when the process ends: one on
   the directory itself, and one on `hub.lock`. The first holds although `hub.lock` is deleted under a running hub. The
   second also works on file systems that cannot lock a directory (NFS), and says which hub it is.
2. A restore is one rename: the backup is verified, changed and synced under another name, then renamed to
   `restored-...`. From then on it is decided; moving the present data aside and the backup into its place can break
   off at any moment, and the next start completes it.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import re
import shutil
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

import msgspec
from msgspec import Struct

from .backup_restore import restored
from .files import Files, explained, forget, sync_path, write_partial
from .interface import Store, StoreError
from .json.store import DocumentStore
from .sqlite.store import SqliteStore
from .sqlite.wal_check import index_of, log_of
from .witness import WITNESS

_STORES: dict[str, tuple[str, Callable[[Path], Store]]] = {
    "sqlite": ("waggle.db", SqliteStore),
    "json": ("waggle.json", DocumentStore),
}
_BACKUP = re.compile(r"waggle-(\d{8}-\d{6})(?:\.(\d+))?\.(?:db|json)")
_REMEDY = "Give this user the right to write there, or name another directory"


class Holder(Struct):
    """The hub that holds the lock."""

    pid: int
    host: str
    address: str
    since: str


class DataDirectory:
    """A data directory, locked until `close`. Raises StoreError if another hub has it."""

    def __init__(
        self, path: Path, address: str = "", *, clock: Callable[[], float] = time.time, files: Files | None = None
    ) -> None:
        self.path = path
        self.backups = path / "backups"
        self._clock = clock
        self._files = Files() if files is None else files
        self._suffix = ""
        with explained(path, "used", _REMEDY):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            with ExitStack() as opened:
                self._lock_directory(opened)
                self._lock = os.open(path / "hub.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                opened.callback(os.close, self._lock)
                self._take(address)
                forget(self._files, write_partial(self._files, path / "probe", b""))
                self._settle()
                self._opened = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the locks."""
        os.ftruncate(self._lock, 0)
        self._opened.close()

    def store(self, kind: str) -> Store:
        """Open the store of this kind, sqlite or json. Raises StoreError if the data is in the other kind."""
        for other, (name, _) in _STORES.items():
            if other != kind and (self.path / name).exists():
                raise StoreError(
                    f"{self.path} has its data in {name}, which is the store {other}: start the hub with that, or name "
                    "another directory"
                )
        name, opened = _STORES[kind]
        self._suffix = Path(name).suffix
        return opened(self.path / name)

    def backup(self, store: Store, keep: int) -> Path:
        """Make a backup of the open store, and remove the oldest backups beyond `keep`."""
        with explained(self.backups, "written"):
            self.backups.mkdir(mode=0o700, exist_ok=True)
            self._files.sync_directory(self.path)
            for broken_off in self.backups.glob("*.partial"):
                forget(self._files, broken_off)
            path = self._unused(self.backups / f"waggle{self._suffix}")
            store.backup(path)
            older = sorted((age, other) for other in self.backups.iterdir() if other != path and (age := _age(other)))
            for _, other in older[: max(len(older) + 1 - keep, 0)]:
                forget(self._files, other)
        return path

    def restore(self, backup: Path) -> tuple[Path, Path | None]:
        """Make a backup the data. Return its place, and the place to which the present data was moved, if any."""
        with explained(backup, "restored"):
            name, opened = _STORES[_kind_of(backup)]
            copy = self.path / name.replace("waggle", "restoring")
            self._clear(copy)
            try:
                shutil.copyfile(backup, copy)
                if log_of(backup).exists():
                    shutil.copyfile(log_of(backup), log_of(copy))
                with opened(copy) as store:
                    _make_restored(store, backup)
                if log_of(copy).exists():
                    raise StoreError(f"{backup} cannot be restored, and nothing has changed: there is no room for it")
                sync_path(self._files, copy)
                self._files.rename(copy, self._unused(self.path / name.replace("waggle", "restored")))
                self._files.sync_directory(self.path)
            finally:
                self._clear(copy)
            (settled,) = self._settle()
        return settled

    def _lock_directory(self, opened: ExitStack) -> None:
        directory = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        opened.callback(os.close, directory)
        with suppress(OSError):  # of a file system that cannot
            self._lock_alone(directory)

    def _lock_alone(self, file: int) -> None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(
                f"{self.path} is in use by {self._holder()}. Stop that hub, or name another directory"
            ) from None

    def _take(self, address: str) -> None:
        """Lock the lock file, and write into it which hub has it."""
        self._lock_alone(self._lock)
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(self._clock()))
        holder = Holder(os.getpid(), socket.gethostname(), address, since)
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, msgspec.json.encode(holder), 0)

    def _holder(self) -> str:
        try:
            holder = msgspec.json.decode((self.path / "hub.lock").read_bytes(), type=Holder)
        except (msgspec.DecodeError, OSError):  # the hub is about to write it, or the file was deleted
            return "another hub"
        at = f" at {holder.address}" if holder.address else ""
        return f"another hub{at}: process {holder.pid} on {holder.host}, since {holder.since}"

    def _settle(self) -> list[tuple[Path, Path | None]]:
        """Complete a decided restore. Return its place, and the place of the replaced data."""
        settled: list[tuple[Path, Path | None]] = []
        for prepared in sorted(self.path.glob("restored-*")):
            aside = self.path / prepared.stem.replace("restored", "replaced")
            databases = [self.path / name for name, _ in _STORES.values()]
            logs = [of(database) for database in databases for of in (log_of, index_of)]
            for file in (*databases, *logs, self.path / WITNESS):
                if file.exists():
                    aside.mkdir(mode=0o700, exist_ok=True)
                    self._files.rename(file, aside / file.name)
            if aside.exists():
                self._files.sync_directory(aside)
            self._files.sync_directory(self.path)
            place = self.path / f"waggle{prepared.suffix}"
            self._files.rename(prepared, place)
            self._files.sync_directory(self.path)
            settled.append((place, aside if aside.exists() else None))
        return settled

    def _unused(self, path: Path) -> Path:
        """Return a name for this file that carries its time and is not in use."""
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(self._clock()))
        ages = [age for other in path.parent.iterdir() if (age := _age(other)) is not None]
        newest = max((number for made, number in ages if made == stamp), default=-1)
        for number in itertools.count(newest + 1):  # an older one may be gone, and its number is not the newest's
            name = f"{stamp}.{number}" if number else stamp
            found = path.with_name(f"{path.stem}-{name}{path.suffix}")
            if not found.exists() and not path.with_name(f"replaced-{name}").exists():
                return found
        raise AssertionError("numbers do not end")

    def _clear(self, database: Path) -> None:
        for file in (database, log_of(database), index_of(database)):
            forget(self._files, file)


def newest_backup(directory: Path) -> float:
    """Return the time of the newest backup in a data directory, in Unix seconds; 0 if there is none."""
    times = [0.0]
    for path in (directory / "backups").glob("*"):
        if _age(path) is not None:
            with suppress(FileNotFoundError):
                times.append(path.stat().st_mtime)
    return max(times)


def _make_restored(store: Store, backup: Path) -> None:
    """Change a copy of a backup so that a hub may start on it."""
    try:
        kept = store.load(lambda done, total: None)
        if kept is None:
            raise StoreError("there is nothing in it")
        store.write(restored(kept))
    except StoreError as error:
        raise StoreError(f"{backup} cannot be restored, and nothing has changed: {error}") from error


def _kind_of(backup: Path) -> str:
    with backup.open("rb") as file:
        return "json" if file.read(1) == b"{" else "sqlite"


def _age(backup: Path) -> tuple[str, int] | None:
    """Return the key that orders backups by age; None for another file."""
    found = _BACKUP.fullmatch(backup.name)
    return None if found is None else (found[1], int(found[2] or 0))
