"""A check of SQLite's write-ahead log for rot that SQLite itself does not report.

After a crash SQLite takes the first frame that does not verify for the end of the log. That is right where a write
was in progress: its incomplete part was never acknowledged. Where an old frame has rotted it is wrong: every later
transaction would vanish without an error. The two can be told apart, since a transaction begins only when the one
before is synced:

* A write in progress leaves one transaction behind what SQLite could use; nothing follows its commit.
* A frame whose checksum continues that of a commit was written after it. If such a frame stands behind what SQLite
  could use, something before it has rotted.

SQLite takes a log whose head does not verify for an empty one. But the head is synced before anything follows it: if
something does, the head has rotted. A head of zeros matches its checksum of zeros, so its first bytes count as well.

Damage in the very last transaction cannot be told from a write in progress here; the witness finds it (`witness`).

The layout is in https://www.sqlite.org/fileformat2.html#the_write_ahead_log and
https://www.sqlite.org/walformat.html.
"""

from __future__ import annotations

import struct
import sys
from array import array
from mmap import ACCESS_READ, mmap
from pathlib import Path

_HEADER = struct.Struct(">16s8s8s")  # magic, format, page size, number of the checkpoint; salts; checksum
_MAGIC = {b"\x37\x7f\x06\x82": "little", b"\x37\x7f\x06\x83": "big"}
"""The first bytes of a log, and the byte order of the words that its checksums are made of."""
_FRAME = struct.Struct(">4sI8s8s")  # page; size of the database after a commit, else 0; salts; checksum
_USABLE_AT = 16
"""Where the index of the log has the number of frames that SQLite could use."""


def log_of(path: Path) -> Path:
    """Return the path of a database's log."""
    return path.with_name(f"{path.name}-wal")


def index_of(path: Path) -> Path:
    """Return the path of the log's index: memory shared by the programs that have the database open."""
    return path.with_name(f"{path.name}-shm")


def rot_in(path: Path, page_size: int) -> str | None:
    """Return what has rotted in the log of this database, so that SQLite could not use transactions that it should;
    None if nothing has. A connection that has read from the database must be open."""
    if not log_of(path).exists() or log_of(path).stat().st_size <= _HEADER.size:
        return None
    usable = int.from_bytes(index_of(path).read_bytes()[_USABLE_AT:][:4], sys.byteorder)
    with log_of(path).open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as log:
        head, current, checksum = _HEADER.unpack_from(log)
        order = _MAGIC.get(head[:4])
        if order is None or _checksum(bytes(8), head + current, order) != checksum:
            return "its head does not verify, and transactions follow"
        if _goes_on(log, page_size, usable, current, order):
            return "a transaction in it does not verify, and others follow"
    return None


def _goes_on(log: mmap, page_size: int, usable: int, current: bytes, order: str) -> bool:
    """Return whether a transaction follows another behind the usable frames."""
    size = _FRAME.size + page_size
    for start in range(_HEADER.size + usable * size, len(log) - 2 * size + 1, size):
        _, commits, salts, seed = _FRAME.unpack_from(log, start)
        if commits and salts == current:
            following = log[start + size : start + 2 * size]
            _, _, its_salts, checksum = _FRAME.unpack_from(following)
            if its_salts == salts and _checksum(seed, following[:8] + following[_FRAME.size :], order) == checksum:
                return True
    return False


def _checksum(seed: bytes, data: bytes, order: str) -> bytes:
    """Return SQLite's checksum, over words in this byte order."""
    first, second = struct.unpack(">II", seed)
    words = array("I", data)
    if order != sys.byteorder:
        words.byteswap()
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = first + even + second & 0xFFFFFFFF
        second = second + odd + first & 0xFFFFFFFF
    return struct.pack(">II", first, second)
