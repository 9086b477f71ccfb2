"""The vocabulary of the wire: commands, replies, entries and events as msgspec structs (protocol 2 to 5).

This module is the public contract: the hub decodes commands with these types and builds replies from them, the
client does the reverse. It holds shapes only. Rules (lengths, ranges, grammar) are the machine's, so that every
door has the same ones.

Field names and meanings are those of protocol.md. Durations are seconds, instants Unix seconds.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

Id = int | str
Kind = Literal["persistent", "transient", "cached", "versioned"]
Mode = Literal["exclusive", "shared"]
Comparison = Literal["eq", "ne", "lt", "le", "gt", "ge", "in", "exists", "contains"]
EventType = Literal["set", "delete", "expire", "evict", "touch", "lock", "renew", "unlock", "queue", "message"]
DEFAULT_TYPES: frozenset[str] = frozenset({"set", "delete", "expire", "evict", "lock", "unlock", "message"})
"""What a subscription gets that names no ``types``: all but touch, renew and queue."""

ENTRY_TYPES: frozenset[str] = frozenset({"set", "delete", "expire", "evict", "touch"})
"""The event types that say what became of an entry."""


# --- commands ----------------------------------------------------------------------------------------------------


class Command(Struct, tag_field="op", forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """What an agent asks. ``id`` is the client's own, and comes back in the reply."""

    id: Id


class Change(Command, kw_only=True):
    """A command that changes something: it may carry ``rid``, and then takes effect once (G10)."""

    rid: str | None = None


class Hello(Command, tag="hello", kw_only=True):
    """Open a session, or take one over after a lost connection (protocol 3)."""

    agent: str | None = None
    ns: str | None = None
    token: str | None = None
    session: str | None = None
    secret: str | None = None
    cursors: dict[int, int] | None = None
    meta: dict[str, Any] | None = None


class Bye(Command, tag="bye", kw_only=True):
    """End the session now."""


class Status(Change, tag="status", kw_only=True):
    """Set one's own status in ``$agents``: any JSON up to 4 KiB."""

    status: Any


class Ping(Command, tag="ping", kw_only=True):
    """Ask for the hub's revision and time."""


class Guard(Struct, forbid_unknown_fields=True):
    """Lets a write through only while the lock with this token is held (protocol 4)."""

    token: int


class Set(Change, tag="set", kw_only=True):
    """Write an entry."""

    key: str
    value: Any
    ns: str | None = None
    ttl: float | None = None
    keep_ttl: bool = False
    if_rev: int | None = None
    kind: Kind = "persistent"
    ephemeral: bool = False
    meta: dict[str, Any] | None = None
    guard: Guard | None = None


class Get(Command, tag="get", kw_only=True):
    """Read an entry."""

    key: str
    ns: str | None = None
    fresh: bool = False


class Delete(Change, tag="delete", kw_only=True):
    """Delete an entry; a key that is absent is no error."""

    key: str
    ns: str | None = None
    if_rev: int | None = None
    guard: Guard | None = None


class Touch(Change, tag="touch", kw_only=True):
    """Give an entry a new deadline; null takes it away."""

    key: str
    ttl: float | None
    ns: str | None = None
    guard: Guard | None = None


class List(Command, tag="list", kw_only=True):
    """Read entries in key order, a page at a time."""

    pattern: str
    ns: str | None = None
    limit: int = 100
    after: str | None = None
    values: bool = True
    fresh: bool = False


class Search(Command, tag="search", kw_only=True):
    """Find entries by the words in them, the best first. A word that ends in a star stands for all that begin so."""

    text: str
    pattern: str = "*"
    ns: str | None = None
    limit: int = 20


class Update(Change, tag="update", kw_only=True):
    """Change a value where it is, by one of merge, patch, incr and append."""

    key: str
    ns: str | None = None
    merge: Any = UNSET
    patch: list[Any] | UnsetType = UNSET
    incr: float | int | UnsetType = UNSET
    append: Any = UNSET
    pointer: str | None = None
    if_rev: int | None = None
    ttl: float | None = None
    guard: Guard | None = None


class Condition(Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a txn asks of an entry: its revision, whether it is there, or a part of its value."""

    key: str
    ns: str | None = None
    rev: int | UnsetType = UNSET
    exists: bool | UnsetType = UNSET
    pointer: str = ""
    equals: Any = UNSET


class Txn(Change, tag="txn", kw_only=True, rename={"if_": "if", "else_": "else"}):
    """Several changes, all or nothing, at one revision. `then` and `else` hold commands without id and rid."""

    if_: list[Condition]
    then: list[dict[str, Any]]
    else_: list[dict[str, Any]] = []


class History(Command, tag="history", kw_only=True):
    """Read an entry and its earlier versions."""

    key: str
    ns: str | None = None
    limit: int | None = None


class Clear(Change, tag="clear", kw_only=True):
    """Delete the entries that match, at most 1,000 a call."""

    pattern: str
    confirm: bool
    ns: str | None = None


class Namespaces(Command, tag="namespaces", kw_only=True):
    """Count keys and bytes for each namespace."""


class Publish(Change, tag="publish", kw_only=True):
    """Send a message to the subscribers of a channel; it is not stored."""

    channel: str
    data: Any
    ns: str | None = None


class Since(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A place in the log: `rev` in the log named `epoch`. With `gaps`, what is kept since then is asked for, even where
    something that was not kept is missing."""

    epoch: str
    rev: int
    gaps: bool = False


class Subscribe(Command, tag="subscribe", kw_only=True):
    """Ask for the events that match any of the patterns (protocol 5)."""

    patterns: list[str]
    ns: str | None = None
    types: list[EventType] | None = None
    values: bool = True
    prev: bool = False
    snapshot: bool = False
    since: Since | None = None
    echo: bool = True
    conflate: float | None = None


class Unsubscribe(Command, tag="unsubscribe", kw_only=True):
    """End a subscription."""

    sub: int


class Stats(Command, tag="stats", kw_only=True):
    """Ask what this hub holds and has done since it started (protocol 8)."""


class Backup(Command, tag="backup", kw_only=True):
    """Have a backup made of what the hub keeps on disk. The reply comes when it is there."""


class Lock(Change, tag="lock", kw_only=True):
    """Ask for a lock on names or on patterns, all of them or none (protocol 6). ``wait`` null waits for ever."""

    name: str | None = None
    names: list[str] | None = None
    pattern: str | None = None
    patterns: list[str] | None = None
    ns: str | None = None
    mode: Mode = "exclusive"
    ttl: float = 30.0
    wait: float | None = 0.0
    task: str | None = None


class Unlock(Change, tag="unlock", kw_only=True):
    """Let a lock go: one's own by its token, or anyone's with ``force`` and a ``reason``."""

    token: int | None = None
    name: str | None = None
    ns: str | None = None
    force: bool = False
    reason: str | None = None


class Renew(Change, tag="renew", kw_only=True):
    """Give a lock that is held a new deadline; by default its ``ttl`` again."""

    token: int
    ttl: float | None = None


class Locks(Command, tag="locks", kw_only=True):
    """Read which locks are held, and who waits for them."""

    pattern: str | None = None
    ns: str | None = None


class Cancel(Command, tag="cancel", kw_only=True):
    """Let a waiting command of this session end now."""

    target: Id


class Where(Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a value has to be like, at ``pointer`` (RFC 6901)."""

    pointer: str = ""
    op: Comparison = "eq"
    value: Any = UNSET


class Awaited(Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A condition of a wait: so many entries of a key or pattern, none of them, or nothing locked there."""

    key: str | None = None
    pattern: str | None = None
    ns: str | None = None
    count: int = 1
    absent: bool = False
    unlocked: bool = False
    since: int | None = None
    where: Where | None = None


class Wait(Command, tag="wait", kw_only=True):
    """Wait until all, or any, of the conditions hold (protocol 7)."""

    all: list[Awaited] | None = None
    any: list[Awaited] | None = None
    timeout: float = 30.0


class Take(Change, tag="take", kw_only=True):
    """Take the oldest matching entry that nobody has locked, for the length of a lease: work with one winner."""

    patterns: list[str]
    ns: str | None = None
    lease: float = 30.0
    timeout: float | None = 0.0
    max_deliveries: int | None = None


class Inspect(Command, tag="inspect", kw_only=True):
    """Ask who is here, who holds what, and who waits for whom."""


Step = Set | Delete | Touch | Update | Publish
"""The commands that a txn may hold."""

AnyCommand = (
    Hello | Bye | Status | Ping | Set | Get | Delete | Touch | List | Search | Update | Txn | History | Clear
    | Namespaces | Publish | Subscribe | Unsubscribe | Stats | Backup | Lock | Unlock | Renew | Locks | Cancel | Wait
    | Take | Inspect
)  # fmt: skip


# --- entries -----------------------------------------------------------------------------------------------------


class Entry(Struct, kw_only=True):
    """A key with its value and what is known of it (protocol 4). ``value`` is absent where it was not asked for."""

    key: str
    ns: str
    rev: int
    version: int
    kind: str
    created_at: float
    updated_at: float
    expires_at: float | None
    by: str
    meta: Any = None
    value: Any = UNSET


class Hit(Entry, kw_only=True):
    """An entry that a search has found. ``score`` says how well it fits, beside the others: more is better."""

    score: float


class NamespaceCount(Struct):
    """One namespace with its number of keys and their bytes."""

    ns: str
    keys: int
    bytes: int


# --- replies: what stands under "ok" -----------------------------------------------------------------------------


class HubInfo(Struct):
    """Which program answers."""

    name: str
    version: str


class Welcome(Struct, kw_only=True):
    """Reply to hello. ``subs`` maps the sub numbers before a takeover to the present ones."""

    session: str
    secret: str
    agent: str
    resumed: bool
    epoch: str
    rev: int
    grace: float
    hub: HubInfo
    features: list[str]
    durability: str
    limits: dict[str, int | float]
    subs: dict[int, int]


class Empty(Struct):
    """Reply to bye and unsubscribe."""


class Revised(Struct):
    """Reply to status and unlock: the revision of the change."""

    rev: int


class Pong(Struct):
    """Reply to ping."""

    rev: int
    at: float


class Written(Struct):
    """Reply to set."""

    rev: int
    version: int
    expires_at: float | None


class Got(Struct):
    """Reply to get: the entry, or None if it is absent."""

    entry: Entry | None
    rev: int


class Deleted(Struct):
    """Reply to delete: whether there was something to delete."""

    deleted: bool
    rev: int


class Touched(Struct):
    """Reply to touch: the new deadline."""

    expires_at: float | None
    rev: int


class Listed(Struct):
    """Reply to list: a page in key order; ``next`` goes into ``after`` of the next call, None at the end."""

    entries: list[Entry]
    next: str | None
    rev: int


class Found(Struct):
    """Reply to search: the entries with all of the words, the best first; ``more`` if there are others."""

    entries: list[Hit]
    more: bool
    rev: int


class Updated(Struct):
    """Reply to update: what the value is now."""

    rev: int
    version: int
    value: Any
    expires_at: float | None


class Done(Struct):
    """Reply to txn: which branch was taken, and the reply of each of its commands."""

    done: Literal["then", "else"]
    rev: int
    results: list[Any]


class Histories(Struct):
    """Reply to history: newest first, as far back as is kept."""

    entries: list[Entry]


class Cleared(Struct):
    """Reply to clear: how many were deleted, and whether more are left."""

    deleted: int
    more: bool
    rev: int


class NamespaceCounts(Struct):
    """Reply to namespaces."""

    namespaces: list[NamespaceCount]


class Published(Struct):
    """Reply to publish: how many sessions have a subscription to it."""

    rev: int
    receivers: int


class Subscribed(Struct, omit_defaults=True):
    """Reply to subscribe: the number of the interest, and where its cursor stands."""

    sub: int
    epoch: str
    rev: int
    resumed: bool | None = None
    reason: str | None = None


class OpCount(Struct, frozen=True):
    """How often an op was decided, how often it was refused, and the mean time of deciding it, in seconds."""

    count: int = 0
    errors: int = 0
    mean: float = 0.0


class Rates(Struct, frozen=True):
    """What happened in each second, over the last ten: commands, revisions, events, and writes to sockets."""

    commands: float = 0.0
    revisions: float = 0.0
    events: float = 0.0
    sends: float = 0.0


class Lateness(Struct, frozen=True):
    """How late the last thousand entries expired, in seconds; ``count`` is of all since the start."""

    count: int = 0
    p50: float = 0.0
    p99: float = 0.0
    max: float = 0.0


class LogWindow(Struct, frozen=True):
    """What the log reaches back to: everything after the revision ``floor``, up to ``rev``."""

    events: int = 0
    bytes: int = 0
    floor: int = 0
    rev: int = 0


class Statistics(Struct, kw_only=True):
    """Reply to stats: what is held now, and what was done since ``started_at`` (protocol 8)."""

    rev: int
    at: float
    keys: int
    bytes: int
    max_keys: int
    max_bytes: int
    sessions: int
    subscriptions: int
    locks: int
    waits: int
    log: LogWindow
    started_at: float = 0.0
    durability: str = ""
    refusing: str | None = None
    """Why nothing that has to survive is accepted now, if that is so."""
    reads: int = 0
    """Entries asked for by key: hits and misses."""
    writes: int = 0
    """Entries written."""
    hits: int = 0
    misses: int = 0
    evictions: int = 0
    expiries: int = 0
    events: int = 0
    """Events of every type."""
    sends: int = 0
    """Writes to sockets: a write carries all that waited."""
    connections: int = 0
    slow: int = 0
    """Connections whose agents read more slowly than they are told."""
    ops: dict[str, OpCount] = {}
    rates: Rates = Rates()
    lateness: Lateness = Lateness()
    memory: int = 0
    """Bytes of memory that the process of the hub takes."""


class BackedUp(Struct):
    """Reply to backup: where it is on the hub's machine, its size, and a revision up to which all is in it."""

    path: str
    bytes: int
    rev: int
    seconds: float
    """How long it took."""


class Granted(Struct, kw_only=True, omit_defaults=True):
    """Reply to lock: the fencing token, the deadline, and how many seconds it was waited for."""

    token: int
    mode: Mode
    expires_at: float
    waited: float
    names: list[str] | UnsetType = UNSET
    patterns: list[str] | UnsetType = UNSET


class Renewed(Struct):
    """Reply to renew: the new deadline."""

    expires_at: float
    rev: int


class Holder(Struct, kw_only=True, omit_defaults=True):
    """Who holds what is asked for. ``self`` says whether that is the session that asks."""

    agent: str
    session: str
    mode: Mode
    since: float
    expires_at: float
    self: bool
    names: list[str] | UnsetType = UNSET
    patterns: list[str] | UnsetType = UNSET


class Waiter(Struct, kw_only=True, omit_defaults=True):
    """Who waits for a lock, and since when."""

    agent: str
    session: str
    mode: Mode
    since: float
    names: list[str] | UnsetType = UNSET
    patterns: list[str] | UnsetType = UNSET


class HeldLock(Struct, kw_only=True, omit_defaults=True):
    """A lock that is held, and who waits for it, in the order in which they asked."""

    ns: str
    mode: Mode
    agent: str
    session: str
    token: int
    since: float
    expires_at: float
    queue: list[Waiter]
    names: list[str] | UnsetType = UNSET
    patterns: list[str] | UnsetType = UNSET


class HeldLocks(Struct, omit_defaults=True):
    """Reply to locks, in the order in which they were granted; ``cut`` if there are more than a reply can hold."""

    locks: list[HeldLock]
    cut: bool = False


class Cancelling(Struct):
    """Reply to cancel: whether there was a waiting command to cancel."""

    cancelled: bool


class Waited(Struct):
    """Reply to wait: the entries that met it, the indices of the conditions that hold, and the revision."""

    matched: list[Entry]
    met: list[int]
    rev: int


class Taken(Struct):
    """Reply to take: the entry, the token of its lock, how often it was delivered by now, and the seconds waited."""

    entry: Entry
    token: int
    expires_at: float
    delivery: int
    waited: float = 0.0


class SeenSession(Struct):
    """A session, as inspect tells of it."""

    session: str
    agent: str
    ns: str
    connected: bool
    since: float
    expires_at: float | None
    subscriptions: int
    locks: int
    waits: int
    ephemeral: int


class SeenWait(Struct, kw_only=True, omit_defaults=True):
    """A waiting command: who, for what, since when and until when; ``met`` are the conditions that hold by now."""

    op: str
    id: Id
    agent: str
    session: str
    ns: str
    since: float
    until: float | None
    names: list[str] | UnsetType = UNSET
    patterns: list[str] | UnsetType = UNSET
    mode: Mode | UnsetType = UNSET
    all: list[Awaited] | UnsetType = UNSET
    any: list[Awaited] | UnsetType = UNSET
    met: list[int] | UnsetType = UNSET
    blocked_by: list[Holder] | UnsetType = UNSET


class SeenSubscription(Struct):
    """An interest, and who has it."""

    sub: int
    ns: str
    patterns: list[str]
    types: list[str]
    agents: list[str]


class Inspection(Struct):
    """Reply to inspect: who is here, what is held, who waits for whom, who hears of what."""

    rev: int
    at: float
    sessions: list[SeenSession]
    locks: list[HeldLock]
    waits: list[SeenWait]
    subscriptions: list[SeenSubscription]
    cut: list[str]
    """Those of the four lists that have more than the 1,000 shown."""


Ok = (
    Welcome | Empty | Revised | Pong | Written | Got | Deleted | Touched | Listed | Found | Updated | Done
    | Histories | Cleared | NamespaceCounts | Published | Subscribed | Statistics | BackedUp | Granted | Renewed
    | HeldLocks | Cancelling | Waited | Taken | Inspection
)  # fmt: skip

REPLIES: dict[type[Command], type[Struct]] = {
    Hello: Welcome,
    Bye: Empty,
    Status: Revised,
    Ping: Pong,
    Set: Written,
    Get: Got,
    Delete: Deleted,
    Touch: Touched,
    List: Listed,
    Search: Found,
    Update: Updated,
    Txn: Done,
    History: Histories,
    Clear: Cleared,
    Namespaces: NamespaceCounts,
    Publish: Published,
    Subscribe: Subscribed,
    Unsubscribe: Empty,
    Stats: Statistics,
    Backup: BackedUp,
    Lock: Granted,
    Unlock: Revised,
    Renew: Renewed,
    Locks: HeldLocks,
    Cancel: Cancelling,
    Wait: Waited,
    Take: Taken,
    Inspect: Inspection,
}
"""The reply that each command gets: the one table that says which commands there are."""

OPS: dict[str, type[Command]] = {str(command.__struct_config__.tag): command for command in REPLIES}
"""Each op of the wire with its command."""


# --- events ------------------------------------------------------------------------------------------------------


class Event(Struct, kw_only=True, omit_defaults=True, repr_omit_defaults=True):
    """What happened, with its revision (protocol 5). Fields that a type does not have are UNSET.

    ``type`` is one of EventType, or the subscription's own ``synced``, ``mark`` and ``lost``.
    """

    type: str = ""
    rev: int = 0
    sub: int | UnsetType = UNSET
    after: int | UnsetType = UNSET
    more: bool = False
    key: str = ""
    ns: str = ""
    at: float = 0.0
    by: str = ""
    snapshot: bool = False
    value: Any = UNSET
    version: int | UnsetType = UNSET
    kind: str | UnsetType = UNSET
    created_at: float | UnsetType = UNSET
    expires_at: float | UnsetType | None = UNSET
    meta: Any = UNSET
    reason: str | UnsetType = UNSET
    late: float | UnsetType = UNSET
    data: Any = UNSET
    prev: Entry | UnsetType | None = UNSET
    token: int | UnsetType = UNSET
    mode: str | UnsetType = UNSET
    session: str | UnsetType = UNSET
    names: list[str] | UnsetType = UNSET
    patterns: list[str] | UnsetType = UNSET
    waiting: int | UnsetType = UNSET


class LostLock(Struct, kw_only=True, omit_defaults=True):
    """A lock that its holder lost: the hub says so unasked (protocol 6)."""

    token: int
    reason: str
    names: list[str] | UnsetType = UNSET
    patterns: list[str] | UnsetType = UNSET
    message: str = ""


class Incoming(Event, kw_only=True, omit_defaults=True, repr_omit_defaults=True):
    """Any line from the hub: a reply has ``ok`` or ``error``, an event a ``type``."""

    id: Id | None = None
    ok: msgspec.Raw | UnsetType = UNSET
    error: dict[str, Any] | UnsetType = UNSET
    dup: bool = False
    lost: LostLock | UnsetType = UNSET

    def __repr__(self) -> str:
        """As the Event that a program takes it for."""
        return super().__repr__().replace("Incoming", "Event", 1)
