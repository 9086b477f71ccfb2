"""Records: everything that must survive a restart, in the form in which it leaves the machine and comes back (G2, G7).

The items of the state change; a record is the stored form of one item at one instant, and never changes. Entries and
commits never change either: they are their own records.

The names of kinds and fields are stored. A field whose stored name is older than its name here says so (`rename`).

A `WriteBatch` is what changed since the last write; a `StoredState` is everything that was written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from msgspec import UNSET, Raw, Struct, UnsetType

from waggle.wire import messages as m

if TYPE_CHECKING:
    from collections.abc import Iterable

    from waggle_hub.state.log import Commit
    from waggle_hub.state.store.entry import Entry

EntryId = tuple[str, str]
"""Namespace and key."""

Key = tuple[str | int, ...]
"""The name of a record: its kind, then the values of its `named_by` fields."""


class Record(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The stored form of an item of the state."""

    kind: ClassVar[str]
    named_by: ClassVar[tuple[str, ...]]
    """The fields that tell it from others of its kind: text or integers."""

    @property
    def name(self) -> Key:
        return (self.kind, *(getattr(self, field) for field in self.named_by))


class SerialRecord(Record, frozen=True, kw_only=True):
    """A record of something that a session has, named by its serial."""

    named_by = ("serial",)

    serial: int
    session: str


class PendingRecord(SerialRecord, frozen=True, kw_only=True):
    """A command that waits for its reply: what `lock`, `wait` and `take` have in common."""

    id: m.Id
    since: float
    deadline: float | None = None
    """None: without end."""


class HubRecord(Record, frozen=True, kw_only=True):
    """The hub itself: its epoch, and how far its counters may have come."""

    kind = "hub"
    named_by = ()

    epoch: str
    """Empty in a restored backup: the hub that it was made of may have given higher revisions since."""
    rev: int
    """No revision above this one has ever been given."""
    floor: int = 0
    """The highest revision that is no longer in the log."""
    sub: int = 0
    """No number of a subscription above this one has ever been given."""
    running: str | None = None
    """The durability of the hub that runs on this data, or crashed on it; None after an orderly stop."""


class ProgressRecord(Record, frozen=True, kw_only=True):
    """The number of writes of the journal: see `journal/witness`. The machine does not use it."""

    kind = "progress"
    named_by = ()

    writes: int


class NamespaceRecord(
    Record,
    frozen=True,
    kw_only=True,
    rename={"floor": "forgotten", "ceiling": "versions", "volatile": "fleeting"},
):
    """The versions and gaps of a namespace: see `store/tombstones`."""

    kind = "space"
    named_by = ("ns",)

    ns: str
    floor: int = 0
    """A key without a tombstone starts above this version."""
    ceiling: int = 0
    """No version of an entry that the journal does not store is above this one."""
    volatile: bool = False
    """Whether something has happened here, since the last start, that the journal does not store."""
    gap: int = 0
    """The last revision up to which events may be missing."""


class TombstoneRecord(Record, frozen=True, kw_only=True):
    """The last version of a deleted key."""

    kind = "grave"
    named_by = ("ns", "key")

    ns: str
    key: str
    version: int
    number: int
    """Tombstones are dropped in the order of their numbers."""


class SessionRecord(Record, frozen=True, kw_only=True):
    """A session, without the things that it holds."""

    kind = "session"
    named_by = ("id",)

    id: str
    secret: str
    agent: str
    chosen: bool
    ns: str
    meta: Raw
    status: Raw
    since: float
    last: float | None = None
    """When it was last connected; None while it is connected."""
    serial: int
    caller: bool = False
    """Whether it is used by calls over HTTP, and never has a connection."""


class SubscriptionRecord(Record, frozen=True, kw_only=True):
    """A cursor of a session: its interest, its options, and where it started."""

    kind = "subscription"
    named_by = ("session", "sub")

    session: str
    sub: int
    ns: str
    patterns: list[str]
    types: list[str]
    values: bool
    prev: bool
    conflate: float | None = None
    echo: bool = True
    start: int
    snapshot: bool
    synced: bool = False
    lost: str | None = None


class OutcomeRecord(SerialRecord, frozen=True, kw_only=True):
    """The remembered outcome of a rid: one of `ok` and `error` is set, as on the wire."""

    kind = "outcome"

    rid: str
    op: str = ""
    ok: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


class ClaimRecord(PendingRecord, frozen=True, kw_only=True):
    """A lock request: held if it has a token, else waiting. Its deadline is the end of its ttl, or of its timeout."""

    kind = "claim"

    rid: str | None = None
    ns: str
    names: list[str] = []
    patterns: list[str] = []
    mode: m.Mode
    ttl: float
    task: str | None = None
    taken: bool = False
    token: int | None = None
    granted_at: float = 0.0


class WaitRecord(PendingRecord, frozen=True, kw_only=True):
    """A `wait` that has no reply yet. Without a deadline it has timed out, and replies when its scan has ended."""

    kind = "wait"

    conditions: list[m.Awaited]
    need_all: bool


class TakerRecord(PendingRecord, frozen=True, kw_only=True):
    """A `take` that has no reply yet."""

    kind = "taker"

    rid: str | None = None
    late: bool = False
    """Whether it has timed out, and replies when its scan has ended."""
    ns: str
    patterns: list[str]
    lease: float
    max_deliveries: int | None = None


class DeliveryRecord(Record, frozen=True, kw_only=True):
    """The number of times that an entry has been taken."""

    kind = "delivery"
    named_by = ("ns", "key")

    ns: str
    key: str
    count: int


class QueuedNoticeRecord(SerialRecord, frozen=True, kw_only=True):
    """A notice for an agent that is away: a reply (`id`, and `ok` or `error`), or a lost lock."""

    kind = "unsaid"

    id: m.Id | None = None
    ok: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET
    lost: m.LostLock | None = None


class ContradictionError(Exception):
    """Stored records that contradict each other; the text says which."""


KINDS: dict[str, type[Record]] = {
    record.kind: record
    for record in (
        HubRecord, ProgressRecord, NamespaceRecord, TombstoneRecord, SessionRecord, SubscriptionRecord, OutcomeRecord,
        ClaimRecord, WaitRecord, TakerRecord, DeliveryRecord, QueuedNoticeRecord,
    )
}  # fmt: skip


class WriteBatch(Struct):
    """Changes to be written in one transaction of the store: all or none. None stands for a deletion."""

    entries: dict[EntryId, Entry | None] = {}
    earlier: dict[tuple[str, str, int], Entry | None] = {}
    """Earlier versions of versioned entries, by namespace, key and version."""
    commits: list[Commit] = []
    """In the order of their revisions, all above those written before."""
    records: dict[Key, Record | None] = {}
    floor: int = 0
    """Commits up to this revision, and it, are not needed any more."""

    def __bool__(self) -> bool:
        return bool(self.entries or self.earlier or self.commits or self.records)

    def add(self, later: WriteBatch) -> None:
        """Append a later batch to this one."""
        self.entries.update(later.entries)
        self.earlier.update(later.earlier)
        self.commits += later.commits
        self.records.update(later.records)
        self.floor = max(self.floor, later.floor)


class StoredState(Struct):
    """Everything that was stored."""

    entries: Iterable[Entry]
    """In order of namespace and key, with their earlier versions."""
    commits: list[Commit]
    """The window of the log, oldest first, without events that are not persisted."""
    records: list[Record]
    clean: bool = True
    """Whether clients can have seen nothing beyond what was stored."""
