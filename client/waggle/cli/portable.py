"""Entries as JSON lines: the file that `export` writes and `import` reads.

1. The first line is the header. It says how many entries follow, so that a file that was cut off is found out; without
   ``entries``, as somebody may write it by hand, it is not counted.
2. Each other line is an entry: what somebody has said of it. What a hub gives, revision, version, times and agent, is
   given anew where it is read.
3. A file is good, or it is not: every line is looked at before any is used.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, Literal

import msgspec
from msgspec import Raw, Struct

from waggle import plain
from waggle.errors import BadRequest
from waggle.keys import check_key, check_ns
from waggle.messages import Kind

__all__ = ["BATCH", "HEADER", "STEPS", "VERSION", "Checked", "Header", "Line", "batches", "check", "lines"]

VERSION = 1
HEADER = 160
"""Bytes of the first line of an export, filled up with spaces: it is written when the entries have been counted."""
STEPS = 128
"""Entries of a batch: what one txn takes (protocol 1)."""
BATCH = 4 * 2**20
"""Bytes of a batch, unless one value alone is larger: a message may have 16 MiB."""
VALUE = 11 * 2**20
META = 64 * 2**10
TTL = 10 * 365.25 * 86400
"""What a value, a meta and a ttl may be at most (protocol 1)."""
SHOWN = 20
"""Faults that are told one by one."""


class Header(Struct, kw_only=True, omit_defaults=True):
    """The first line: what this is, and the revision at which the entries were as they stand here."""

    waggle: Literal["export"]
    version: int
    epoch: str | None = None
    rev: int | None = None
    at: float | None = None
    entries: int | None = None


class Line(Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """An entry. ``value`` is JSON text, and stays it."""

    ns: str | None = None
    key: str
    value: Raw
    kind: Kind = "persistent"
    meta: dict[str, Any] | None = None
    expires_at: float | None = None

    @property
    def place(self) -> tuple[str, str]:
        """Namespace and key."""
        return self.ns or "default", self.key


class Checked:
    """What is in a file, and what is wrong with it."""

    def __init__(self) -> None:
        self.keys: dict[str, set[str]] = {}
        """The keys of each namespace."""
        self.count = 0
        self.faults = 0
        self.shown: list[str] = []
        """The first of the faults, each with the number of its line."""

    def fault(self, number: int, what: str) -> None:
        """The line of this number is wrong."""
        self.faults += 1
        if len(self.shown) < SHOWN:
            self.shown.append(f"line {number}: {what}")

    def add(self, place: tuple[str, str]) -> None:
        """An entry. Raises BadRequest if it stood there before."""
        ns, key = place
        keys = self.keys.setdefault(ns, set())
        if key in keys:
            raise BadRequest(f"{key!r} in namespace {ns!r} stands in the file twice")
        keys.add(key)
        self.count += 1


_line = msgspec.json.Decoder(Line)


def check(file: BinaryIO, ns: str | None) -> Checked:
    """Look at every line. ``ns`` is the namespace that all are to go to, if not to their own."""
    checked = Checked()
    try:
        header = _header(file.readline())
    except (BadRequest, msgspec.MsgspecError, UnicodeError, RecursionError) as fault:
        checked.fault(1, f"this is not the beginning of an export: {fault}")
        return checked
    latest = time.time() + TTL
    number = 1
    for number, text in enumerate(file, 2):
        if text.isspace():
            continue
        try:
            line = _decoded(text, ns)
            _check(line, latest)
            checked.add(line.place)
        except (BadRequest, msgspec.MsgspecError, UnicodeError, RecursionError) as fault:
            checked.fault(number, str(fault))
    if header.entries is not None and header.entries != checked.count and not checked.faults:
        said, found = f"{header.entries:,}", f"{checked.count:,}"
        checked.fault(number, f"the file ends after {found} entries and should have {said}: it was cut off or changed")
    return checked


def lines(file: BinaryIO, ns: str | None) -> Iterator[Line]:
    """The entries of a file that was checked."""
    file.readline()
    return (_decoded(text, ns) for text in file if not text.isspace())


def batches(entries: Iterable[Line]) -> Iterator[list[Line]]:
    """The entries in as many as fit into one txn each."""
    batch: list[Line] = []
    size = 0
    for entry in entries:
        more = len(entry.value)
        if batch and (len(batch) == STEPS or size + more > BATCH):
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += more
    if batch:
        yield batch


def _header(text: bytes) -> Header:
    header = msgspec.json.decode(text, type=Header)
    if header.version != VERSION:
        raise BadRequest(f"it is of version {header.version}, and this program reads version {VERSION}")
    return header


def _decoded(text: bytes, ns: str | None) -> Line:
    line = _line.decode(text)
    if ns is not None:
        line.ns = ns
    return line


def _check(line: Line, latest: float) -> None:
    """Raise BadRequest, or what decoding raises, if the hub would refuse it."""
    check_ns(line.place[0])
    check_key(line.key)
    plain.check(msgspec.json.decode(line.value), "value")
    if len(line.value) > VALUE and len(msgspec.json.format(line.value, indent=-1)) > VALUE:
        raise BadRequest(f"value has {len(line.value):,} bytes, the limit is {VALUE:,}")
    if line.meta is not None:
        plain.check(line.meta, "meta")
        if (size := len(msgspec.json.encode(line.meta))) > META:
            raise BadRequest(f"meta has {size:,} bytes, the limit is {META:,}")
    if line.expires_at is not None and not (math.isfinite(line.expires_at) and line.expires_at <= latest):
        raise BadRequest("expires_at is more than ten years from now")
