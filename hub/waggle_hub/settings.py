"""Settings: every limit of the hub in one place, with its unit and its reason.

``Limits`` are rules: the machine refuses a command beyond one, with an error that names it (G13). ``Bounds`` are the
memory and the time that the engine, delivery and the transports may take. ``Settings`` are the choices of the person
who starts a hub.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from waggle.wire import limits

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB


EVERY = "*"
"""A name in quotas and default ttls: each namespace that has none of its own, except those of the hub."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """The largest contents of one namespace; None sets no limit."""

    keys: int | None = None
    bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of a command, a session and the store (protocol 1). Sizes in bytes, times in seconds."""

    value: int = limits.MAX_VALUE_BYTES
    """Size of one encoded value: a message of 16 MiB has room for it and the fields around it."""
    depth: int = limits.MAX_NESTING_LEVELS
    """Nesting of a value: far from the recursion limit of any JSON parser."""
    status: int = 4 * KIB
    """Size of a status, or of the meta of a session: every dashboard gets those of all agents."""
    meta: int = limits.MAX_META_BYTES
    """Size of the meta of an entry: it is a label, not a second value."""
    ttl: float = limits.MAX_TTL_S
    """The longest ttl of an entry, and lease of a lock or job: ten years."""
    patterns: int = 100
    """Patterns in one subscription."""
    subscriptions: int = 1_000
    """Subscriptions of a session: with 100 patterns each, 100,000 patterns to index."""
    conflate: float = 3_600.0
    """The longest interval of a conflated subscription: the log hardly reaches back an hour."""
    ephemeral: int = 1_000
    """Ephemeral entries of a session: all are removed in one step when it ends."""
    names: int = 100
    """Names in one lock, conditions in one wait."""
    lock_patterns: int = 10
    """Patterns in one lock: each is compared with every other lock on a pattern."""
    pattern_locks: int = 1_000
    """Locks on patterns, held or waited for, in a namespace."""
    claims: int = 1_000
    """Locks that a session holds or waits for."""
    work_queues: int = 64
    """Different pattern lists of `take` with a queue in memory, about 150 bytes for each entry in one."""
    waiting: int = 10_000
    """Waiting commands of a session."""
    conflicts: int = 1_000_000
    """Pairs of locks of which one waits for the other because of a pattern, about 60 bytes each."""
    holders: int = 1_000
    """Holders that the error of a refused lock names."""
    reason: int = 1_000
    """Characters of the reason for a forced release."""
    task: int = 100
    """Characters of a task."""
    wait: float = limits.MAX_WAIT_S
    """The longest wait for conditions."""
    rid: int = 64
    """Characters of a rid."""
    outcomes: int = limits.MAX_STORED_OUTCOMES
    """Outcomes kept for retries, in each session. The oldest is dropped first."""
    page: int = limits.MAX_PAGE_ENTRIES
    """Entries in one page of list."""
    page_bytes: int = 8 * MIB
    """Size at which a page ends early: well below the line of 24 MiB that clients must accept."""
    text: int = 1_000
    """Characters of the text of a search."""
    words: int = 16
    """Words of a search: the index reads one more list for each."""
    searches: int = 32
    """Searches of a session that are being answered."""
    scan: int = 10_000
    """Keys that a command reads in one step: about 5 ms."""
    condition_bytes: int = 512 * KIB
    """Bytes of values that one step decodes and compares for the conditions of waits, at least 256 for each: about 20
    ms. The rest goes on in further steps."""
    clear: int = 1_000
    """Entries that one `clear` deletes: about 10 ms."""
    sessions: int = 10_000
    """Sessions of the hub, about 5 KB each."""
    keys: int = 5_000_000
    """Entries of the hub, about 400 bytes each beyond their values."""
    bytes: int = 4096 * MIB
    """Bytes of all keys, values and metas together."""
    quotas: Mapping[str, Quota] = field(default_factory=dict)
    """Quotas of namespaces, by name."""
    default_ttls: Mapping[str, float] = field(default_factory=dict)
    """The ttl of entries that are set without one, by namespace."""
    history: int = 20
    """Earlier versions that a versioned entry keeps."""
    steps: int = limits.MAX_TXN_STEPS
    """Commands in one branch of a txn, and its conditions."""
    moved: int = 200_000_000
    """Items of arrays that the operations of one patch move, when they add before the end or remove: about 30 ms."""
    tombstones: int = 100_000
    """Tombstones, which remember the versions of deleted keys: about 20 MB."""
    log_events: int = 100_000
    """Events in the window of the log: at 1,000 changes a second, the last 100 seconds."""
    log_bytes: int = 128 * MIB
    """Size of the window of the log. A value that is still stored is shared with its entry."""
    log_age: float | None = None
    """Age at which an event leaves the window although there is room; None keeps it."""
    grace: float = 15.0
    """Time that a session outlives its connection: enough for a reconnect with backoff, or a restart of the hub."""
    told: int = 100
    """Notices of a session that were sent and are kept to be told again at a takeover."""
    told_bytes: int = 256 * KIB
    """Bytes of values in them."""
    told_age: float = 60.0
    """Time that they are kept: a client that reads nothing is cut off after 40 seconds at most, and comes back."""
    http_idle: float = 60.0
    """Time that the session of an HTTP caller outlives its last use while it holds nothing (protocol 10)."""
    seen: float = 30 * 86400.0
    """Time that ``$seen`` remembers the name of an agent."""
    snapshot_bytes: int = 64 * MIB
    """Size of the old values that one slow snapshot may keep in memory, before it starts again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Bounds of the memory and time of the engine, delivery and the transports. Sizes in bytes, times in seconds."""

    message: int = limits.MAX_MESSAGE_BYTES
    """Size of one message from an agent."""
    head: int = 64 * KIB
    """Size of the request line and headers, if they come in more than one piece: a piece has up to 256 KiB."""
    silence: float = 60.0
    """Time that a new connection may stay silent: until the end of the request head, between pieces of a body, until
    the first line. Generous, because an overloaded client can take seconds."""
    frame: int = 256 * KIB
    """Size near which frames are cut, between lines: small enough to interleave, large enough to be cheap."""
    unsent: int = 1 * MIB
    """Size of the unsent events with which a connection is moved to catch-up, and of the unsent replies with which no
    further command is read from it."""
    slice: float = 0.004
    """Time that one message, all catch-up, or all conflated deliveries take of one turn of the loop."""
    catchup_keys: int = 2_000
    """Keys that one slice of a snapshot reads: about 2 ms."""
    catchup_events: int = 2_000
    """Events of the log that one slice of catch-up reads, fewer with many patterns: about 2 ms."""
    conflated: int = 1 * MIB
    """Size of the events that a conflated feed collects before it delivers early: one delivery fits into `unsent`."""
    expire_slice: int = 250
    """Entries that expire in one step: about 4 ms."""
    indexed: int = 64 * KIB
    """Size of the part of a value whose words are indexed: an index of all would be as large as the values."""
    index_slice: int = 1_000
    """Entries that are passed to the index of words in one step: about 2 ms."""
    index_pause: float = 0.1
    """Time that changes wait before they are passed to the index, if no search needs them earlier."""
    searches: int = 10_000
    """Searches that are being answered in the hub, about 3 KB each."""
    search: float = 5.0
    """Time after which a search is given up, since others wait for it: a million entries with one word take 1 s."""
    evict: int = 1_000
    """Cached entries that are evicted to make room for one write: about 10 ms."""
    losses: int = 3
    """Times in a row that a cursor may fall out of the log before its connection is closed as too slow (4001)."""
    mark: float = 5.0
    """Interval of the marks to an idle connection: the protocol promises one at least every 10 seconds."""
    ping: float = 20.0
    """Interval of the pings that keep a connection alive, and the time for each answer."""
    close_wait: float = 3.0
    """Time that a closing connection has to send what waits and its close frame, before its socket is cut."""
    drain: float = 2.0
    """Time that clients are asked to wait before they come back to a hub that stops (close code 4000)."""
    drain_wait: float = 1.0
    """Time that a stopping hub waits for its last lines to be sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Choices of the person who starts a hub."""

    host: str = "127.0.0.1"
    port: int = 4483  # HIVE
    insecure: bool = False
    """Listen beyond loopback, although the hub asks for no token."""
    allowed_hosts: tuple[str, ...] = ()
    """Names beyond loopback and plain addresses that a Host header may carry."""
    allowed_origins: tuple[str, ...] = ()
    """Origins of pages, beyond the hub's own, that may connect."""
    data: Path | None = None
    """The data directory; None keeps everything in memory."""
    durability: Literal["full", "relaxed"] = "full"
    """`full`: a change is seen when it is on disk. `relaxed`: a change is seen at once, and on disk within 50 ms."""
    journal: Literal["sqlite", "json"] = "sqlite"
    """The form of the data: an SQLite database, or one JSON document that a person can read."""
    backups: int = 10
    """Number of backups kept, the newest."""
    backup_every: float | None = None
    """Seconds from one scheduled backup to the next; None makes backups only when a client asks."""
    accept_older: bool = False
    """Whether data that is older than the hub has left it is accepted, in a new epoch."""
    idle: float | None = None
    """Seconds without a connection or a session after which the hub stops by itself; None never stops it."""
    fast_path: bool = True
    """Offer the fast path (`edge.server.fast_path`). Without it all works the same, but slower: for debugging."""
    limits: Limits = field(default_factory=Limits)
    bounds: Bounds = field(default_factory=Bounds)

    @property
    def address(self) -> str:
        """The URL of the hub."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{name}:{self.port}"
