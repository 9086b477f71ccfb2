"""A lock request: one `lock` or `take` command that waits for a lock or holds it (protocol 6).

`table` has the rules by which requests are granted; a request only stores what is known of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET, UnsetType

from waggle.wire import messages as m
from waggle.wire.patterns import Pattern
from waggle_hub.state.log import LockInfo
from waggle_hub.state.pending import PendingCommand
from waggle_hub.state.persistence.records import ClaimRecord, Key, Record
from waggle_hub.state.sessions import Session

if TYPE_CHECKING:
    from .name_queue import QueueNode

LockOwner = tuple[str, str | None]
"""Session id, and the task that the request names, if any: the unit that can be in a deadlock."""


class LockRequest(PendingCommand):
    """A lock that is waited for, then held. Its deadline is the end of its waiting time, then of its ttl."""

    __slots__ = (
        "agent", "blocked_queues", "granted_at", "mode", "names", "nodes", "ns", "pattern_blockers", "pattern_waiters",
        "patterns", "taken", "task", "token", "ttl",
    )  # fmt: skip
    op = "lock"

    def __init__(
        self,
        serial: int,
        session: Session,
        id: m.Id,
        rid: str | None,
        since: float,
        *,
        ns: str,
        names: tuple[str, ...] = (),
        patterns: tuple[Pattern, ...] = (),
        mode: m.Mode,
        ttl: float,
        task: str | None = None,
        taken: bool = False,
    ) -> None:
        super().__init__(serial, session, id, rid, since)
        self.agent = session.agent
        self.ns = ns
        self.names = names
        self.patterns = patterns
        self.mode = mode
        self.ttl = ttl
        """Seconds."""
        self.task = task
        self.taken = taken
        """Whether this is the lock of a taken entry. Such a lock is released when the entry is gone."""
        self.token: int | None = None
        """The revision of the grant, which is the fencing token; None while the request waits."""
        self.granted_at = 0.0
        self.nodes: list[QueueNode] = []
        """The nodes of this request in the queues of its names, in the order of `names`."""
        self.blocked_queues = 0
        """Number of those queues in which the request is behind the grantable prefix."""
        self.pattern_blockers: dict[LockRequest, None] = {}
        """Earlier requests that conflict with this one because of a pattern, in either of them."""
        self.pattern_waiters: dict[LockRequest, None] = {}
        """Later requests that have this one among their `pattern_blockers`."""

    @property
    def exclusive(self) -> bool:
        return self.mode == "exclusive"

    @property
    def owner(self) -> LockOwner:
        return self.session.id, self.task

    @property
    def ready(self) -> bool:
        """Whether no earlier request conflicts with this one: it is held, or can be granted now."""
        return not self.blocked_queues and not self.pattern_blockers

    @property
    def keys(self) -> list[str]:
        """The names, or the texts of the patterns. Each is the key of one event when the lock changes."""
        return [*self.names, *(pattern.text for pattern in self.patterns)]

    @property
    def shown_names(self) -> list[str] | UnsetType:
        """The names as the wire has them: left out if there are none."""
        return list(self.names) if self.names else UNSET

    @property
    def shown_patterns(self) -> list[str] | UnsetType:
        """The texts of the patterns as the wire has them: left out if there are none."""
        return [pattern.text for pattern in self.patterns] if self.patterns else UNSET

    def info(self) -> LockInfo:
        """Return the part of a `lock` event that describes this lock."""
        return LockInfo(
            session=self.session.id,
            token=UNSET if self.token is None else self.token,
            mode=self.mode,
            expires_at=UNSET if self.token is None or self.deadline is None else self.deadline,
            names=self.shown_names,
            patterns=self.shown_patterns,
        )

    @property
    def record_name(self) -> Key:
        return (ClaimRecord.kind, self.serial)

    def record(self) -> Record:
        return ClaimRecord(
            serial=self.serial,
            session=self.session.id,
            id=self.id,
            rid=self.rid,
            since=self.since,
            ns=self.ns,
            names=list(self.names),
            patterns=[pattern.text for pattern in self.patterns],
            mode=self.mode,
            ttl=self.ttl,
            task=self.task,
            taken=self.taken,
            token=self.token,
            granted_at=self.granted_at,
            deadline=self.deadline,
        )

    def modes_conflict(self, other: LockRequest) -> bool:
        """Return whether the two modes conflict. Names and patterns are not compared."""
        return self.exclusive or other.exclusive

    def covers(self, key: str) -> bool:
        """Return whether the request is for this key, by name or by pattern."""
        return key in self.names or any(pattern.match(key) for pattern in self.patterns)
