"""A disk that can lose its power: it knows what is only in memory, and what of that may be on the disk after all.

Rules, the weakest that POSIX allows:
1. Data is safe after `sync` of its file. Until then each sector of it may be on the disk or not, in any order, and so
   may the new size.
2. A name is safe after `sync_directory`. Until then each creation, renaming and removal may be on the disk or not; a
   renaming is there as a whole or not at all.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from waggle_hub.journal.files import Files

SECTOR = 512


class _File:
    def __init__(self) -> None:
        self.safe = b""
        self.now = b""

    def after_power_failure(self, chance: random.Random) -> bytes:
        """Some sectors as they are in memory, and the others as they were."""
        size = chance.choice([len(self.safe), len(self.now)])
        longest = max(len(self.safe), len(self.now))
        versions = self.safe.ljust(longest, b"\0"), self.now.ljust(longest, b"\0")
        share = chance.choice([0.0, 0.1, 0.9, 1.0])
        return b"".join(versions[chance.random() < share][at : at + SECTOR] for at in range(0, longest, SECTOR))[:size]


Names = dict[Path, _File]


class Disk(Files):
    """Files on it. `on_call` is called before each call has its effect, and may raise."""

    def __init__(self, contents: dict[Path, bytes] | None = None) -> None:
        self.on_call: Callable[[str], None] = lambda call: None
        self._names: Names = {}
        self._open: dict[int, _File] = {}
        self._unsafe: list[Callable[[Names], object]] = []
        for path, content in (contents or {}).items():
            self._names[path] = file = _File()
            file.safe = file.now = content
        self._safe_names = dict(self._names)

    def after_power_failure(self, chance: random.Random) -> Disk:
        """Return a disk as a power failure may leave it."""
        names = dict(self._safe_names)
        share = chance.choice([0.0, 0.5, 1.0])
        for change in self._unsafe:
            if chance.random() < share:
                change(names)
        return Disk({path: file.after_power_failure(chance) for path, file in names.items()})

    def paths(self) -> set[Path]:
        return set(self._names)

    def read(self, path: Path) -> bytes:
        if path not in self._names:
            raise FileNotFoundError(path)
        return self._names[path].now

    def create(self, path: Path) -> int:
        self.on_call("create")
        if path not in self._names:
            file = _File()
            self._change(lambda names: names.__setitem__(path, file))
        self._names[path].now = b""
        number = len(self._open)
        self._open[number] = self._names[path]
        return number

    def write(self, file: int, data: bytes) -> None:
        self.on_call("write")
        self._open[file].now += data

    def sync(self, file: int) -> None:
        self.on_call("sync")
        self._open[file].safe = self._open[file].now

    def close(self, file: int) -> None:
        self._open[file] = _File()

    def rename(self, source: Path, target: Path) -> None:
        self.on_call("rename")
        file = self._names[source]

        def move(names: Names) -> None:
            names.pop(source, None)
            names[target] = file

        self._change(move)

    def remove(self, path: Path) -> None:
        self.on_call("remove")
        if path not in self._names:
            raise FileNotFoundError(path)
        self._change(lambda names: names.pop(path, None))

    def sync_directory(self, path: Path) -> None:
        self.on_call("sync_directory")
        self._safe_names = dict(self._names)
        self._unsafe = []

    def _change(self, change: Callable[[Names], object]) -> None:
        change(self._names)
        self._unsafe.append(change)
