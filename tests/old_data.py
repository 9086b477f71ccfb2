"""Data that hubs of revision 8942e7e have written: see tests/fixtures/data_8942e7e/README.md."""

from __future__ import annotations

import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Json = dict[str, Any]

FIXTURES = Path(__file__).parent / "fixtures" / "data_8942e7e"
NAMES = ("full-stopped", "full-killed", "relaxed-stopped", "relaxed-killed", "json-stopped", "json-killed")
BACKUPS = {"full-stopped": "waggle-20261121-190000.db", "json-stopped": "waggle-20261121-190000.json"}
"""The fixtures that have a backup, and the name of its file."""


@dataclass(frozen=True)
class OldData:
    """A copy of a fixture: the data directory, the backup where there is one, and what the hub of then has shown."""

    name: str
    directory: Path
    expected: Json

    @property
    def journal(self) -> str:
        """The kind of its store: sqlite or json."""
        return "json" if self.name.startswith("json") else "sqlite"

    @property
    def new_epoch(self) -> bool:
        """Whether the hub of then may have shown changes that it had not stored."""
        return self.name == "relaxed-killed"

    @property
    def data(self) -> Path:
        return self.directory / self.name

    @property
    def backup(self) -> Path:
        return self.directory / BACKUPS[self.name]


def unpack(name: str, directory: Path) -> OldData:
    """Copy a fixture into a directory."""
    with tarfile.open(FIXTURES / f"{name}.tar.xz") as archive:
        archive.extractall(directory, filter="data")
    return OldData(name, directory, json.loads((FIXTURES / f"{name}.json").read_text()))


def stored(entries: list[Json]) -> list[Json]:
    """Return those of the entries that a hub keeps when it stops."""
    return [entry for entry in entries if entry["kind"] in ("persistent", "versioned")]
