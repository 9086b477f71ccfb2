"""Records: what must survive, in the form in which it leaves the machine and comes back (G2, G7).

The nouns of the state change; a record is one of them as it stands, in plain data that never changes. Entries and
commits never change: they are their own records.

`WriteBatch` is what one turn of the loop has changed of all that, `StoredState` is all of it together.
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
"""What names a record: its kind, then its values of `named_by`."""


class Record(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A noun of the state as it stands."""

    kind: ClassVar[str]
    named_by: ClassVar[tuple[str, ...]]
    """The fields that name it among its kind: text or integers."""

    @property
    def name(self) -> Key:
        return (self.kind, *(getattr(self, field) for field in self.named_by))


class HubRecord(Record, frozen=True, kw_only=True):
    """The hub itself."""

    kind = "hub"
    named_by = ()

    epoch: str
    """Empty in a backup that was put back: higher revisions may have been given than it knows of."""
    rev: int
    """No revision above this one has ever been given."""
    floor: int = 0
    """The highest revision that is no longer in the log."""
    sub: int = 0
    """No number of a subscription above this one has ever been given."""
    running: str | None = None
    """The durability with which a hub runs on this data, or ran until it broke off; None after an orderly stop."""


class NamespaceRecord(Record, frozen=True, kw_only=True):
    """A namespace, as far as its entries do not tell."""

    kind = "space"
    named_by = ("ns",)

    ns: str
    forgotten: int = 0
    """No version of a deleted key above this one has been forgotten."""
    versions: int = 0
    """No version of an entry that is not kept is above this one."""
    fleeting: bool = False
    """Whether something has happened here since the last start that is not kept."""
    gap: int = 0
    """The last revision up to which something may have happened here that was not kept, and is gone."""


class TombstoneRecord(Record, frozen=True, kw_only=True):
    """The version of a key that was deleted."""

    kind = "grave"
    named_by = ("ns", "key")

    ns: str
    key: str
    version: int
    number: int
    """Graves are forgotten in the order of their numbers."""


class SessionRecord(Record, frozen=True, kw_only=True):
    """A session, without what it holds."""

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
    """When it was last connected; None while it is."""
    serial: int
    caller: bool = False
    """Whether it is one of calls, and has no connection."""


class SubscriptionRecord(Record, frozen=True, kw_only=True):
    """A session's cursor on an interest: what was asked, and where it began."""

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


class OutcomeRecord(Record, frozen=True, kw_only=True):
    """An outcome that is kept for its rid: one of `ok` and `error` is set, as on the wire."""

    kind = "outcome"
    named_by = ("serial",)

    serial: int
    session: str
    rid: str
    op: str = ""
    ok: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


class ClaimRecord(Record, frozen=True, kw_only=True):
    """A lock that is held (it has a token) or waited for; its deadline ends its ttl, or its patience."""

    kind = "claim"
    named_by = ("serial",)

    serial: int
    session: str
    id: m.Id
    rid: str | None = None
    since: float
    ns: str
    names: list[str] = []
    patterns: list[str] = []
    mode: m.Mode
    ttl: float
    task: str | None = None
    taken: bool = False
    token: int | None = None
    granted_at: float = 0.0
    deadline: float | None = None


class WaitRecord(Record, frozen=True, kw_only=True):
    """A `wait` that has not been answered."""

    kind = "wait"
    named_by = ("serial",)

    serial: int
    session: str
    id: m.Id
    since: float
    deadline: float | None = None
    """None: its time is over, and only a scan is waited for."""
    conditions: list[m.Awaited]
    need_all: bool


class TakerRecord(Record, frozen=True, kw_only=True):
    """A `take` that has not been answered."""

    kind = "taker"
    named_by = ("serial",)

    serial: int
    session: str
    id: m.Id
    rid: str | None = None
    since: float
    deadline: float | None = None
    late: bool = False
    """Whether its time is over, and it only looks to the end."""
    ns: str
    patterns: list[str]
    lease: float
    max_deliveries: int | None = None


class DeliveryRecord(Record, frozen=True, kw_only=True):
    """How often an entry has been taken."""

    kind = "delivery"
    named_by = ("ns", "key")

    ns: str
    key: str
    count: int


class QueuedNoticeRecord(Record, frozen=True, kw_only=True):
    """What a session is told when its agent is back: an answer (`id`, and `ok` or `error`), or a lock that it lost."""

    kind = "unsaid"
    named_by = ("serial",)

    serial: int
    session: str
    id: m.Id | None = None
    ok: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET
    lost: m.LostLock | None = None


KINDS: dict[str, type[Record]] = {
    record.kind: record
    for record in (
        HubRecord, NamespaceRecord, TombstoneRecord, SessionRecord, SubscriptionRecord, OutcomeRecord, ClaimRecord,
        WaitRecord,
        TakerRecord, DeliveryRecord, QueuedNoticeRecord,
    )
}  # fmt: skip


class WriteBatch(Struct):
    """What is to be written: all of it or nothing. None says that something is gone."""

    entries: dict[EntryId, Entry | None] = {}
    earlier: dict[tuple[str, str, int], Entry | None] = {}
    """Earlier versions of versioned entries, by namespace, key and version."""
    commits: list[Commit] = []
    """In order of their revisions, all above those written before."""
    records: dict[Key, Record | None] = {}
    floor: int = 0
    """Commits up to and with this revision are not asked for again."""

    def __bool__(self) -> bool:
        return bool(self.entries or self.earlier or self.commits or self.records)

    def add(self, later: WriteBatch) -> None:
        """Let these be followed by later ones."""
        self.entries.update(later.entries)
        self.earlier.update(later.earlier)
        self.commits += later.commits
        self.records.update(later.records)
        self.floor = max(self.floor, later.floor)


class StoredState(Struct):
    """All that was kept."""

    entries: Iterable[Entry]
    """In order of namespace and key; those that have earlier versions have them."""
    commits: list[Commit]
    """The window of the log, oldest first, without what was not kept."""
    records: list[Record]
    clean: bool = True
    """Whether all that was shown was written, or follows from what was."""
