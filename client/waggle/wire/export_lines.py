"""The lines of the export format, as structs: the header, and one entry.

The first line of an export is the header. With ``entries`` it says how many entries follow, so that a reader notices a
file that was cut off. Each other line is an entry, with what an agent gave for it. The hub that imports it gives a new
revision, version, times and agent.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Raw, Struct

from .messages import Kind

__all__ = ["VERSION", "ExportLine", "Header"]

VERSION = 1
"""The version of the format that this program writes and reads."""


class Header(Struct, kw_only=True, omit_defaults=True):
    """The first line: the format, and the revision at which the hub had these entries."""

    waggle: Literal["export"]
    version: int
    epoch: str | None = None
    rev: int | None = None
    at: float | None = None
    entries: int | None = None


class ExportLine(Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """An entry. ``value`` is JSON text."""

    ns: str | None = None
    key: str
    value: Raw
    kind: Kind = "persistent"
    meta: dict[str, Any] | None = None
    expires_at: float | None = None

    @property
    def place(self) -> tuple[str, str]:
        """Return the namespace and the key."""
        return self.ns or "default", self.key
