"""The few calls with which the journal changes files, and the errors they become.

Rules:
1. Data that must not be lost is written under another name, synced, renamed, and then the directory is synced. So a
   name stands for one whole content, the old or the new, whenever the power fails.
2. A name that ends in `.partial` is never read, and may be removed by any hub.

`Files` is a port, so that a test can put a disk below it that loses its power.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .interface import StoreError

_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota of the disk is used up",
    errno.EFBIG: "the limit on the size of a file is reached",
    errno.EROFS: "the file system is read-only",
    errno.EIO: "the disk reports an error",
    errno.EACCES: "permission is denied",
    errno.EPERM: "permission is denied",
    errno.EEXIST: "there is a file of that name",
    errno.ENOTDIR: "it would lie within a file",
}
_PROBE_SPARE_BYTES = 1024 * 1024
"""Bytes that are written to find out whether there is room: more than most writes need."""


class Files:
    """The files of the operating system."""

    def read(self, path: Path) -> bytes:
        return path.read_bytes()

    def create(self, path: Path) -> int:
        """Open an empty file for writing; an old content is discarded."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)

    def write(self, file: int, data: bytes) -> None:
        """Write all of the data."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(file, rest) :]

    def sync(self, file: int) -> None:
        os.fsync(file)

    def close(self, file: int) -> None:
        os.close(file)

    def rename(self, source: Path, target: Path) -> None:
        """Rename a file over another, in one step."""
        os.replace(source, target)

    def remove(self, path: Path) -> None:
        os.remove(path)

    def identity(self, path: Path) -> tuple[int, int] | None:
        """Return the numbers of the device and the inode of a file; None if there is no file of this name."""
        try:
            status = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return status.st_dev, status.st_ino

    def sync_directory(self, path: Path) -> None:
        """Sync the names in a directory."""
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


class Places:
    """Files that are open, and the names under which they were found."""

    def __init__(self, files: Files, *paths: Path) -> None:
        self._files = files
        self._found = {path: identity for path in paths if (identity := files.identity(path)) is not None}

    def check(self) -> None:
        """Raise StoreError if a name stands for another file now, or for none: what is written would be lost."""
        for path, identity in self._found.items():
            if self._files.identity(path) != identity:
                raise StoreError(
                    f"{path} was removed or replaced while the hub ran, and nothing can be kept there. Put it back, "
                    "or stop the hub"
                )


def partial(path: Path) -> Path:
    """Return the name under which a file is prepared."""
    return path.with_name(f"{path.name}.partial")


def write_partial(files: Files, path: Path, data: bytes) -> Path:
    """Write and sync the content of a file under its partial name. An OSError leaves nothing behind."""
    prepared = partial(path)
    try:
        file = files.create(prepared)
        try:
            files.write(file, data)
            files.sync(file)
        finally:
            files.close(file)
    except OSError:
        forget(files, prepared)
        raise
    return prepared


def settle(files: Files, prepared: Path, path: Path) -> None:
    """Rename a prepared, synced file to its place. After an OSError it may be in place, and is nowhere else."""
    try:
        files.rename(prepared, path)
    except OSError:
        forget(files, prepared)
        raise
    files.sync_directory(path.parent)


def forget(files: Files, path: Path) -> None:
    """Remove a file if it exists and can be removed."""
    with suppress(OSError):
        files.remove(path)


def probe(files: Files, directory: Path, size: int = 0) -> None:
    """Raise OSError unless there is room for `size` bytes and a little more."""
    forget(files, write_partial(files, directory / "probe", bytes(max(size, _PROBE_SPARE_BYTES))))


def sync_path(files: Files, path: Path) -> None:
    """Sync a file that another program has written."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        files.sync(file)
    finally:
        files.close(file)


@contextmanager
def explained(path: Path, doing: str, remedy: str = "") -> Iterator[None]:
    """Make a StoreError, in plain words, of a call that failed."""
    try:
        yield
    except OSError as error:
        word = _REASONS.get(error.errno or 0, "the system refuses")
        raise StoreError(f"{path} cannot be {doing}: {word} ({error}). {remedy}".rstrip()) from error


def damaged(path: Path, what: str) -> StoreError:
    """Make the error for a file whose content is not what was written."""
    return StoreError(f"{path} is damaged: {what}. {_remedy(path)}")


def foreign(path: Path) -> StoreError:
    """Make the error for a file that no hub has written."""
    return StoreError(
        f"{path} is not the data of a hub, or its beginning is damaged. If it is not, name another directory. "
        f"Otherwise: {_remedy(path)}"
    )


def newer(path: Path, format: int, newest: int) -> StoreError:
    """Make the error for a file of an unknown, newer format."""
    return StoreError(
        f"{path} is of format {format}, and this hub knows formats 1 to {newest}. The hub has not changed it. Start "
        "the newer hub that wrote it, or put a backup from before in its place with `waggle restore`"
    )


def _remedy(path: Path) -> str:
    return (
        "The hub has not changed it. Put a backup in its place with `waggle restore`; backups are in "
        f"{path.parent / 'backups'}"
    )
