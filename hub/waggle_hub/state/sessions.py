"""Sessions: an agent's stay, with everything it holds (protocol 3, G7).

Rules:
1. A session is connected, or it has a deadline: the end of its grace. One of callers counts as connected, and has a
   deadline unless it holds something: the end of its rest (`callers`).
2. What a session holds (subscriptions, ephemeral entries, outcomes kept for retries) lives exactly as long as it.
3. An agent is present while it has a session; its newest session speaks for it.

This module keeps the books; the rules of hello, drop and end are in `presence`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from waggle.wire import messages as m
from waggle.wire.errors import WaggleError, error_from_wire

from .interests import Interest
from .persistence.records import Key, OutcomeRecord, QueuedNoticeRecord, Record, SessionRecord, SubscriptionRecord
from .timers import Timed

if TYPE_CHECKING:
    from .commands.clear import ClearCursor
    from .effects import Notice
    from .locks.request import LockRequest
    from .pending import PendingCommand

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class SessionIds(Struct, frozen=True):
    """Ids for one hello, drawn outside of the machine."""

    session: str
    secret: str
    agent: str
    """The name given to a caller that did not choose one."""


class Outcome(Struct, frozen=True):
    """How a command ended: one of the two is set. What comes back from the journal is `ok` as its text."""

    ok: m.Ok | Raw | None = None
    error: WaggleError | None = None

    def to_json(self) -> tuple[Raw | UnsetType, Raw | UnsetType]:
        """`ok` and `error` as they stand on the wire."""
        if self.error is not None:
            return UNSET, Raw(_encode(self.error.to_wire()))
        return Raw(_encode(self.ok)), UNSET

    @classmethod
    def from_json(cls, ok: Raw | UnsetType, error: Raw | UnsetType) -> Outcome:
        """The outcome again."""
        if not isinstance(error, UnsetType):
            return cls(error=error_from_wire(_decode(error)))
        assert not isinstance(ok, UnsetType)
        return cls(ok=ok)


class KeptOutcome(Struct, frozen=True):
    """An outcome that a session remembers for its rid."""

    serial: int
    session: str
    rid: str
    op: str
    outcome: Outcome

    @property
    def record_name(self) -> Key:
        return (OutcomeRecord.kind, self.serial)

    def record(self) -> Record:
        ok, error = self.outcome.to_json()
        return OutcomeRecord(serial=self.serial, session=self.session, rid=self.rid, op=self.op, ok=ok, error=error)


class QueuedNotice(Struct, frozen=True):
    """What a session is to be told when its agent is back."""

    serial: int
    notice: Notice

    @property
    def record_name(self) -> Key:
        return (QueuedNoticeRecord.kind, self.serial)

    def record(self) -> Record:
        return self.notice.record(self.serial)


class Subscription(Struct, eq=False):
    """One session's cursor on an interest, as far as the machine knows it: where it began and what was asked."""

    session: str
    interest: Interest
    echo: bool
    start: int
    """The revision of the reply to `subscribe`, or of `since`: where the cursor stood at first."""
    snapshot: bool
    """Whether a snapshot was promised."""
    synced: bool = False
    """Whether the end of that snapshot has been sent: a cursor taken over without it starts the snapshot again."""
    lost: str | None = None
    """Why the hub began it again unasked. What it said of that may not have arrived: it is said again at a takeover."""
    restored: bool = False
    """Whether it came back from the journal, which may not know that its snapshot was complete."""

    @property
    def record_name(self) -> Key:
        return (SubscriptionRecord.kind, self.session, self.interest.sub)

    def record(self) -> Record:
        scope = self.interest.scope
        return SubscriptionRecord(
            session=self.session,
            sub=self.interest.sub,
            ns=scope.ns,
            patterns=list(scope.patterns),
            types=sorted(scope.types),
            values=scope.values,
            prev=scope.prev,
            conflate=scope.conflate,
            echo=self.echo,
            start=self.start,
            snapshot=self.snapshot,
            synced=self.synced,
            lost=self.lost,
        )


class Session(Timed):
    """An agent's stay. Its deadline is the end of its grace."""

    __slots__ = (
        "agent",
        "by_rid",
        "clear_cursor",
        "connected",
        "connectionless",
        "ephemeral",
        "id",
        "last_seen_at",
        "lock_requests",
        "meta",
        "named_by_client",
        "ns",
        "outcomes",
        "pending",
        "queued_notices",
        "secret",
        "since",
        "status",
        "subscriptions",
    )  # fmt: skip

    def __init__(
        self,
        fresh: SessionIds,
        agent: str,
        *,
        chosen: bool,
        ns: str,
        meta: bytes,
        at: float,
        serial: int,
        caller: bool = False,
    ) -> None:
        super().__init__(serial)
        self.id = fresh.session
        self.secret = fresh.secret
        self.agent = agent
        self.named_by_client = chosen
        """Whether the client chose the name: only then `$seen` remembers it."""
        self.connectionless = caller
        """Whether it is one of calls, and has no connection."""
        self.ns = ns
        self.meta = meta
        self.status = b"null"
        self.since = at
        self.last_seen_at = at
        """When it was last connected, or last called."""
        self.connected = True
        self.subscriptions: dict[int, Subscription] = {}
        self.ephemeral: dict[tuple[str, str], None] = {}
        self.outcomes: dict[str, KeptOutcome] = {}
        self.clear_cursor: ClearCursor | None = None
        """Where a clear that has more to look at goes on."""
        self.lock_requests: dict[LockRequest, None] = {}
        """Locks that it holds or waits for."""
        self.pending: dict[m.Id, PendingCommand] = {}
        """Its commands that wait, by id."""
        self.by_rid: dict[str, PendingCommand] = {}
        """Those of them that carry a rid."""
        self.queued_notices: list[QueuedNotice] = []
        """What is to be told when its agent is back: answers and losses that came due in its grace."""

    def timed_items(self) -> Iterator[Timed]:
        """Everything of it that may have a deadline."""
        yield from dict.fromkeys([*self.lock_requests, *self.pending.values()])

    @property
    def holds_anything(self) -> bool:
        """Whether anything is its own that would go with it: locks, waiting commands, ephemeral entries."""
        return bool(self.lock_requests or self.pending or self.ephemeral)

    @property
    def record_name(self) -> Key:
        return (SessionRecord.kind, self.id)

    def record(self) -> Record:
        return SessionRecord(
            id=self.id,
            secret=self.secret,
            agent=self.agent,
            chosen=self.named_by_client,
            ns=self.ns,
            meta=Raw(self.meta),
            status=Raw(self.status),
            since=self.since,
            last=None if self.connected else self.last_seen_at,
            serial=self.serial,
            caller=self.connectionless,
        )


class Sessions:
    """All sessions, by id and by agent."""

    def __init__(self) -> None:
        self._by_id: dict[str, Session] = {}
        self._by_agent: dict[str, dict[str, Session]] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Session]:
        return iter(self._by_id.values())

    def get(self, session: str) -> Session | None:
        return self._by_id.get(session)

    def add(self, session: Session) -> None:
        self._by_id[session.id] = session
        self._by_agent.setdefault(session.agent, {})[session.id] = session

    def remove(self, session: Session) -> None:
        del self._by_id[session.id]
        namesakes = self._by_agent[session.agent]
        del namesakes[session.id]
        if not namesakes:
            del self._by_agent[session.agent]

    def agent_names(self) -> list[str]:
        """The names that somebody is here under."""
        return list(self._by_agent)

    def of_agent(self, agent: str) -> list[Session]:
        """The sessions under this name, oldest first."""
        return list(self._by_agent.get(agent, {}).values())

    def connectionless_of(self, agent: str) -> Session | None:
        """The session of those who call under this name."""
        found = (session for session in self._by_agent.get(agent, {}).values() if session.connectionless)
        return next(found, None)

    def check(self) -> None:
        """Assert the rules of this module."""
        sessions = list(self._by_id.values())
        for session in sessions:
            if session.connectionless:
                assert session.connected
                assert session.holds_anything or session.deadline is not None
                assert self.connectionless_of(session.agent) is session
            else:
                assert session.connected == (session.deadline is None)
            assert session in self.of_agent(session.agent)
            assert not (session.connected and session.queued_notices)
            assert all(waiting.id == id for id, waiting in session.pending.items())
            assert all(waiting.rid == rid for rid, waiting in session.by_rid.items())
        assert sum(len(namesakes) for namesakes in self._by_agent.values()) == len(sessions)
