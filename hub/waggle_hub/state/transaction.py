"""A transaction: one command being decided, and the only way in which the state changes.

Rules:
1. A change takes the next revision when it is made, and joins the open commit; `commit` closes it. One command makes
   one commit. (A due entry that a command names expires first, in a commit of its own.)
2. Every change of an entry goes through `put`, `touch` or `remove`: they keep the keyspace, the owners of ephemeral
   entries, running snapshots and the log in step. Every change of a lock goes through `locks/lifecycle`.
3. A rule refuses a command (raises a WaggleError) before it changes anything.
4. Code that changes persisted state other than entries marks it in `state.dirty` in the same step.
"""

from __future__ import annotations

from msgspec import structs

from waggle.wire.errors import Unavailable

from .commands import wait as waits
from .effects import Effect, LockLost, Notice
from .locks import lifecycle
from .locks.request import LockRequest
from .log import Event, LockInfo
from .sessions import QueuedNotice, Session
from .state import State
from .store.entry import Entry
from .store.json_values import encode_value
from .waits.condition import Budget

HUB = "$hub"
"""The author of changes that time causes, not a session: expiry, timeouts, the end of a session."""


class Transaction:
    """A command being decided at the instant `now`."""

    __slots__ = (
        "_events",
        "at",
        "budget",
        "by",
        "changed",
        "effects",
        "effects_after_reply",
        "lost_locks",
        "now",
        "origin",
        "released_locks",
        "state",
    )

    def __init__(self, state: State, now: float) -> None:
        self.state = state
        self.now = now
        self.at = round(now, 3)
        """`now` as it is shown: with millisecond precision."""
        self.budget = Budget(state.limits.condition_bytes)
        """The budget of this step for the conditions of waits."""
        self.by = HUB
        """The agent named in the events of this transaction."""
        self.origin: str | None = None
        """The session named in them; None for changes that time causes."""
        self.effects: list[Effect] = []
        """The effects that the machine returns, in order."""
        self.effects_after_reply: list[Effect] = []
        """Effects that must follow the reply to the command."""
        self.changed = False
        """Whether a change was begun since the last commit. Still set after an exception, it tells of half a change."""
        self._events: list[Event] = []
        """The events of the open commit."""
        self.lost_locks: list[tuple[Session, LockLost]] = []
        """Locks whose holders have to be notified when the open commit closes."""
        self.released_locks: list[LockRequest] = []
        """Locks that were released in the open commit."""

    @property
    def rev(self) -> int:
        """The revision of the state as it is now: that of the open commit, or the newest of the log."""
        return self.state.log.rev + (1 if self._events else 0)

    @property
    def next_rev(self) -> int:
        """The revision that a change made now takes."""
        return self.state.log.rev + 1

    def attribute_to(self, session: Session) -> None:
        """Attribute further changes to this session."""
        self.by = session.agent
        self.origin = session.id

    def attribute_to_hub(self) -> None:
        """Attribute further changes to the hub (`$hub`), not to a session."""
        self.by = HUB
        self.origin = None

    # --- reading ---

    def get_live(self, ns: str, key: str) -> Entry | None:
        """Return the entry, or None; one that is due expires first. Only before the command's own changes."""
        entry = self.state.keyspace.get(ns, key)
        if entry is not None and entry.is_due(self.now):
            self.expire(entry)
            return None
        return entry

    def encode_value(self, value: object, field: str, limit: int | None = None) -> bytes:
        """Return the stored form of a value of the command; `limit` is in bytes, by default that of values."""
        limits = self.state.limits
        return encode_value(value, field, limit=limits.value if limit is None else limit, depth=limits.depth)

    def check_can_persist(self) -> None:
        """Raise Unavailable while the journal cannot store what commands change."""
        if self.state.refusing is not None:
            why = self.state.refusing
            raise Unavailable(f"{why}: only what does not have to survive is accepted until then", retry_after=2.0)

    # --- changing entries ---

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
        owner: str | None = None,
        earlier: tuple[Entry, ...] = (),
    ) -> Entry:
        """Write an entry in place of `prev`; `owner` is the session that it is tied to."""
        self.changed = True
        keyspace, rev = self.state.keyspace, self.next_rev
        entry = Entry(
            key=key,
            ns=ns,
            value=value,
            rev=rev,
            version=keyspace.next_version(ns, key, prev),
            kind=kind,
            created_at=prev.created_at if prev is not None else self.at,
            updated_at=self.at,
            expires_at=expires_at,
            by=self.by,
            meta=meta,
            created_rev=prev.created_rev if prev is not None else rev,
            earlier=earlier,
            owner=owner,
        )
        self.state.snapshots.before_change(ns, key, prev)
        keyspace.put(entry, prev)
        self.state.update_ephemeral_owner(prev, entry)
        self.record_event("set", ns, key, entry=entry, prev=prev)
        return entry

    def touch(self, prev: Entry, expires_at: float | None) -> None:
        """Give an entry another deadline, or none."""
        # Snapshots are not told: they show the deadline that an entry has when it is read.
        self.changed = True
        entry = structs.replace(prev, expires_at=expires_at)
        self.state.keyspace.put(entry, prev)
        self.record_event("touch", prev.ns, prev.key, entry=entry, prev=prev)

    def remove(self, entry: Entry, type: str = "delete", reason: str | None = None, late: float | None = None) -> None:
        """Remove an entry: `type` is delete, expire or evict."""
        self.changed = True
        self.state.snapshots.before_change(entry.ns, entry.key, entry)
        self.state.keyspace.remove(entry)
        self.state.update_ephemeral_owner(entry, None)
        self.record_event(type, entry.ns, entry.key, prev=entry, reason=reason, late=late)

    def publish(self, ns: str, channel: str, data: bytes) -> None:
        """Send a message to the subscribers of a channel; it is not stored."""
        self.state.keyspace.version_floors.mark_volatile(ns)
        self.record_event("message", ns, channel, data=data)

    def expire(self, entry: Entry) -> None:
        """Remove an entry that is due, in a commit of its own, attributed to the hub."""
        assert not self._events, "due entries expire before the command changes anything"
        assert entry.expires_at is not None
        by, origin = self.by, self.origin
        self.attribute_to_hub()
        self.remove(entry, "expire", late=round(self.now - entry.expires_at, 6))
        self.commit()
        self.by, self.origin = by, origin

    # --- telling ---

    def notify(self, session: Session, notice: Notice) -> None:
        """Tell a session something now, or queue it until its agent is back."""
        # A connectionless session gets replies only: it has no connection for anything that it did not ask for.
        if session.connectionless and isinstance(notice, LockLost):
            return
        if session.connected:
            self.effects.append(notice)
            if not session.connectionless:
                session.note_told(notice, self.now, self.state.limits)
        else:
            queued = QueuedNotice(self.state.timers.next_serial(), notice)
            session.queued_notices.append(queued)
            self.state.dirty.mark(queued)

    def record_event(
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
        lock: LockInfo | None = None,
    ) -> None:
        """Add an event to the open commit; the change itself has been made."""
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
                lock=lock,
            )
        )

    # --- closing ---

    def commit(self) -> None:
        """Close the open commit, if there is one, and decide the waits that it concerns."""
        if not self._events:
            return
        lifecycle.release_ended_work(self, self._events)
        commit = self.state.log.append(tuple(self._events))
        self.effects.append(commit)
        self._events = []
        self.changed = False
        # A notice follows the commit that it reflects (G11).
        for session, lost in self.lost_locks:
            self.notify(session, lost)
        self.lost_locks = []
        self.state.work_queues.apply(commit, self.state.keyspace, self.state.lock_table)
        released, self.released_locks = self.released_locks, []
        if self.state.condition_index.waits:
            affected = self.state.condition_index.affected_by(commit, released, self.state.keyspace, self.budget)
            for wait, changes in affected.items():
                waits.decide(self, wait, changes)

    def undo(self) -> None:
        """Undo the open commit: a later part of the command was refused."""
        self.state.undo_events(self._events)
        self._events = []
        self.changed = False

    @property
    def clean(self) -> bool:
        """Whether nothing has changed since the last commit."""
        return not self.changed and not self._events
