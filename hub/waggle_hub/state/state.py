"""The state of the machine: its data structures, and the few steps that touch two of them.

Only a `Transaction` changes the state. Each structure asserts its own rules (`check`); `Machine.check` asserts those
that hold between them.
"""

from __future__ import annotations

from collections.abc import Iterable

from waggle_hub.settings import Limits

from .interests import Interests
from .locks.table import LockTable
from .log import Event, Log
from .persistence.dirty import DirtySet
from .persistence.records import HubRecord
from .sessions import Session, Sessions
from .store.entry import Entry
from .store.expiry import deadline_after
from .store.keyspace import Keyspace
from .store.snapshot import Snapshots
from .timers import Timers
from .waits.condition_index import ConditionIndex
from .work.queue import WorkQueues


class State:
    """Everything that the hub knows. `rev` is the highest revision that was ever given."""

    def __init__(self, limits: Limits, epoch: str, rev: int) -> None:
        self.limits = limits
        self.epoch = epoch
        self.hub_record = HubRecord(epoch=epoch, rev=rev, floor=rev)
        """The record of the hub as the journal has it, or will have it after the next write."""
        self.dirty = DirtySet()
        """The items whose records have to be written."""
        self.keyspace = Keyspace(limits.tombstones, self.dirty)
        self.log = Log(rev, max_events=limits.log_events, max_bytes=limits.log_bytes, max_age=limits.log_age)
        self.reset_volatile_state()
        self.snapshots = Snapshots(self.keyspace, limits.snapshot_bytes)
        self.refusing: str | None = None
        """Why commands that need the journal are refused now; None while they are accepted."""

    def reset_volatile_state(self, serial: int = 0, sub: int = 0) -> None:
        """Start without sessions, locks and waits; serials and subscription numbers go on above these."""
        self.timers = Timers(serial)
        self.sessions = Sessions()
        self.lock_table = LockTable()
        self.condition_index = ConditionIndex()
        self.work_queues = WorkQueues(self.limits.work_queues, self.dirty)
        self.interests = Interests(sub)

    def update_ephemeral_owner(self, before: Entry | None, after: Entry | None) -> None:
        """Update the lists of ephemeral entries of the sessions concerned: `after` takes the place of `before`."""
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
        """Note a call of a connectionless session: its idle time starts again."""
        session.last_seen_at = round(now, 3)
        self.timers.set(session, deadline_after(now, self.limits.http_idle))

    def release_session(self, session: Session) -> None:
        """Note that a session holds something less: a connectionless one that holds nothing gets its deadline back."""
        if session.connectionless and session.deadline is None and not session.holds_anything:
            # The idle time counts from the last call: what was held may have ended much later, or much earlier.
            self.timers.set(session, deadline_after(session.last_seen_at, self.limits.http_idle))

    def undo_events(self, events: Iterable[Event]) -> None:
        """Restore the entries from before these events, which must be the newest of their keys."""
        for event in reversed(list(events)):
            if event.type == "touch" and event.entry is not None and event.prev is not None:
                self.snapshots.undo_touch(event.entry, event.prev)
            if event.entry is not None:
                self.keyspace.undo(event.entry, event.prev)
            elif event.prev is not None:
                self.keyspace.put(event.prev, None)
            self.update_ephemeral_owner(event.entry, event.prev)
