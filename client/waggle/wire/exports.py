"""The export format: entries as JSON lines, over HTTP and on the command line.

1. The first line is the header. With ``entries`` it says how many entries follow, so that a reader notices a file that
   was cut off.
2. Each other line is an entry, with what an agent gave for it. The hub that imports it gives a new revision, version,
   times and agent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import msgspec
from msgspec import Raw, Struct

from .errors import BadRequest
from .messages import Kind

__all__ = [
    "MAX_BATCH_BYTES",
    "MAX_BATCH_ENTRIES",
    "VERSION",
    "ExportLine",
    "Header",
    "batches",
    "read_header",
    "read_line",
]

VERSION = 1
MAX_BATCH_ENTRIES = 128
"""Entries of a batch: as many as one txn takes (protocol 1)."""
MAX_BATCH_BYTES = 4 * 2**20
"""Bytes of the values of a batch, unless one value alone is larger. A message may have 16 MiB."""


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

    def step(self, now: float, *, overwrite: bool) -> dict[str, Any]:
        """Return the txn command that writes the entry; without ``overwrite`` only if the key is absent."""
        ns, key = self.place
        step: dict[str, Any] = {"op": "set", "ns": ns, "key": key, "value": self.value, "kind": self.kind}
        if self.meta is not None:
            step["meta"] = self.meta
        if self.expires_at is not None:
            step["ttl"] = self.expires_at - now
        if not overwrite:
            step["if_rev"] = 0
        return step


_line = msgspec.json.Decoder(ExportLine)


def read_header(text: bytes) -> Header:
    """Return the header in the first line. Raises BadRequest for another version, and what decoding raises."""
    header = msgspec.json.decode(text, type=Header)
    if header.version != VERSION:
        raise BadRequest(f"the export has version {header.version}, and this program reads version {VERSION}")
    return header


def read_line(text: bytes, ns: str | None) -> ExportLine:
    """Return the entry in another line, in the namespace ``ns`` if one is given. Raises what decoding raises."""
    line = _line.decode(text)
    if ns is not None:
        line.ns = ns
    return line


def batches(entries: Iterable[ExportLine]) -> Iterator[list[ExportLine]]:
    """Return the entries in batches that fit into one txn each."""
    batch: list[ExportLine] = []
    size = 0
    for entry in entries:
        more = len(entry.value)
        if batch and (len(batch) == MAX_BATCH_ENTRIES or size + more > MAX_BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += more
    if batch:
        yield batch
