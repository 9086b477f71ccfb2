"""The clean marker: a file that exists while the journal can write. (Its name on disk is `steady`.)

Deleting a file works on a full disk, so the marker is removed when writing starts to fail, and set again when
everything is written. If it is missing after a crash, clients may have seen changes that are not on disk: transient
entries and messages go on while the journal fails.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from .files import Files


class CleanMarker:
    """The file `steady` of a data directory."""

    def __init__(self, directory: Path, files: Files | None = None) -> None:
        self._path = directory / "steady"
        self._files = Files() if files is None else files
        self.stood = self._path.exists()
        """Whether it stood when the hub came."""
        self.stands = False
        """Whether it has been set, and not been taken down."""

    def set(self) -> None:
        """Create the marker: everything is written. If that fails, the next call tries again."""
        if not self.stands:
            with suppress(OSError):
                self._files.close(self._files.create(self._path))
                self._files.sync_directory(self._path.parent)
                self.stands = True

    def clear(self) -> None:
        """Remove the marker: from now on clients may see changes that are not written."""
        self.stands = False
        with suppress(OSError):
            self._files.remove(self._path)
            self._files.sync_directory(self._path.parent)
