"""One turn: a command being decided, and the only way in which anything changes.

Rules:
1. A change takes the next revision when it is made, and becomes part of the turn's commit; `commit` closes it. What
   one command does is one commit. (A due entry that a command names expires first, in a commit of its own.)
2. Every change of an entry goes through `put`, `touch` or `remove`: they keep keyspace, ephemeral ownership, running
   snapshots and the log in step.
3. A rule refuses (raises a WaggleError) before it changes anything.
"""

from __future__ import annotations

from msgspec import structs

from waggle.errors import Forbidden

from ..settings import Limits
from .interests import Interests
from .keyspace import Entry, Keyspace
from .log import Event, Log
from .outputs import Output
from .sessions import Session, Sessions
from .snapshot import Snapshots
from .values import encode_value

HUB = "$hub"
"""Who does what time does."""


class State:
    """The nouns of the machine."""

    def __init__(self, limits: Limits, epoch: str, rev: int) -> None:
        self.limits = limits
        self.epoch = epoch
        self.keyspace = Keyspace(limits.graves)
        self.log = Log(rev, max_events=limits.log_events, max_bytes=limits.log_bytes)
        self.sessions = Sessions()
        self.interests = Interests()
        self.owners: dict[tuple[str, str], Session] = {}
        """The session that each ephemeral entry is tied to."""
        self.snapshots = Snapshots(self.keyspace, limits.snapshot_bytes)


class Turn:
    """A command being decided at the instant `now`."""

    __slots__ = ("_events", "_owned", "at", "by", "later", "now", "origin", "outputs", "state")

    def __init__(self, state: State, now: float) -> None:
        self.state = state
        self.now = now
        self.at = round(now, 3)
        """`now` as it is shown: with millisecond precision."""
        self.by = HUB
        self.origin: str | None = None
        self.outputs: list[Output] = []
        self.later: list[Output] = []
        """What goes out after the reply."""
        self._events: list[Event] = []
        self._owned: list[tuple[str, str, Session | None]] = []
        """Entries whose owner has changed since the last commit, each with the owner before."""

    @property
    def rev(self) -> int:
        """The revision of the state as it stands: the open commit's, or the log's newest."""
        return self.state.log.rev + (1 if self._events else 0)

    @property
    def next_rev(self) -> int:
        """The revision that a change made now takes."""
        return self.state.log.rev + 1

    def act_for(self, session: Session) -> None:
        """What changes from here on is this session's doing."""
        self.by = session.agent
        self.origin = session.id

    def act_for_hub(self) -> None:
        """What changes from here on is time's doing."""
        self.by = HUB
        self.origin = None

    # --- reading ---

    def live(self, ns: str, key: str) -> Entry | None:
        """The entry, or None; one whose deadline has come expires first. Only before the turn's own changes."""
        entry = self.state.keyspace.get(ns, key)
        if entry is not None and entry.due(self.now):
            self.expire(entry)
            return None
        return entry

    def value(self, value: object, field: str, limit: int | None = None) -> bytes:
        """The stored form of a value that came with the command."""
        limits = self.state.limits
        return encode_value(value, field, limit=limits.value if limit is None else limit, depth=limits.depth)

    # --- changing ---

    def put(
        self,
        ns: str,
        key: str,
        value: bytes,
        prev: Entry | None,
        *,
        expires_at: float | None = None,
        kind: str = "persistent",
        meta: bytes | None = None,
        owner: Session | None = None,
        earlier: tuple[Entry, ...] = (),
    ) -> Entry:
        """Write an entry in place of `prev`; `owner` is the session it is tied to."""
        keyspace = self.state.keyspace
        entry = Entry(
            key=key,
            ns=ns,
            value=value,
            rev=self.next_rev,
            version=keyspace.next_version(ns, key, prev),
            kind=kind,
            created_at=prev.created_at if prev is not None else self.at,
            updated_at=self.at,
            expires_at=expires_at,
            by=self.by,
            meta=meta,
            earlier=earlier,
        )
        self.state.snapshots.before_change(ns, key, prev)
        keyspace.put(entry, prev)
        self._own(ns, key, owner)
        self._happened("set", ns, key, entry=entry, prev=prev)
        return entry

    def touch(self, prev: Entry, expires_at: float | None) -> None:
        """Give an entry another deadline, or none."""
        entry = structs.replace(prev, expires_at=expires_at)
        self.state.keyspace.put(entry, prev)
        self._happened("touch", prev.ns, prev.key, entry=entry, prev=prev)

    def remove(self, entry: Entry, type: str = "delete", reason: str | None = None, late: float | None = None) -> None:
        """Take an entry out: by delete, expire or evict."""
        self.state.snapshots.before_change(entry.ns, entry.key, entry)
        self.state.keyspace.remove(entry)
        self._own(entry.ns, entry.key, None)
        self._happened(type, entry.ns, entry.key, prev=entry, reason=reason, late=late)

    def message(self, ns: str, channel: str, data: bytes) -> None:
        """Let something be heard that is not stored."""
        self._happened("message", ns, channel, data=data)

    def expire(self, entry: Entry) -> None:
        """Let time take an entry that is due, in a commit of its own."""
        assert not self._events, "what is due expires before the command changes anything"
        assert entry.expires_at is not None
        by, origin = self.by, self.origin
        self.act_for_hub()
        self.remove(entry, "expire", late=round(self.now - entry.expires_at, 6))
        self.commit()
        self.by, self.origin = by, origin

    def commit(self) -> None:
        """Close the revision, if anything has changed."""
        if self._events:
            self.outputs.append(self.state.log.append(tuple(self._events)))
            self._events = []
            self._owned = []

    def undo(self) -> None:
        """Take back everything since the last commit: a later part of the command was refused."""
        keyspace = self.state.keyspace
        for event in reversed(self._events):
            if event.entry is not None:
                keyspace.take_back(event.entry, event.prev)
            elif event.prev is not None:
                keyspace.put(event.prev, None)
        for ns, key, owner in reversed(self._owned):
            self._set_owner(ns, key, owner)
        self._events = []
        self._owned = []

    @property
    def clean(self) -> bool:
        """Whether nothing has changed since the last commit."""
        return not self._events

    # --- keeping in step ---

    def _happened(
        self,
        type: str,
        ns: str,
        key: str,
        *,
        entry: Entry | None = None,
        prev: Entry | None = None,
        data: bytes | None = None,
        reason: str | None = None,
        late: float | None = None,
    ) -> None:
        self._events.append(
            Event(
                type=type,
                rev=self.next_rev,
                ns=ns,
                key=key,
                at=self.at,
                by=self.by,
                origin=self.origin,
                entry=entry,
                prev=prev,
                data=data,
                reason=reason,
                late=late,
            )
        )

    def _own(self, ns: str, key: str, owner: Session | None) -> None:
        before = self.state.owners.get((ns, key))
        if before is not owner:
            self._owned.append((ns, key, before))
            self._set_owner(ns, key, owner)

    def _set_owner(self, ns: str, key: str, owner: Session | None) -> None:
        before = self.state.owners.pop((ns, key), None)
        if before is not None:
            del before.ephemeral[ns, key]
        if owner is not None:
            self.state.owners[ns, key] = owner
            owner.ephemeral[ns, key] = None


def refuse_hub_namespace(ns: str) -> None:
    """Namespaces with a dollar are written by the hub alone."""
    if ns.startswith("$"):
        raise Forbidden(f"namespace {ns} is written by the hub alone: use another namespace", need="hub")
