"""The file that `export` writes and `import` reads: its format is `waggle.portable`'s.

It is good, or it is not: every line is looked at before any is used.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import BinaryIO

import msgspec

from waggle import plain
from waggle.errors import BadRequest
from waggle.keys import check_key, check_ns
from waggle.portable import BATCH, STEPS, VERSION, Header, Line, batches, read_header, read_line

__all__ = ["BATCH", "HEADER", "STEPS", "VERSION", "Checked", "Header", "Line", "batches", "check", "lines"]

HEADER = 160
"""Bytes of the first line of an export, filled up with spaces: it is written when the entries have been counted."""
VALUE = 11 * 2**20
META = 64 * 2**10
TTL = 10 * 365.25 * 86400
"""What a value, a meta and a ttl may be at most (protocol 1)."""
SHOWN = 20
"""Faults that are told one by one."""


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


def check(file: BinaryIO, ns: str | None) -> Checked:
    """Look at every line. ``ns`` is the namespace that all are to go to, if not to their own."""
    checked = Checked()
    try:
        header = read_header(file.readline())
    except (BadRequest, msgspec.MsgspecError, UnicodeError, RecursionError) as fault:
        checked.fault(1, f"this is not the beginning of an export: {fault}")
        return checked
    latest = time.time() + TTL
    number = 1
    for number, text in enumerate(file, 2):
        if text.isspace():
            continue
        try:
            line = read_line(text, ns)
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
    return (read_line(text, ns) for text in file if not text.isspace())


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
