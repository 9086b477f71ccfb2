"""One turn: a command being decided, and the only way in which anything changes.

Rules:
1. A change takes the next revision when it is made, and becomes part of the turn's commit; `commit` closes it. What
   one command does is one commit. (A due entry that a command names expires first, in a commit of its own.)
2. Every change of an entry goes through `put`, `touch` or `remove`: they keep keyspace, ephemeral ownership, running
   snapshots and the log in step.
3. A rule refuses (raises a WaggleError) before it changes anything.
4. What must survive and is no entry is marked in `state.changed` by whoever changes it, in the same step.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import structs

from waggle.wire import messages as m
from waggle.wire.errors import Unavailable
from waggle_hub.settings import Limits

from .commands import wait as waits
from .effects import Effect, LockLost, Notice
from .interests import Interests
from .locks.request import LockRequest
from .locks.table import LockTable
from .log import Event, LockInfo, Log
from .persistence.dirty import DirtySet
from .persistence.records import HubRecord
from .sessions import QueuedNotice, Session, Sessions
from .store.expiry import Timers, deadline_after
from .store.json_values import encode_value
from .store.keyspace import Entry, Keyspace
from .store.snapshot import Snapshots
from .waits.condition_index import Conditions
from .work.queue import Work

HUB = "$hub"
"""Who does what time does."""

_ENDS = {"delete": "released", "expire": "expired", "evict": "released"}
"""How an entry ends, and the reason that is given for the end of the lock of its taker."""


class State:
    """The nouns of the machine."""

    def __init__(self, limits: Limits, epoch: str, rev: int) -> None:
        self.limits = limits
        self.epoch = epoch
        self.hub_record = HubRecord(epoch=epoch, rev=rev, floor=rev)
        """What the journal knows of the hub."""
        self.dirty = DirtySet()
        self.keyspace = Keyspace(limits.graves, self.dirty)
        self.log = Log(rev, max_events=limits.log_events, max_bytes=limits.log_bytes, max_age=limits.log_age)
        self.reset_volatile_state()
        self.snapshots = Snapshots(self.keyspace, limits.snapshot_bytes)
        self.refusing: str | None = None
        """Why nothing that has to survive can be accepted, while that is so."""

    def reset_volatile_state(self, serial: int = 0, sub: int = 0) -> None:
        """Nobody is here and nothing is held; serials and numbers of subscriptions go on above these."""
        self.timers = Timers(serial)
        self.sessions = Sessions()
        self.lock_table = LockTable()
        self.conditions = Conditions()
        self.work = Work(self.limits.lines, self.dirty)
        self.interests = Interests(sub)

    def update_ephemeral_owner(self, before: Entry | None, after: Entry | None) -> None:
        """Keep what sessions know of their ephemeral entries in step with an entry that takes the place of another."""
        if before is not None and before.owner is not None:
            owner = self.sessions.get(before.owner)
            if owner is not None:
                owner.ephemeral.pop((before.ns, before.key), None)
                self.release_session(owner)
        if after is not None and after.owner is not None:
            owner = self.sessions.get(after.owner)
            if owner is not None:
                owner.ephemeral[after.ns, after.key] = None

    def touch_session(self, session: Session, now: float) -> None:
        """A session of callers is used: it rests from now on."""
        session.last_seen_at = round(now, 3)
        self.timers.set(session, deadline_after(now, self.limits.rest))

    def release_session(self, session: Session) -> None:
        """A session holds something no longer: one of callers rests if that was all, since its last use."""
        if session.connectionless and session.deadline is None and not session.holds_anything:
            self.timers.set(session, deadline_after(session.last_seen_at, self.limits.rest))

    def undo_events(self, events: Iterable[Event]) -> None:
        """Let entries be as they were before these events, which are the newest of theirs."""
        for event in reversed(list(events)):
            if event.type == "touch" and event.entry is not None and event.prev is not None:
                self.snapshots.undo_touch(event.entry, event.prev)
            if event.entry is not None:
                self.keyspace.undo(event.entry, event.prev)
            elif event.prev is not None:
                self.keyspace.put(event.prev, None)
            self.update_ephemeral_owner(event.entry, event.prev)


class Transaction:
    """A command being decided at the instant `now`."""

    __slots__ = (
        "_changed",
        "_events",
        "_lost_locks",
        "_released",
        "at",
        "by",
        "effects",
        "effects_after_reply",
        "now",
        "origin",
        "state",
    )

    def __init__(self, state: State, now: float) -> None:
        self.state = state
        self.now = now
        self.at = round(now, 3)
        """`now` as it is shown: with millisecond precision."""
        self.by = HUB
        self.origin: str | None = None
        self.effects: list[Effect] = []
        self.effects_after_reply: list[Effect] = []
        """What goes out after the reply."""
        self._changed = False
        """Whether anything may have changed since the last commit."""
        self._events: list[Event] = []
        self._lost_locks: list[tuple[Session, LockLost]] = []
        """Who has lost a lock since the last commit."""
        self._released: list[LockRequest] = []
        """Locks that were let go since the last commit."""

    @property
    def rev(self) -> int:
        """The revision of the state as it stands: the open commit's, or the log's newest."""
        return self.state.log.rev + (1 if self._events else 0)

    @property
    def next_rev(self) -> int:
        """The revision that a change made now takes."""
        return self.state.log.rev + 1

    def attribute_to(self, session: Session) -> None:
        """What changes from here on is this session's doing."""
        self.by = session.agent
        self.origin = session.id

    def attribute_to_hub(self) -> None:
        """What changes from here on is time's doing."""
        self.by = HUB
        self.origin = None

    # --- reading ---

    def get_live(self, ns: str, key: str) -> Entry | None:
        """The entry, or None; one whose deadline has come expires first. Only before the turn's own changes."""
        entry = self.state.keyspace.get(ns, key)
        if entry is not None and entry.is_due(self.now):
            self.expire(entry)
            return None
        return entry

    def encode_value(self, value: object, field: str, limit: int | None = None) -> bytes:
        """The stored form of a value that came with the command."""
        limits = self.state.limits
        return encode_value(value, field, limit=limits.value if limit is None else limit, depth=limits.depth)

    def check_can_persist(self) -> None:
        """Unavailable while what has to survive cannot be kept."""
        if self.state.refusing is not None:
            why = self.state.refusing
            raise Unavailable(f"{why}: only what does not have to survive is accepted until then", retry_after=2.0)

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
        owner: str | None = None,
        earlier: tuple[Entry, ...] = (),
    ) -> Entry:
        """Write an entry in place of `prev`; `owner` is the session it is tied to."""
        self._changed = True
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
        self._record_event("set", ns, key, entry=entry, prev=prev)
        return entry

    def touch(self, prev: Entry, expires_at: float | None) -> None:
        """Give an entry another deadline, or none."""
        self._changed = True
        entry = structs.replace(prev, expires_at=expires_at)
        self.state.keyspace.put(entry, prev)
        self._record_event("touch", prev.ns, prev.key, entry=entry, prev=prev)

    def remove(self, entry: Entry, type: str = "delete", reason: str | None = None, late: float | None = None) -> None:
        """Take an entry out: by delete, expire or evict."""
        self._changed = True
        self.state.snapshots.before_change(entry.ns, entry.key, entry)
        self.state.keyspace.remove(entry)
        self.state.update_ephemeral_owner(entry, None)
        self._record_event(type, entry.ns, entry.key, prev=entry, reason=reason, late=late)

    def publish(self, ns: str, channel: str, data: bytes) -> None:
        """Let something be heard that is not stored."""
        self.state.keyspace.version_floors.mark_volatile(ns)
        self._record_event("message", ns, channel, data=data)

    def expire(self, entry: Entry) -> None:
        """Let time take an entry that is due, in a commit of its own."""
        assert not self._events, "what is due expires before the command changes anything"
        assert entry.expires_at is not None
        by, origin = self.by, self.origin
        self.attribute_to_hub()
        self.remove(entry, "expire", late=round(self.now - entry.expires_at, 6))
        self.commit()
        self.by, self.origin = by, origin

    # --- locks ---

    def add_lock_request(self, claim: LockRequest, across: dict[LockRequest, None]) -> None:
        """A claim arrives; `across` are those it conflicts with because of a pattern."""
        self._changed = True
        self.state.lock_table.add(claim, across)
        self.state.dirty.mark(claim)
        self.state.work.claimed(claim)

    def remove_lock_request(self, claim: LockRequest) -> None:
        """A claim goes, held or waiting."""
        self._changed = True
        state = self.state
        state.lock_table.remove(claim)
        state.dirty.mark_removed(claim)
        state.timers.set(claim, None)
        state.work.freed(claim, state.keyspace, state.lock_table)
        state.release_session(claim.session)

    def grant_lock(self, claim: LockRequest, expires_at: float) -> None:
        """Grant a claim that nothing stands in the way of any more; its token is the revision."""
        waited = claim.session.pending.get(claim.id) is claim
        self.state.lock_table.grant(claim, self.next_rev, self.at)
        self.state.timers.set(claim, expires_at)
        self.state.dirty.mark(claim)
        grip = claim.info()
        for key in claim.keys:
            self._record_event("lock", claim.ns, key, grip=grip)
        if waited:
            self.publish_queue_length(claim)

    def release_lock(self, claim: LockRequest, reason: str, *, lost: bool = False, message: str = "") -> None:
        """Let a lock go; `lost` if its holder is to be told."""
        assert claim.token is not None
        self.remove_lock_request(claim)
        self._released.append(claim)
        grip = LockInfo(session=claim.session.id, token=claim.token)
        for key in claim.keys:
            self._record_event("unlock", claim.ns, key, reason=reason, grip=grip)
        if lost:
            told = m.LostLock(
                token=claim.token, reason=reason, names=claim.shown_names, patterns=claim.shown_patterns,
                message=message,
            )  # fmt: skip
            self._lost_locks.append((claim.session, LockLost(claim.session.id, told)))

    def renew_lock(self, claim: LockRequest, expires_at: float) -> None:
        """Give a lock that is held a new deadline."""
        assert claim.token is not None
        self.state.timers.set(claim, expires_at)
        self.state.dirty.mark(claim)
        grip = LockInfo(session=claim.session.id, token=claim.token, expires_at=expires_at)
        for key in claim.keys:
            self._record_event("renew", claim.ns, key, grip=grip)

    def publish_queue_length(self, claim: LockRequest) -> None:
        """A session has begun or stopped waiting for a lock."""
        for key in claim.keys:
            waiting = self.state.lock_table.waiting_count(claim, key)
            self._record_event("queue", claim.ns, key, grip=LockInfo(session=claim.session.id, waiting=waiting))

    def notify(self, session: Session, said: Notice) -> None:
        """Tell a session something now, or when its agent is back. Callers hear answers, and nothing unasked."""
        if session.connectionless and isinstance(said, LockLost):
            return
        if session.connected:
            self.effects.append(said)
        else:
            unsaid = QueuedNotice(self.state.timers.next_serial(), said)
            session.queued_notices.append(unsaid)
            self.state.dirty.mark(unsaid)

    # --- closing ---

    def commit(self) -> None:
        """Close the revision, if anything has changed."""
        if not self._events:
            return
        self._end_takes()
        commit = self.state.log.append(tuple(self._events))
        self.effects.append(commit)
        self._events = []
        self._changed = False
        for session, lost in self._lost_locks:
            self.notify(session, lost)
        self._lost_locks = []
        self.state.work.notice(commit, self.state.keyspace, self.state.lock_table)
        freed, self._released = self._released, []
        if self.state.conditions.waits:
            for wait in self.state.conditions.concerned(commit, freed, self.state.keyspace):
                waits.decide(self, wait)

    def _end_takes(self) -> None:
        """The lock of a taken entry ends with it, however that ends."""
        if not self.state.lock_table.taken:
            return
        for event in list(self._events):
            claim = self.state.lock_table.taken.get((event.ns, event.key)) if event.type in _ENDS else None
            if claim is not None:
                lost = event.origin != claim.session.id
                self.release_lock(claim, _ENDS[event.type], lost=lost)

    def undo(self) -> None:
        """Take back everything since the last commit: a later part of the command was refused."""
        self.state.undo_events(self._events)
        self._events = []
        self._changed = False

    @property
    def clean(self) -> bool:
        """Whether nothing has changed since the last commit."""
        return not self._changed and not self._events

    # --- keeping in step ---

    def _record_event(
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
        grip: LockInfo | None = None,
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
                lock=grip,
            )
        )
