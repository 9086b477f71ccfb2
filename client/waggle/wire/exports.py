"""The export format: entries as JSON lines, over HTTP and on the command line.

`waggle.wire.export_lines` has the shape of a line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from .errors import BadRequest
from .export_lines import VERSION, ExportLine, Header
from .limits import MAX_TXN_STEPS

__all__ = ["MAX_BATCH_BYTES", "batches", "read_header", "read_line", "set_step"]

MAX_BATCH_BYTES = 4 * 2**20
"""Bytes of the values of a batch, unless one value alone is larger. A message may have 16 MiB."""

_read_entry = msgspec.json.Decoder(ExportLine).decode
_read_header = msgspec.json.Decoder(Header).decode


def read_header(text: bytes) -> Header:
    """Return the header in the first line. Raises BadRequest for another version, and what decoding raises."""
    header = _read_header(text)
    if header.version != VERSION:
        raise BadRequest(f"the export has version {header.version}, and this program reads version {VERSION}")
    return header


def read_line(text: bytes, ns: str | None) -> ExportLine:
    """Return the entry in another line, in the namespace ``ns`` if one is given. Raises what decoding raises."""
    line = _read_entry(text)
    if ns is not None:
        line.ns = ns
    return line


def batches(entries: Iterable[ExportLine]) -> Iterator[list[ExportLine]]:
    """Return the entries in batches that fit into one txn each."""
    batch: list[ExportLine] = []
    size = 0
    for entry in entries:
        more = len(entry.value)
        if batch and (len(batch) == MAX_TXN_STEPS or size + more > MAX_BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += more
    if batch:
        yield batch


def set_step(line: ExportLine, now: float, *, overwrite: bool) -> dict[str, Any]:
    """Return the txn command that writes an entry; without ``overwrite`` only if the key is absent."""
    ns, key = line.place
    step: dict[str, Any] = {"op": "set", "ns": ns, "key": key, "value": line.value, "kind": line.kind}
    if line.meta is not None:
        step["meta"] = line.meta
    if line.expires_at is not None:
        step["ttl"] = line.expires_at - now
    if not overwrite:
        step["if_rev"] = 0
    return step
