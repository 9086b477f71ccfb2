"""A sign on the disk that takes no room: a file that stands while everything that happens can be written down.

Who cannot write any more can still remove a file. So the sign goes when the journal begins to fail, and is set again
when everything has been written. A hub that comes after one that broke off, and finds no sign, knows that anything may
have been shown that nothing tells of: transient entries and messages go on while the journal fails.
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
        """Everything is written. Where that cannot be done it is done the next time."""
        if not self.stands:
            with suppress(OSError):
                self._files.close(self._files.create(self._path))
                self._files.sync_directory(self._path.parent)
                self.stands = True

    def take_down(self) -> None:
        """From now on something may happen that is not written."""
        self.stands = False
        with suppress(OSError):
            self._files.remove(self._path)
            self._files.sync_directory(self._path.parent)
