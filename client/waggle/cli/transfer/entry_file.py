"""The file that `export` writes and `import` reads; `waggle.wire.exports` defines its format.

The file is read twice: the first pass finds and reports every fault, before anything is written; the second pass
leaves the faulty lines out.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

import msgspec

from waggle.wire import plain_json
from waggle.wire.errors import BadRequest
from waggle.wire.export_lines import ExportLine
from waggle.wire.exports import read_header, read_line
from waggle.wire.limits import MAX_META_BYTES, MAX_TTL_S, MAX_VALUE_BYTES
from waggle.wire.names import check_key, check_ns

__all__ = [
    "FILE_ERRORS",
    "HEADER_BYTES",
    "CheckedFile",
    "LocatedEntry",
    "ReadEntries",
    "check_file",
    "read_export",
    "valid_entries",
]  # fmt: skip

LocatedEntry = tuple[str, ExportLine | Exception]
"""A place in a file, and the entry there, or the error if it is none."""
ReadEntries = Callable[[], Iterable[LocatedEntry]]
"""Reads a file from its beginning; may be called several times."""
FILE_ERRORS = (BadRequest, msgspec.MsgspecError, UnicodeError, RecursionError)
"""The errors that a wrong file raises."""

HEADER_BYTES = 160
"""Length of the first line of an export, filled with spaces: it is written again when the entries are counted."""
MAX_SHOWN_FAULTS = 20
"""Faults that are printed; of the rest, only the number."""


class CheckedFile:
    """The result of the first pass: the keys of a file, and its faults."""

    def __init__(self) -> None:
        self.keys: dict[str, set[str]] = {}
        """The keys of the file, by namespace."""
        self.count = 0
        self.faults = 0
        self.shown: list[str] = []
        """The first faults, each with its place in the file."""

    def fault(self, where: str, what: str) -> None:
        """Count a fault, and keep it if it is one of the first."""
        self.faults += 1
        if len(self.shown) < MAX_SHOWN_FAULTS:
            self.shown.append(f"{where}: {what}")

    def add(self, place: tuple[str, str]) -> None:
        """Count an entry. Raises BadRequest if the file has its key twice."""
        ns, key = place
        keys = self.keys.setdefault(ns, set())
        if key in keys:
            raise BadRequest(f"{key!r} in namespace {ns!r} stands in the file twice")
        keys.add(key)
        self.count += 1


def read_export(file: BinaryIO) -> Iterator[LocatedEntry]:
    """Yield the entries of an export from its beginning, each with its line or its error."""
    file.seek(0)
    try:
        header = read_header(file.readline())
    except FILE_ERRORS as fault:
        yield "line 1", BadRequest(f"this is not the beginning of an export: {fault}")
        return
    number, count = 1, 0
    for number, text in enumerate(file, 2):
        if text.isspace():
            continue
        count += 1
        try:
            yield f"line {number}", read_line(text, None)
        except FILE_ERRORS as fault:
            yield f"line {number}", fault
    if header.entries is not None and header.entries != count:
        message = f"the file ends after {count:,} entries and should have {header.entries:,}: it was cut off or changed"
        yield f"line {number}", BadRequest(message)


def valid_entries(entries: Iterable[LocatedEntry], ns: str | None, checked: CheckedFile) -> Iterator[ExportLine]:
    """Yield the entries that a hub would accept; ``checked`` counts them, and the faults of the others.

    ``ns`` is the namespace for all entries, or None for each entry's own.
    """
    latest = time.time() + MAX_TTL_S
    for where, line in entries:
        try:
            if isinstance(line, Exception):
                raise line
            if ns is not None:
                line.ns = ns
            _check(line, latest)
            checked.add(line.place)
        except FILE_ERRORS as fault:
            checked.fault(where, str(fault))
        else:
            yield line


def check_file(entries: Iterable[LocatedEntry], ns: str | None) -> CheckedFile:
    """Check all entries of a file."""
    checked = CheckedFile()
    for _ in valid_entries(entries, ns, checked):
        pass
    return checked


def _check(line: ExportLine, latest: float) -> None:
    """Raise BadRequest, or what decoding raises, if the hub would refuse the entry."""
    check_ns(line.place[0])
    check_key(line.key)
    plain_json.check(msgspec.json.decode(line.value), "value")
    if len(line.value) > MAX_VALUE_BYTES and len(msgspec.json.format(line.value, indent=-1)) > MAX_VALUE_BYTES:
        raise BadRequest(f"value has {len(line.value):,} bytes, the limit is {MAX_VALUE_BYTES:,}")
    if line.meta is not None:
        plain_json.check(line.meta, "meta")
        if (size := len(msgspec.json.encode(line.meta))) > MAX_META_BYTES:
            raise BadRequest(f"meta has {size:,} bytes, the limit is {MAX_META_BYTES:,}")
    if line.expires_at is not None and not (math.isfinite(line.expires_at) and line.expires_at <= latest):
        raise BadRequest("expires_at is more than ten years from now")
