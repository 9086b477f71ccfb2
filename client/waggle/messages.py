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
    got: dict[int, int] | None = None
    meta: dict[str, Any] | None = None


class Bye(Command, tag="bye", kw_only=True):
    """End the session now."""


class Status(Change, tag="status", kw_only=True):
    """Set one's own status in ``$agents``: any JSON up to 4 KiB."""

    status: Any


class Ping(Command, tag="ping", kw_only=True):
    """Ask for the hub's revision and time."""


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


class Touch(Change, tag="touch", kw_only=True):
    """Give an entry a new deadline; null takes it away."""

    key: str
    ttl: float | None
    ns: str | None = None


class List(Command, tag="list", kw_only=True):
    """Read entries in key order, a page at a time."""

    pattern: str
    ns: str | None = None
    limit: int = 100
    after: str | None = None
    values: bool = True
    fresh: bool = False


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


class Since(Struct, forbid_unknown_fields=True):
    """A resume point: a revision within an epoch."""

    epoch: str
    rev: int


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


Step = Set | Delete | Touch | Update | Publish
"""The commands that a txn may hold."""

AnyCommand = (
    Hello | Bye | Status | Ping | Set | Get | Delete | Touch | List | Update | Txn | History | Clear | Namespaces
    | Publish | Subscribe | Unsubscribe | Stats
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
    """Reply to status: the revision of the change."""

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


Ok = (
    Welcome | Empty | Revised | Pong | Written | Got | Deleted | Touched | Listed | Updated | Done | Histories
    | Cleared | NamespaceCounts | Published | Subscribed | Statistics
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
    Update: Updated,
    Txn: Done,
    History: Histories,
    Clear: Cleared,
    Namespaces: NamespaceCounts,
    Publish: Published,
    Subscribe: Subscribed,
    Unsubscribe: Empty,
    Stats: Statistics,
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
    deadline: float | UnsetType = UNSET
    late: float | UnsetType = UNSET
    data: Any = UNSET
    prev: Entry | UnsetType | None = UNSET


class Incoming(Event, kw_only=True, omit_defaults=True, repr_omit_defaults=True):
    """Any line from the hub: a reply has ``ok`` or ``error``, an event a ``type``."""

    id: Id | None = None
    ok: msgspec.Raw | UnsetType = UNSET
    error: dict[str, Any] | UnsetType = UNSET
    dup: bool = False

    def __repr__(self) -> str:
        """As the Event that a program takes it for."""
        return super().__repr__().replace("Incoming", "Event", 1)
