"""The messages of the wire: commands, replies, entries and events, as msgspec structs (protocol 2 to 8).

This module is the public contract. The hub decodes commands with these types and builds replies from them; the client
does the reverse. It holds shapes only. The rules (lengths, ranges, grammar) are in the state machine, so that they are
the same for every transport.

The tables of docs/protocol.md and the schema docs/protocol.schema.json are made from this module (`make protocol`).
The docstring below a field is its meaning, and "Limit:" begins what the hub refuses beyond. A field without a docstring
means what the nearest field of its name above it means. Durations are in seconds. Instants are Unix seconds.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

Id = int | str
Kind = Literal["persistent", "transient", "cached", "versioned"]
Mode = Literal["exclusive", "shared"]
Comparison = Literal["eq", "ne", "lt", "le", "gt", "ge", "in", "exists", "contains"]
EventType = Literal["set", "delete", "expire", "evict", "touch", "lock", "renew", "unlock", "queue", "message"]
DEFAULT_TYPES: frozenset[str] = frozenset({"set", "delete", "expire", "evict", "lock", "unlock", "message"})
"""The event types of a subscription that names no ``types``: all but touch, renew and queue."""

ENTRY_TYPES: frozenset[str] = frozenset({"set", "delete", "expire", "evict", "touch"})
"""The event types that are about an entry."""


# --- commands ----------------------------------------------------------------------------------------------------


class Command(Struct, tag_field="op", forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A command of an agent to the hub."""

    id: Id
    """Chosen by the client; the reply carries it. Limit: a string has 64 characters."""


class Change(Command, kw_only=True):
    """A command that changes something. With a ``rid`` it takes effect once, however often it is sent (G10)."""

    rid: str | None = None
    """The same `rid` again is not done again: the first outcome comes back ([retry](#retry)). Limit: 1 to 64
    characters."""


class Hello(Command, tag="hello", kw_only=True):
    """Open a session, or take one over after a lost connection."""

    agent: str | None = None
    """The agent's name, without control characters, not starting with `$`; by default the hub makes one. Limit: 1 to
    100 characters."""
    ns: str | None = None
    """The session's default namespace; by default `default`. Limit: `[a-zA-Z0-9_.-]{1,64}`."""
    token: str | None = None
    """For hubs that ask for a token. None does yet: it is ignored."""
    session: str | None = None
    """Take over this session, of an earlier reply to `hello`. Needs `secret`."""
    secret: str | None = None
    """The secret of that session, from the same reply."""
    cursors: dict[int, int] | None = None
    """For a takeover: the revision reached in each subscription, as `{sub: rev}`. Limit: no revision ahead of the
    hub."""
    meta: dict[str, Any] | None = None
    """An object that other agents can see: role, host, model. Limit: 4 KiB."""


class Bye(Command, tag="bye", kw_only=True):
    """End the session now."""


class Status(Change, tag="status", kw_only=True):
    """Set the agent's own status, which others see in ``$agents``."""

    status: Any
    """The status. Limit: 4 KiB."""


class Ping(Command, tag="ping", kw_only=True):
    """Ask for the hub's revision and time."""


class Guard(Struct, forbid_unknown_fields=True):
    """A condition of a write: the lock with this token must be held."""

    token: int
    """The token of the lock, from the reply to `lock` or `take`."""


class Set(Change, tag="set", kw_only=True):
    """Write an entry."""

    key: str
    """The key. Limit: 1 to 255 characters, none of them a control character, no white space at either end."""
    value: Any
    """The value. Limit: 11 MiB, nesting of 100, integers of 64 bits, finite numbers."""
    ns: str | None = None
    """The namespace; by default the one of `hello`. Limit: `[a-zA-Z0-9_.-]{1,64}`."""
    ttl: float | None = None
    """Seconds that the entry lives; without it the entry has no deadline. Limit: above 0, at most 10 years."""
    keep_ttl: bool = False
    """Keep the deadline that the entry has. Not together with `ttl`."""
    if_rev: int | None = None
    """Write only if the entry has this revision; 0: only if the key is absent. Else `conflict`."""
    kind: Kind = "persistent"
    """How the entry is kept: see below."""
    ephemeral: bool = False
    """Delete the entry when the session ends. Limit: 1,000 entries of a session."""
    meta: dict[str, Any] | None = None
    """Labels beside the value. Limit: 64 KiB."""
    guard: Guard | None = None
    """Write only while the lock with this token is held ([guard](#guard)). Else `not_holder`."""


class Get(Command, tag="get", kw_only=True):
    """Read an entry."""

    key: str
    ns: str | None = None
    fresh: bool = False
    """Where several hubs share one log: read the latest state. It makes no difference with one hub."""


class Delete(Change, tag="delete", kw_only=True):
    """Delete an entry. An absent key is no error."""

    key: str
    ns: str | None = None
    if_rev: int | None = None
    guard: Guard | None = None


class Touch(Change, tag="touch", kw_only=True):
    """Give an entry a new deadline, or none."""

    key: str
    ttl: float | None
    """Seconds from now to the new deadline; null: no deadline. Limit: above 0, at most 10 years."""
    ns: str | None = None
    guard: Guard | None = None


class List(Command, tag="list", kw_only=True):
    """Read entries in key order, a page at a time."""

    pattern: str
    """The keys to read ([patterns](#patterns)). Limit: 1 to 255 characters."""
    ns: str | None = None
    limit: int = 100
    """Entries of the page at most. Limit: 1 to 1,000."""
    after: str | None = None
    """Begin after this key: `next` of the page before."""
    values: bool = True
    """False leaves out values."""
    fresh: bool = False


class Search(Command, tag="search", kw_only=True):
    """Find entries by the words in them, the best first."""

    text: str
    """The words, with white space between them; `auth*` stands for all words that begin so. Limit: 1,000 characters,
    16 words."""
    pattern: str = "*"
    """Search among the keys that match this. Limit: 1 to 255 characters."""
    ns: str | None = None
    limit: int = 20
    """Entries of the reply at most. Limit: 1 to 1,000."""


class Update(Change, tag="update", kw_only=True):
    """Change a value where it is, by exactly one of merge, patch, incr and append."""

    key: str
    ns: str | None = None
    merge: Any = UNSET
    """A JSON Merge Patch (RFC 7396)."""
    patch: list[Any] | UnsetType = UNSET
    """A JSON Patch (RFC 6902)."""
    incr: float | int | UnsetType = UNSET
    """A number to add to the number that is there."""
    append: Any = UNSET
    """An item to add at the end of the array that is there."""
    pointer: str | None = None
    """Where `incr` and `append` apply, as a JSON Pointer (RFC 6901); by default the whole value."""
    if_rev: int | None = None
    ttl: float | None = None
    """Seconds from now to a new deadline; without it the deadline stays. Limit: above 0, at most 10 years."""
    guard: Guard | None = None


class Condition(Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A condition of a txn on one entry: exactly one of rev, exists and equals."""

    key: str
    ns: str | None = None
    rev: int | UnsetType = UNSET
    """The entry has this revision; 0: the key is absent."""
    exists: bool | UnsetType = UNSET
    """There is an entry (true), or there is none (false)."""
    pointer: str = ""
    """The part of the value that `equals` is about, as a JSON Pointer; by default the whole value."""
    equals: Any = UNSET
    """The value, or its part at `pointer`, equals this JSON."""


class Txn(Change, tag="txn", kw_only=True, rename={"if_": "if", "else_": "else"}):
    """Make several changes at one revision, or none of them."""

    if_: list[Condition]
    """If all of these hold, `then` is done, else `else`. Limit: 128."""
    then: list[dict[str, Any]]
    """Commands `set`, `delete`, `touch`, `update` and `publish`, without `id` and `rid`. Limit: 128."""
    else_: list[dict[str, Any]] = []
    """Commands of the same kind. Limit: 128."""


class History(Command, tag="history", kw_only=True):
    """Read an entry and its earlier versions."""

    key: str
    ns: str | None = None
    limit: int | None = None
    """Versions of the reply at most; by default all that are kept. Limit: at least 1."""


class Clear(Change, tag="clear", kw_only=True):
    """Delete the entries that match, at most 1,000 a call."""

    pattern: str
    """The keys to delete ([patterns](#patterns)). Limit: 1 to 255 characters."""
    confirm: bool
    """Must be true."""
    ns: str | None = None


class Namespaces(Command, tag="namespaces", kw_only=True):
    """Count the keys and bytes of each namespace."""


class Publish(Change, tag="publish", kw_only=True):
    """Send a message to the subscribers of a channel. It is not stored."""

    channel: str
    """The channel: a name as a key is one. Limit: 1 to 255 characters."""
    data: Any
    """The message. Limit: as `value` of `set`."""
    ns: str | None = None


class Since(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A place in the log, from which a subscription goes on."""

    epoch: str
    """The epoch of the log, from the reply to `hello` or `subscribe`."""
    rev: int
    """The revision reached. Limit: not ahead of the hub."""
    gaps: bool = False
    """Go on even where events are missing that were not kept over a restart."""


class Subscribe(Command, tag="subscribe", kw_only=True):
    """Ask for the events that match any of the patterns."""

    patterns: list[str]
    """An event matches if any of these matches its key ([patterns](#patterns)). Limit: 1 to 100 patterns, of 1 to 255
    characters each."""
    ns: str | None = None
    """The namespace; `"*"`: all but those that start with `$`. By default the one of `hello`."""
    types: list[EventType] | None = None
    """The event types; by default `set delete expire evict lock unlock message`. Limit: at least one."""
    values: bool = True
    """False leaves out `value`."""
    prev: bool = False
    """True adds `prev`, the entry before, to events about entries."""
    snapshot: bool = False
    """True: first the entries as they are now, and the locks that are held."""
    since: Since | None = None
    """Go on from this place in the log."""
    echo: bool = True
    """False leaves out the session's own events; a `mark` stands in for each."""
    conflate: float | None = None
    """Seconds: at most one delivery in this time, with the latest event of each key. Limit: above 0, at most 3,600."""


class Unsubscribe(Command, tag="unsubscribe", kw_only=True):
    """End a subscription."""

    sub: int
    """The number of the subscription, from the reply to `subscribe`."""


class Stats(Command, tag="stats", kw_only=True):
    """Ask what this hub holds, and what it has done since it started."""


class Backup(Command, tag="backup", kw_only=True):
    """Write a backup of what the hub keeps on disk. The reply comes when it is done."""


class Lock(Change, tag="lock", kw_only=True):
    """Ask for a lock on names or on patterns, all of them or none."""

    name: str | None = None
    """One name. A lock has exactly one of `name`, `names`, `pattern` and `patterns`. Limit: as a key."""
    names: list[str] | None = None
    """Several names. Limit: 1 to 100."""
    pattern: str | None = None
    """One pattern ([patterns](#patterns)). Limit: 1 to 255 characters."""
    patterns: list[str] | None = None
    """Several patterns. Limit: 1 to 10."""
    ns: str | None = None
    """The namespace; by default the one of `hello`. Limit: `[a-zA-Z0-9_.-]{1,64}`."""
    mode: Mode = "exclusive"
    """`shared` locks do not conflict with each other."""
    ttl: float = 30.0
    """Seconds that the lock is held unless it is renewed. Limit: above 0, at most 10 years."""
    wait: float | None = 0.0
    """Seconds to wait for the lock; 0 tries once, null waits without end. Limit: 0 to 10 years."""
    task: str | None = None
    """Which of the session's tasks asks: the hub finds deadlocks between tasks. Limit: 1 to 100 characters."""


class Unlock(Change, tag="unlock", kw_only=True):
    """Release a lock: one's own by its token, or anyone's with ``force`` and a ``reason``."""

    token: int | None = None
    """The token of the lock."""
    name: str | None = None
    """With `force`, instead of `token`: every lock held on this name, or on a pattern of this text."""
    ns: str | None = None
    """With `name`: its namespace."""
    force: bool = False
    """Release a lock of another session. Needs `reason`."""
    reason: str | None = None
    """Why; the holder reads it. Limit: 1,000 characters."""


class Renew(Change, tag="renew", kw_only=True):
    """Give a lock that is held a new deadline."""

    token: int
    """The token of the lock."""
    ttl: float | None = None
    """Seconds from now to the new deadline; by default the `ttl` that the lock has. Limit: above 0, at most 10
    years."""


class Locks(Command, tag="locks", kw_only=True):
    """Read which locks are held, and who waits for them."""

    pattern: str | None = None
    """Locks on names that match this, and on patterns whose text matches it; by default all. Limit: 1 to 255
    characters."""
    ns: str | None = None
    """The namespace; `"*"`: all. By default the one of `hello`."""


class Cancel(Command, tag="cancel", kw_only=True):
    """End a waiting command of this session now."""

    target: Id
    """The `id` of the waiting command."""


class Where(Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A condition on a value, or on a part of it."""

    pointer: str = ""
    """The part of the value that is meant, as a JSON Pointer (RFC 6901); by default the whole value."""
    op: Comparison = "eq"
    """How to compare: `eq ne lt le gt ge in exists contains`."""
    value: Any = UNSET
    """The JSON to compare with. Only `exists` needs none."""


class Awaited(Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A condition of a wait: entries that are there, that are absent, or that are not locked."""

    key: str | None = None
    """The key. A condition has exactly one of `key` and `pattern`."""
    pattern: str | None = None
    """The keys that match this ([patterns](#patterns)). Limit: 1 to 255 characters."""
    ns: str | None = None
    """The namespace; by default the one of `hello`. Limit: `[a-zA-Z0-9_.-]{1,64}`."""
    count: int = 1
    """So many entries of the pattern. Limit: 1 to 1,000."""
    absent: bool = False
    """There is no such entry."""
    unlocked: bool = False
    """No lock is held on the key, or on anything that the pattern could match. Alone or with `absent`."""
    since: int | None = None
    """Only entries written after this revision count."""
    where: Where | None = None
    """Only entries whose value meets this count."""


class Wait(Command, tag="wait", kw_only=True):
    """Wait until all, or any, of the conditions hold."""

    all: list[Awaited] | None = None
    """All of these must hold at one revision. A wait has exactly one of `all` and `any`. Limit: 1 to 100."""
    any: list[Awaited] | None = None
    """One of these must hold. Limit: 1 to 100."""
    timeout: float = 30.0
    """Seconds to wait. Limit: 0 to 3,600."""


class Take(Change, tag="take", kw_only=True):
    """Take the oldest matching entry that is not locked, for the length of a lease."""

    patterns: list[str]
    """The entries to take: any that one of these matches ([patterns](#patterns)). Limit: 1 to 100."""
    ns: str | None = None
    lease: float = 30.0
    """Seconds that the lock on the entry is held unless it is renewed. Limit: above 0, at most 10 years."""
    timeout: float | None = 0.0
    """Seconds to wait for an entry; 0 tries once, null waits without end. Limit: 0 to 10 years."""
    max_deliveries: int | None = None
    """Move an entry that was delivered this often to namespace `$dead` instead. Limit: at least 1."""


class Inspect(Command, tag="inspect", kw_only=True):
    """Ask which sessions there are, which locks they hold, and which session waits for which."""


Step = Set | Delete | Touch | Update | Publish
"""The commands that a txn may hold."""

AnyCommand = (
    Hello | Bye | Status | Ping | Set | Get | Delete | Touch | List | Search | Update | Txn | History | Clear
    | Namespaces | Publish | Subscribe | Unsubscribe | Stats | Backup | Lock | Unlock | Renew | Locks | Cancel | Wait
    | Take | Inspect
)  # fmt: skip


# --- entries -----------------------------------------------------------------------------------------------------


class Entry(Struct, kw_only=True):
    """A key with its value and what is known of it."""

    key: str
    """The key."""
    ns: str
    """The namespace."""
    rev: int
    """The revision of the last write."""
    version: int
    """How many times the key was written. It never starts again, not even after a delete."""
    kind: str
    """How the entry is kept: `persistent`, `transient`, `cached` or `versioned`."""
    created_at: float
    """When the key was written first since it was last absent."""
    updated_at: float
    """When it was last written."""
    expires_at: float | None
    """The deadline; null if there is none."""
    by: str
    """The agent that wrote it last, or `$hub`."""
    meta: Any = None
    """The labels that were given with it; null if there are none."""
    value: Any = UNSET
    """The value; absent where values were not asked for."""


class Hit(Entry, kw_only=True):
    """An entry that a search has found."""

    score: float
    """How well the entry fits beside the others: more is better."""


class NamespaceCount(Struct):
    """A namespace, with the number of its keys and their bytes."""

    ns: str
    keys: int
    """Entries in the namespace."""
    bytes: int
    """Bytes of their keys, values and metas."""


# --- replies: what stands under "ok" -----------------------------------------------------------------------------


class HubInfo(Struct):
    """The program that answers."""

    name: str
    """The name of the program."""
    version: str
    """The version of the hub."""


class Welcome(Struct, kw_only=True):
    """Reply to hello: the session."""

    session: str
    """The name of the session, for a takeover."""
    secret: str
    """The proof that a takeover comes from the same agent. Do not show it to others."""
    agent: str
    """The agent's name."""
    resumed: bool
    """Whether this is a takeover."""
    epoch: str
    """The name of the log. Revisions of different epochs cannot be compared."""
    rev: int
    """The revision of the hub."""
    grace: float
    """Seconds that the session outlives a lost connection."""
    hub: HubInfo
    """The program that answers."""
    features: list[str]
    """The ops of this hub."""
    durability: str
    """`full`, `relaxed` or `memory`: see below."""
    limits: dict[str, int | float]
    """The limits of this hub, by name; sizes in bytes, times in seconds."""
    subs: dict[int, int]
    """After a takeover: the present number of each subscription, by the number before."""


class Empty(Struct):
    """Reply to bye and unsubscribe: nothing."""


class Revised(Struct):
    """Reply to status and unlock: the revision of the change."""

    rev: int
    """The revision of the change."""


class Pong(Struct):
    """Reply to ping: the hub's revision and time."""

    rev: int
    """The revision of the hub."""
    at: float
    """The time of the hub."""


class Written(Struct):
    """Reply to set: the new revision and version."""

    rev: int
    """The revision of the write."""
    version: int
    """How many times the key was written by now."""
    expires_at: float | None
    """The deadline; null if there is none."""


class Got(Struct):
    """Reply to get: the entry, or None if it is absent."""

    entry: Entry | None
    """The entry; null if the key is absent."""
    rev: int
    """The revision of the hub."""


class Deleted(Struct):
    """Reply to delete: whether there was something to delete."""

    deleted: bool
    """Whether there was an entry."""
    rev: int
    """The revision of the delete; that of the hub if nothing was deleted."""


class Touched(Struct):
    """Reply to touch: the new deadline."""

    expires_at: float | None
    """The new deadline; null if there is none."""
    rev: int
    """The revision of the touch in the log. The entry keeps its own, which is the one for `if_rev`."""


class Listed(Struct):
    """Reply to list: a page of entries in key order."""

    entries: list[Entry]
    """The entries, in key order by code point."""
    next: str | None
    """Give this as `after` for the next page; null after the last page."""
    rev: int
    """The revision of the hub."""


class Found(Struct):
    """Reply to search: the entries with all of the words, the best first."""

    entries: list[Hit]
    """The entries, the best first."""
    more: bool
    """Whether there are others, beyond `limit` or about 8 MiB."""
    rev: int
    """The revision at which the entries were as they are shown."""


class Updated(Struct):
    """Reply to update: the new value."""

    rev: int
    """The revision of the write."""
    version: int
    """How many times the key was written by now."""
    value: Any
    """The value after the update."""
    expires_at: float | None
    """The deadline; null if there is none."""


class Done(Struct):
    """Reply to txn: the branch that was taken, and the replies of its commands."""

    done: Literal["then", "else"]
    """The branch that was taken."""
    rev: int
    """The revision of all its changes."""
    results: list[Any]
    """The `ok` of each command of the branch, in order."""


class Histories(Struct):
    """Reply to history: the entry and its earlier versions, newest first."""

    entries: list[Entry]
    """The entry and the earlier versions that are kept, newest first."""


class Cleared(Struct):
    """Reply to clear: how many entries were deleted, and whether more are left."""

    deleted: int
    """How many entries were deleted."""
    more: bool
    """Whether to call again."""
    rev: int
    """The revision of the delete."""


class NamespaceCounts(Struct):
    """Reply to namespaces: the counts of each namespace."""

    namespaces: list[NamespaceCount]
    """The namespaces that have entries."""


class Published(Struct):
    """Reply to publish: how many sessions have a subscription that matches."""

    rev: int
    """The revision of the message."""
    receivers: int
    """How many sessions have a subscription that matches."""


class Subscribed(Struct, omit_defaults=True):
    """Reply to subscribe: the number of the subscription, and where its cursor stands."""

    sub: int
    """The number of the subscription: its events carry it."""
    epoch: str
    """The epoch of the log."""
    rev: int
    """The revision of the hub: the cursor of the subscription, unless it resumes from `since`."""
    resumed: bool | None = None
    """After `since`: whether the subscription goes on from there. False: a snapshot follows."""
    reason: str | None = None
    """Why it does not go on: `epoch`, `compacted` or `restart`."""


class OpCount(Struct, frozen=True):
    """The counts of one op."""

    count: int = 0
    """How often the op was decided."""
    errors: int = 0
    """How often it was refused."""
    mean: float = 0.0
    """Mean seconds of deciding it."""


class Rates(Struct, frozen=True):
    """Rates a second, over the last ten seconds."""

    commands: float = 0.0
    """Commands."""
    revisions: float = 0.0
    """Revisions."""
    events: float = 0.0
    """Events."""
    sends: float = 0.0
    """Writes to sockets."""


class Lateness(Struct, frozen=True):
    """How late the last 1,000 entries expired, in seconds."""

    count: int = 0
    """Entries that expired since the start."""
    p50: float = 0.0
    """Half of them were at most this late."""
    p99: float = 0.0
    """99 of 100 were at most this late."""
    max: float = 0.0
    """The latest of them."""


class LogWindow(Struct, frozen=True):
    """The part of the log that is kept: everything after the revision ``floor``, up to ``rev``."""

    events: int = 0
    """Events that are kept."""
    bytes: int = 0
    """Their bytes."""
    floor: int = 0
    """Everything after this revision can be sent again."""
    rev: int = 0
    """The last revision."""


class Statistics(Struct, kw_only=True):
    """Reply to stats: what is held now, and what was done since ``started_at``."""

    rev: int
    """The revision of the hub."""
    at: float
    """The time of the hub."""
    keys: int
    """Entries that are held."""
    bytes: int
    """Bytes of their keys, values and metas."""
    max_keys: int
    """Entries that the hub may hold."""
    max_bytes: int
    """Bytes that they may have."""
    sessions: int
    """Sessions."""
    subscriptions: int
    """Subscriptions."""
    locks: int
    """Locks that are held."""
    waits: int
    """Commands that wait."""
    log: LogWindow
    """The part of the log that is kept."""
    started_at: float = 0.0
    """When the hub started."""
    durability: str = ""
    """`full`, `relaxed` or `memory`."""
    refusing: str | None = None
    """Why the hub accepts nothing that has to survive, because its journal fails; null if it does."""
    reads: int = 0
    """`get` commands: hits and misses."""
    writes: int = 0
    """Entries written, in namespaces without `$`."""
    hits: int = 0
    """`get` commands that found an entry."""
    misses: int = 0
    """`get` commands that found none."""
    evictions: int = 0
    """Entries evicted because the hub was full."""
    expiries: int = 0
    """Entries that expired."""
    events: int = 0
    """Events of every type."""
    sends: int = 0
    """Writes to sockets. One write carries all that waited."""
    connections: int = 0
    """Connections that are open."""
    slow: int = 0
    """Connections that read more slowly than the hub sends."""
    ops: dict[str, OpCount] = {}
    """The counts of each op, by its name."""
    rates: Rates = Rates()
    """Rates a second, over the last ten seconds."""
    lateness: Lateness = Lateness()
    """How late entries expired."""
    memory: int = 0
    """Bytes of memory that the process of the hub has."""


class BackedUp(Struct):
    """Reply to backup: the file, and the revision at which it was begun."""

    path: str
    """The backup, on the hub's machine."""
    bytes: int
    """The size of the file."""
    rev: int
    """Everything up to this revision is in it."""
    seconds: float
    """How long it took."""


class Granted(Struct, kw_only=True, omit_defaults=True):
    """Reply to lock: the lock token, which is the fencing token, and the deadline."""

    token: int
    """The revision of the grant: greater than every token before it. Writes take it as `guard`."""
    mode: Mode
    """The mode of the lock."""
    expires_at: float
    """The deadline: renew the lock before it."""
    waited: float
    """Seconds that the command waited."""
    names: list[str] | UnsetType = UNSET
    """The names that are locked."""
    patterns: list[str] | UnsetType = UNSET
    """The patterns that are locked, where there are no names."""


class Renewed(Struct):
    """Reply to renew: the new deadline."""

    expires_at: float
    """The new deadline."""
    rev: int
    """The revision of the change."""


class Holder(Struct, kw_only=True, omit_defaults=True):
    """A session that holds a lock which is in the way."""

    agent: str
    """The agent's name."""
    session: str
    """The name of its session."""
    mode: Mode
    """The mode of the lock."""
    since: float
    """When the lock was granted."""
    expires_at: float
    """When it ends unless it is renewed."""
    self: bool
    """Whether it is the session that asks."""
    names: list[str] | UnsetType = UNSET
    """The names that are locked."""
    patterns: list[str] | UnsetType = UNSET
    """The patterns that are locked, where there are no names."""


class Waiter(Struct, kw_only=True, omit_defaults=True):
    """A session that waits for a lock."""

    agent: str
    session: str
    mode: Mode
    since: float
    """When it asked."""
    names: list[str] | UnsetType = UNSET
    """The names that it waits for."""
    patterns: list[str] | UnsetType = UNSET
    """The patterns that it waits for, where there are no names."""


class HeldLock(Struct, kw_only=True, omit_defaults=True):
    """A lock that is held, and the sessions that wait for it."""

    ns: str
    """The namespace."""
    mode: Mode
    agent: str
    """The holder."""
    session: str
    """The session of the agent."""
    token: int
    """The lock token."""
    since: float
    """When it was granted."""
    expires_at: float
    """When it ends unless it is renewed."""
    queue: list[Waiter]
    """The sessions that wait for it, in the order in which they asked."""
    names: list[str] | UnsetType = UNSET
    """The names that are locked."""
    patterns: list[str] | UnsetType = UNSET
    """The patterns that are locked, where there are no names."""


class HeldLocks(Struct, omit_defaults=True):
    """Reply to locks: the locks that are held."""

    locks: list[HeldLock]
    """The locks, in the order in which they were granted."""
    cut: bool = False
    """Whether there are more than a reply can hold."""


class Cancelling(Struct):
    """Reply to cancel: whether there was a waiting command to cancel."""

    cancelled: bool
    """False: the command was answered before, and its reply counts."""


class Waited(Struct):
    """Reply to wait: the entries, and the conditions that hold."""

    matched: list[Entry]
    """The entries that meet the conditions, at most `count` for each."""
    met: list[int]
    """The indices of the conditions that hold."""
    rev: int
    """The revision at which they hold."""


class Taken(Struct):
    """Reply to take: the entry, and the token of its lock."""

    entry: Entry
    """The entry."""
    token: int
    """The token of the lock on it."""
    expires_at: float
    """The end of the lease: renew it before."""
    delivery: int
    """How often the entry was delivered, this time included."""
    waited: float = 0.0
    """Seconds that the command waited."""


class SeenSession(Struct):
    """A session, in the reply to inspect."""

    session: str
    """The name of the session."""
    agent: str
    """The agent's name."""
    ns: str
    """The default namespace of the session."""
    connected: bool
    """Whether it has a connection."""
    since: float
    """When it began."""
    expires_at: float | None
    """When it ends unless it is taken over; null while it is connected."""
    subscriptions: int
    """How many subscriptions it has."""
    locks: int
    """How many locks it holds."""
    waits: int
    """How many of its commands wait."""
    ephemeral: int
    """How many ephemeral entries it has."""


class SeenWait(Struct, kw_only=True, omit_defaults=True):
    """A waiting command, in the reply to inspect."""

    op: str
    """`lock`, `wait` or `take`."""
    id: Id
    """The id of the command."""
    agent: str
    """The agent that waits."""
    session: str
    """The session of the agent."""
    ns: str
    """The namespace."""
    since: float
    """When the command came."""
    until: float | None
    """When it times out; null: never."""
    names: list[str] | UnsetType = UNSET
    """Of a `lock`: the names."""
    patterns: list[str] | UnsetType = UNSET
    """Of a `lock` or a `take`: the patterns."""
    mode: Mode | UnsetType = UNSET
    """Of a `lock`: `exclusive` or `shared`."""
    all: list[Awaited] | UnsetType = UNSET
    """Of a `wait`: its conditions."""
    any: list[Awaited] | UnsetType = UNSET
    """Of a `wait`: its conditions."""
    met: list[int] | UnsetType = UNSET
    """Of a `wait`: the indices of the conditions that hold."""
    blocked_by: list[Holder] | UnsetType = UNSET
    """Of a `lock`: the locks that are in its way."""


class SeenSubscription(Struct):
    """A subscription, in the reply to inspect."""

    sub: int
    """The number of the subscription."""
    ns: str
    """The namespace, or `*`."""
    patterns: list[str]
    """The patterns of the subscription."""
    types: list[str]
    """The event types of the subscription."""
    agents: list[str]
    """The agents that have it."""


class Inspection(Struct):
    """Reply to inspect: sessions, locks, waiting commands and subscriptions, at most 1,000 of each."""

    rev: int
    """The revision of the hub."""
    at: float
    """The time of the hub."""
    sessions: list[SeenSession]
    """The sessions."""
    locks: list[HeldLock]
    """The locks that are held, each with its queue."""
    waits: list[SeenWait]
    """The commands that wait."""
    subscriptions: list[SeenSubscription]
    """The subscriptions."""
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
"""The reply that each command gets. This table lists all commands."""

OPS: dict[str, type[Command]] = {str(command.__struct_config__.tag): command for command in REPLIES}
"""The command of each op."""


# --- events ------------------------------------------------------------------------------------------------------


class Event(Struct, kw_only=True, omit_defaults=True, repr_omit_defaults=True):
    """An event, with its revision. A field that an event type does not have is UNSET.

    ``type`` is one of EventType, or `synced`, `mark` or `lost`, which are about the subscription itself.
    """

    type: str = ""
    """An event type, or `synced`, `mark` or `lost`."""
    rev: int = 0
    """The revision."""
    sub: int | UnsetType = UNSET
    """The subscription that it is for; a `mark` without it is for all subscriptions of the connection."""
    after: int | UnsetType = UNSET
    """The revision before this one in the same subscription. If the cursor is below it, events are missing."""
    more: bool = False
    """Whether more events of the same revision follow in this subscription."""
    key: str = ""
    """The key; of a lock its name, or the text of its pattern; of a message its channel."""
    ns: str = ""
    """The namespace."""
    at: float = 0.0
    """When it happened."""
    by: str = ""
    """The agent that caused it; `$hub`: a deadline did."""
    snapshot: bool = False
    """Whether it is part of a snapshot."""
    value: Any = UNSET
    """`set`: the value."""
    version: int | UnsetType = UNSET
    """`set`: how many times the key was written; `delete`, `expire`, `evict`: the version that went."""
    kind: str | UnsetType = UNSET
    """`set`: how the entry is kept."""
    created_at: float | UnsetType = UNSET
    """`set`: when the key was written first since it was last absent."""
    expires_at: float | UnsetType | None = UNSET
    """`set`, `touch`: the deadline, or null; `expire`: the deadline that came; `lock`, `renew`: the end of the lock."""
    meta: Any = UNSET
    """`set`: the labels, if there are any."""
    reason: str | UnsetType = UNSET
    """`delete`, `unlock`, `lost`: why."""
    late: float | UnsetType = UNSET
    """`expire`: seconds from the deadline until the hub let the entry expire."""
    data: Any = UNSET
    """`message`: the data."""
    prev: Entry | UnsetType | None = UNSET
    """With `prev: true`, events about entries: the entry before, or null."""
    token: int | UnsetType = UNSET
    """`lock`, `renew`, `unlock`: the lock token."""
    mode: str | UnsetType = UNSET
    """`lock`: `exclusive` or `shared`."""
    session: str | UnsetType = UNSET
    """`lock`, `renew`, `unlock`: the session of the holder; `queue`: the session that waits."""
    names: list[str] | UnsetType = UNSET
    """`lock`: all names of the lock."""
    patterns: list[str] | UnsetType = UNSET
    """`lock`: all patterns of the lock, where there are no names."""
    waiting: int | UnsetType = UNSET
    """`queue`: how many sessions wait now."""


class LostLock(Struct, kw_only=True, omit_defaults=True):
    """A lock that its holder lost. The hub sends it to the holder, subscribed or not."""

    token: int
    """The token of the lock."""
    reason: str
    """`expired`, `session_ended`, `forced` or `released`."""
    names: list[str] | UnsetType = UNSET
    """The names that were locked."""
    patterns: list[str] | UnsetType = UNSET
    """The patterns that were locked, where there are no names."""
    message: str = ""
    """After `forced`: which agent released it, and why."""
