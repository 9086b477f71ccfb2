"""Every limit of the hub in one place, with its unit and its reason.

``Limits`` are rules: the machine refuses what lies beyond and says so (G13). ``Bounds`` are the memory and time that
delivery and the edges may take. ``Settings`` is what the person who starts a hub chooses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB


EVERY = "*"
"""In quotas and default ttls: each namespace that is not named, but for the hub's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What a namespace may hold; None is no limit of its own."""

    keys: int | None = None
    bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a command, a session and the store may take (protocol 1). Sizes in bytes, times in seconds."""

    value: int = 11 * MIB
    """One encoded value: leaves room for its envelope in a 16 MiB message."""
    depth: int = 100
    """Nesting of a value: far from the recursion limit of any JSON parser."""
    status: int = 4 * KIB
    """A status, or the meta of a session: every agent's is pushed to every dashboard."""
    meta: int = 64 * KIB
    """The meta of an entry: a label, not a second value."""
    ttl: float = 10 * 365.25 * 86400
    """Ten years, for ttl and lease."""
    patterns: int = 100
    """Patterns in one subscription."""
    subscriptions: int = 1_000
    """Subscriptions of a session: with 100 patterns each, 100,000 patterns to index."""
    conflate: float = 3_600.0
    """Seconds from one delivery of a conflated subscription to the next: the log hardly reaches back an hour."""
    ephemeral: int = 1_000
    """Ephemeral entries of a session: all go in one step when it ends."""
    names: int = 100
    """Names in one lock, conditions in one wait."""
    lock_patterns: int = 10
    """Patterns in one lock: each is held against every other lock on a pattern."""
    pattern_locks: int = 1_000
    """Locks on patterns, held or waited for, in a namespace."""
    claims: int = 1_000
    """Locks that a session holds or waits for."""
    work_queues: int = 64
    """Sets of patterns for which the order of what may be taken is kept, about 150 bytes for each entry in it."""
    waiting: int = 10_000
    """Waiting commands of a session."""
    conflicts: int = 1_000_000
    """Pairs of locks of which one waits for the other because of a pattern, about 60 bytes each."""
    holders: int = 1_000
    """Holders that a refusal tells of."""
    reason: int = 1_000
    """Characters of the reason for a forced release."""
    task: int = 100
    """Characters of a task."""
    wait: float = 3_600.0
    """The longest wait for conditions."""
    rid: int = 64
    """Characters of a rid."""
    outcomes: int = 1_000
    """Outcomes kept for retries, each session: older ones are forgotten first."""
    page: int = 1_000
    """Entries in one page of list."""
    page_bytes: int = 8 * MIB
    """A page ends early here, well below the 24 MiB line that clients must accept."""
    text: int = 1_000
    """Characters of the text of a search."""
    words: int = 16
    """Words of a search: each is one more list of places to go through."""
    searches: int = 32
    """Searches of a session that are under way."""
    scan: int = 10_000
    """Keys that a command looks at in one go: about 5 ms."""
    clear: int = 1_000
    """Entries that one clear deletes: about 10 ms."""
    sessions: int = 10_000
    """Sessions of the hub, about 5 KB each."""
    keys: int = 5_000_000
    """Entries of the hub, about 400 bytes each beyond their values."""
    bytes: int = 4096 * MIB
    """Bytes of all keys, values and metas together."""
    quotas: Mapping[str, Quota] = field(default_factory=dict)
    """What namespaces may hold, by name."""
    default_ttls: Mapping[str, float] = field(default_factory=dict)
    """Seconds that an entry has which is set without a ttl, by namespace."""
    history: int = 20
    """Earlier versions that a versioned entry keeps."""
    steps: int = 128
    """Commands in one branch of a txn, and its conditions."""
    tombstones: int = 100_000
    """Versions of deleted keys that are remembered, about 20 MB."""
    log_events: int = 100_000
    """Events in the window of the log: at 1,000 changes a second, the last 100 seconds."""
    log_bytes: int = 128 * MIB
    """Bytes in the window of the log; a value that is still stored is shared with its entry."""
    log_age: float | None = None
    """Seconds after which an event leaves the window even if there is room."""
    grace: float = 15.0
    """How long a session outlives its connection: a reconnect with backoff, or a restart of the hub."""
    http_idle: float = 60.0
    """How long the session of callers outlives its last use while it holds nothing (protocol 10)."""
    seen: float = 30 * 86400.0
    """How long ``$seen`` remembers a name."""
    snapshot_bytes: int = 64 * MIB
    """Old values that one slow snapshot may hold back from being freed, before it starts again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What delivery and the doors may hold and for how long. Sizes in bytes, times in seconds."""

    message: int = 16 * MIB
    """One message from an agent."""
    head: int = 64 * KIB
    """The address and the headers of a request, as far as they come in more than one piece: a piece has 256 KiB."""
    silence: float = 60.0
    """How long who has connected may take to say what is wanted: the head of a request, each further piece of its body,
    a first line. A machine that is on its knees takes seconds."""
    frame: int = 256 * KIB
    """Frames to an agent are cut between lines near here: small enough to interleave, large enough to be cheap."""
    unsent: int = 1 * MIB
    """Unsent events of a connection before it reads from the log at its own pace, and unsent replies before no
    further command of it is read."""
    slice: float = 0.004
    """How long one message, all refills together, or all conflated deliveries may keep the loop before others get
    their turn."""
    catchup_keys: int = 2_000
    """Keys that one slice of a snapshot looks at: about 2 ms."""
    catchup_events: int = 2_000
    """Events of the log that one slice of a refill looks at, fewer where it has many patterns: about 2 ms."""
    conflated: int = 1 * MIB
    """What a conflated interest collects before it is delivered early: one delivery has room in `unsent`."""
    expire_slice: int = 250
    """Entries that expire in one go: about 4 ms."""
    indexed: int = 64 * KIB
    """Of a value, so much is read for its words: an index of all would be as large as what it is of."""
    index_slice: int = 1_000
    """Entries that are handed to the index of words in one go: about 2 ms."""
    index_pause: float = 0.1
    """What has changed waits so long until the index is told, if nobody searches meanwhile."""
    searches: int = 10_000
    """Searches that are under way, about 3 KB each."""
    search: float = 5.0
    """A search that takes longer is given up, since others wait for it: a million entries with one word take 1 s."""
    evict: int = 1_000
    """Cached entries that are evicted in one go to make room for a write: about 10 ms."""
    losses: int = 3
    """Times in a row a reader may fall out of the log's window before it is closed as too slow (4001)."""
    mark: float = 5.0
    """An idle connection hears a mark this often: at most 10 seconds apart are promised."""
    ping: float = 20.0
    """Keepalive: a ping this often, and this long for its answer."""
    close_wait: float = 3.0
    """How long a closing connection may take to send what waits and to say goodbye, before its socket is cut."""
    drain: float = 2.0
    """How long clients of a stopping hub are asked to stay away (close code 4000)."""
    drain_wait: float = 1.0
    """How long a stopping hub waits until its last lines are sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the person who starts a hub chooses."""

    host: str = "127.0.0.1"
    port: int = 4483  # HIVE
    insecure: bool = False
    """Listen beyond loopback although nobody is asked for a token."""
    allowed_hosts: tuple[str, ...] = ()
    """Names beyond loopback and plain addresses that a Host header may carry."""
    allowed_origins: tuple[str, ...] = ()
    """Origins of pages, beyond the hub's own, that may connect."""
    data: Path | None = None
    """The directory that holds what must survive; None keeps everything in memory."""
    durability: Literal["full", "relaxed"] = "full"
    """Whether what is seen is on disk already, or will be within 50 ms."""
    journal: Literal["sqlite", "json"] = "sqlite"
    """How it is kept: in an SQLite database, or as one JSON document that a person can read."""
    backups: int = 10
    """Backups that are kept, the newest."""
    backup_every: float | None = None
    """Seconds from one backup to the next; None makes none but when it is asked."""
    idle: float | None = None
    """Seconds without a connection or a session after which the hub stops by itself; None: it never does."""
    fast_path: bool = True
    """Offer the fast lane (`edge.lane`). Without it all is the same, and slower: for those who look for a fault."""
    limits: Limits = field(default_factory=Limits)
    bounds: Bounds = field(default_factory=Bounds)

    @property
    def address(self) -> str:
        """Where agents find the hub."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{name}:{self.port}"
