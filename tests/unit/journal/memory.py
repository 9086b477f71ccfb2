"""A store that keeps everything in memory, as plainly as can be: what the contract means."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any, Self

from msgspec import structs

from waggle_hub.journal.forms import KeptCommit, commits_with, kept_commit
from waggle_hub.journal.port import StoreError
from waggle_hub.state.keyspace import Entry
from waggle_hub.state.records import Changes, Kept, Record

DISK: dict[Path, dict[str, dict[Any, Any]]] = {}
"""What is kept, by path."""


class MemoryStore:
    """Keeps entries, commits and records as they come."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fails = False
        self._kept = DISK.setdefault(path, {"entries": {}, "earlier": {}, "commits": {}, "records": {}})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def load(self, progress: Callable[[int, int], None]) -> Kept | None:
        kept = self._kept
        entries: list[Entry] = []
        for place, entry in sorted(kept["entries"].items()):
            versions = sorted(name for name in kept["earlier"] if name[:2] == place)
            entries.append(structs.replace(entry, earlier=tuple(kept["earlier"][name] for name in reversed(versions))))
        progress(len(entries), len(entries))
        commits: list[KeptCommit] = list(kept["commits"].values())
        if not any(kept.values()):
            return None
        return Kept(entries, commits_with(commits, entries), self.records())

    def records(self) -> list[Record]:
        return list(self._kept["records"].values())

    def write(self, changes: Changes) -> None:
        if self.fails:
            raise StoreError("it was told to fail")
        kept = self._kept
        for part, changed in (
            ("entries", changes.entries), ("earlier", changes.earlier), ("records", changes.records),
            ("commits", {commit.rev: kept_commit(commit) for commit in changes.commits}),
        ):  # fmt: skip
            kept[part].update(changed)
            kept[part] = {name: thing for name, thing in kept[part].items() if thing is not None}
        kept["commits"] = {rev: commit for rev, commit in kept["commits"].items() if rev > changes.floor}

    def probe(self) -> None:
        if self.fails:
            raise StoreError("it was told to fail")

    def backup(self, path: Path) -> None:
        DISK[path] = deepcopy(self._kept)

    def close(self) -> None:
        pass
