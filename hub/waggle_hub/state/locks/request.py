"""A claim: one lock that is held or waited for (protocol 6). `claims` has the rules; here is what is known of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET, UnsetType

from waggle.wire import messages as m
from waggle.wire.names import Pattern
from waggle_hub.state.log import LockInfo
from waggle_hub.state.pending import PendingCommand
from waggle_hub.state.persistence.records import ClaimRecord, Key, Record
from waggle_hub.state.sessions import Session

if TYPE_CHECKING:
    from .name_queue import Place

LockOwner = tuple[str, str | None]
"""A strand of work: a session, and its task if it tells them apart."""


class LockRequest(PendingCommand):
    """One `lock` or `take` on its way: it waits, then is held. Its deadline ends its patience, then its ttl."""

    __slots__ = (
        "agent", "behind", "blockers", "blocking", "granted_at", "mode", "names", "ns", "patterns", "places", "taken",
        "task", "token", "ttl",
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
        self.task = task
        self.taken = taken
        """Whether it is the lock of a taken entry, and ends with it."""
        self.token: int | None = None
        """The revision of the grant; None while it waits."""
        self.granted_at = 0.0
        self.behind = 0
        """In how many queues it is not in front."""
        self.places: list[Place] = []
        """Its places in the queues of its names."""
        self.blockers: dict[LockRequest, None] = {}
        """Earlier claims that it conflicts with because of a pattern."""
        self.blocking: dict[LockRequest, None] = {}
        """Later claims that wait for it because of a pattern."""

    @property
    def exclusive(self) -> bool:
        return self.mode == "exclusive"

    @property
    def strand(self) -> LockOwner:
        """The strand of work that asks: one session may have many."""
        return self.session.id, self.task

    @property
    def ready(self) -> bool:
        """Whether nothing stands in its way."""
        return not self.behind and not self.blockers

    @property
    def keys(self) -> list[str]:
        """Its names, or the texts of its patterns: the keys of its events."""
        return [*self.names, *(pattern.text for pattern in self.patterns)]

    @property
    def shown_names(self) -> list[str] | UnsetType:
        return list(self.names) if self.names else UNSET

    @property
    def shown_patterns(self) -> list[str] | UnsetType:
        return [pattern.text for pattern in self.patterns] if self.patterns else UNSET

    def info(self) -> LockInfo:
        """What its events tell of it."""
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

    def conflicts(self, other: LockRequest) -> bool:
        """Whether the modes conflict; what they are on is not looked at."""
        return self.exclusive or other.exclusive

    def covers(self, key: str) -> bool:
        """Whether it is on this key, by name or by pattern."""
        return key in self.names or any(pattern.match(key) for pattern in self.patterns)
