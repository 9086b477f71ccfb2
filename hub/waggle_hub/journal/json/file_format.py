"""The text of the document store. One entry, record or commit is one line, in order.

Rules:
1. A checksum covers everything below its line, so that damage is found.
2. A person who edits the document deletes the line of the checksum. Then the document is accepted as it is, if its
   names and values are such as the hub allows.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar
from zlib import crc32

import msgspec
from msgspec import UNSET, Raw, Struct, structs

from waggle.wire.errors import BadRequest, TooLarge
from waggle.wire.json import decode
from waggle.wire.names import check_key, check_ns
from waggle_hub.journal.files import damaged, newer
from waggle_hub.journal.interface import StoreError
from waggle_hub.journal.serialization import (
    KeptCommit,
    KeptEntry,
    commits_with,
    decoder,
    encode,
    entry_of,
    kept_commit,
    kept_entry,
)
from waggle_hub.settings import Limits
from waggle_hub.state.persistence.records import KINDS, EntryId, Key, Record, StoredState, WriteBatch
from waggle_hub.state.store.entry import Entry
from waggle_hub.state.store.json_values import encode_value

log = logging.getLogger("waggle_hub")

Migration = Callable[[bytes], bytes]
MIGRATIONS: tuple[Migration, ...] = ()
"""Each makes a document of the next format: the first of one of format 1. The texts have no checksum."""

_ABOUT = b"The data of a hub. To edit it stop the hub, and delete the line below that begins with checksum."
_CHECKSUM = re.compile(rb'^"checksum": "([0-9a-f]{8})",\n', re.MULTILINE)
_LIMITS = Limits()
K = TypeVar("K", bound=tuple[Any, ...])
T = TypeVar("T")


class _Head(Struct):
    """The part that a document of any format has."""

    waggle: str
    format: int
    checksum: str | None = None


class _Document(_Head, forbid_unknown_fields=True, kw_only=True):
    """A document of the newest format."""

    entries: list[KeptEntry]
    earlier: list[KeptEntry]
    records: list[tuple[str, Raw]]
    commits: list[KeptCommit]


_decode_head = decoder(_Head).decode
_decode_document = decoder(_Document).decode
_decode_entry = decoder(KeptEntry).decode
_decode_commit = decoder(KeptCommit).decode
_decode_pair = decoder(tuple[str, Raw]).decode
_record_decoders = {kind: decoder(record) for kind, record in KINDS.items()}


class Lines(Struct):
    """The content of a document."""

    entries: dict[EntryId, bytes] = {}
    earlier: dict[tuple[str, str, int], bytes] = {}
    records: dict[Key, bytes] = {}
    commits: dict[int, bytes] = {}

    def after(self, changes: WriteBatch) -> Lines:
        """Return the content with these changes."""
        commits = {commit.rev: encode(kept) for commit in changes.commits if (kept := kept_commit(commit)) is not None}
        return Lines(
            _changed(self.entries, changes.entries, _entry_line),
            _changed(self.earlier, changes.earlier, _entry_line),
            _changed(self.records, changes.records, _record_line),
            {rev: line for rev, line in (self.commits | commits).items() if rev > changes.floor},
        )

    def text(self, format: int) -> bytes:
        """Return the text of the document."""
        lists = [
            b'"%b": [\n%b\n]' % (name.encode(), b",\n".join(getattr(self, name).values()))
            for name in self.__struct_fields__
        ]
        body = b",\n".join(lists) + b"\n}\n"
        return b'%b"checksum": "%08x",\n%b' % (_head(format), crc32(body), body)

    def all_records(self) -> list[Record]:
        return [_decode_record(_decode_pair(line)) for line in self.records.values()]

    def kept(self) -> StoredState | None:
        """Return everything that is kept, None if there is nothing."""
        earlier: dict[EntryId, tuple[Entry, ...]] = {}
        for (ns, key, _), line in self.earlier.items():
            earlier[ns, key] = (entry_of(_decode_entry(line)), *earlier.get((ns, key), ()))
        entries = [entry_of(_decode_entry(line), earlier.get(place, ())) for place, line in self.entries.items()]
        commits = commits_with([_decode_commit(line) for line in self.commits.values()], entries)
        records = self.all_records()
        return StoredState(entries, commits, records) if entries or commits or records else None


def lines_of(text: bytes, path: Path, migrations: Sequence[Migration] = MIGRATIONS) -> Lines:
    """Return the content of a document. Raises StoreError if it is damaged, foreign, or newer than the migrations
    reach."""
    newest = len(migrations) + 1
    try:
        head = _decode_head(text)
        if not 0 < head.format <= newest:
            raise newer(path, head.format, newest)
        if head.checksum is None:
            log.warning("%s was edited by hand, and is taken as it is", path)
            text = msgspec.json.format(text, indent=-1)
        else:
            text = _verified(text, head.format, path)
        for migration in migrations[head.format - 1 :]:
            text = migration(text)
        document = _decode_document(text)
        if head.checksum is None:
            document = _accepted(document, path)
        return _lines(document, path)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise damaged(path, f"it is not the data of a hub as it should be ({error})") from error


def _verified(text: bytes, format: int, path: Path) -> bytes:
    """Return a document without its checksum, after checking that."""
    found = _CHECKSUM.search(text)
    if found is None or text[: found.start()] != _head(format) or crc32(text[found.end() :]) != int(found[1], 16):
        edited = "If you have edited it, delete the line that begins with checksum, and it is taken as it is"
        raise damaged(path, f"it does not match its checksum. ({edited}.)")
    return text[: found.start()] + text[found.end() :]


def _accepted(document: _Document, path: Path) -> _Document:
    """Return an edited document, if the hub could hold its entries."""
    try:
        entries = [_accepted_entry(entry) for entry in document.entries]
        earlier = [_accepted_entry(entry) for entry in document.earlier]
    except (BadRequest, TooLarge) as error:
        raise StoreError(f"{path} was edited, and cannot be taken as it is: {error}. Mend it") from error
    return structs.replace(document, entries=entries, earlier=earlier)


def _accepted_entry(entry: KeptEntry) -> KeptEntry:
    check_ns(entry.ns, hub=True)
    check_key(entry.key)
    meta = UNSET if entry.meta is UNSET else _accepted_value(entry.meta, "meta", _LIMITS.meta)
    return structs.replace(entry, value=_accepted_value(entry.value, "value", _LIMITS.value), meta=meta)


def _accepted_value(text: Raw, field: str, limit: int) -> Raw:
    return Raw(encode_value(decode(text), field, limit=limit, depth=_LIMITS.depth))


def _lines(document: _Document, path: Path) -> Lines:
    records = [_decode_record(pair) for pair in document.records]
    lines = Lines(
        {(entry.ns, entry.key): encode(entry) for entry in document.entries},
        {(entry.ns, entry.key, entry.version): encode(entry) for entry in document.earlier},
        {record.name: _record_line(record) for record in records},
        {commit.rev: encode(commit) for commit in document.commits},
    )
    if [len(part) for part in (lines.entries, lines.earlier)] != [len(document.entries), len(document.earlier)]:
        raise StoreError(f"{path} has two entries with one name: take one of them out")
    return lines


def _decode_record(pair: tuple[str, Raw]) -> Record:
    kind, text = pair
    if kind not in _record_decoders:
        raise msgspec.ValidationError(f"there are no records of the kind {kind}")
    return _record_decoders[kind].decode(text)


def _changed(lines: dict[K, bytes], changes: dict[K, T | None], line: Callable[[T], bytes]) -> dict[K, bytes]:
    after = dict(lines)
    for name, thing in changes.items():
        if thing is None:
            after.pop(name, None)
        else:
            after[name] = line(thing)
    return dict(sorted(after.items()))


def _entry_line(entry: Entry) -> bytes:
    return encode(kept_entry(entry))


def _record_line(record: Record) -> bytes:
    return encode((record.kind, record))


def _head(format: int) -> bytes:
    return b'{\n"waggle": "%b",\n"format": %d,\n' % (_ABOUT, format)
