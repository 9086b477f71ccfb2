"""The entry: a key with its value and what the hub knows of both.

An entry is immutable: a write puts a new one in its place. So a snapshot, an event and a reply may hold the same one.
"""

from __future__ import annotations

from msgspec import UNSET, Raw, Struct

from waggle.wire import messages as m

ENTRY_OVERHEAD_BYTES = 250
"""Bytes that the fields of an entry take in a reply, beside its key, value and meta."""
PERSISTED_KINDS = ("persistent", "versioned")
"""The kinds of entries that the journal stores."""


class Entry(Struct, frozen=True, eq=False, gc=False):
    """A key with its value (JSON text) and its fields. Instants are Unix seconds."""

    key: str
    ns: str
    value: bytes
    rev: int
    version: int
    kind: str
    created_at: float
    updated_at: float
    expires_at: float | None
    by: str
    meta: bytes | None
    created_rev: int = 0
    """The revision of the write that created the key: work is taken in this order."""
    earlier: tuple[Entry, ...] = ()
    """Earlier versions of a versioned entry, newest first; these have no earlier versions of their own."""
    owner: str | None = None
    """The session that an ephemeral entry is tied to."""

    @property
    def persisted(self) -> bool:
        """Whether the journal stores this entry."""
        return self.kind in PERSISTED_KINDS

    @property
    def size(self) -> int:
        """Bytes that count against the limit of the store."""
        size = len(self.key) + len(self.value) + (len(self.meta) if self.meta else 0)
        return size + sum(entry.size for entry in self.earlier) if self.earlier else size

    def is_due(self, now: float) -> bool:
        """Return whether the deadline has passed: from then on the entry is absent for every reader (G6)."""
        return self.expires_at is not None and self.expires_at <= now

    def to_wire(self, values: bool = True) -> m.Entry:
        """Return the entry as the wire shows it, without its value if `values` is false."""
        return m.Entry(
            key=self.key,
            ns=self.ns,
            rev=self.rev,
            version=self.version,
            kind=self.kind,
            created_at=self.created_at,
            updated_at=self.updated_at,
            expires_at=self.expires_at,
            by=self.by,
            meta=None if self.meta is None else Raw(self.meta),
            value=Raw(self.value) if values else UNSET,
        )
