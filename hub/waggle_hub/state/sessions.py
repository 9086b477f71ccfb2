"""Sessions: the stay of an agent, with everything that it holds (protocol 3, G7).

Rules:
1. A session is connected, or it has a deadline: the end of its grace. A connectionless session (of calls over HTTP)
   counts as connected; it has a deadline, the end of its idle time, unless it holds something.
2. Nothing tells the hub what a client has read before its connection was lost. So the newest notices are kept for a
   while (`told_notices`), and told again at a takeover. They are not stored: a restart of the hub forgets them.
3. What a session holds (subscriptions, ephemeral entries, outcomes remembered for retries) ends with the session.
4. An agent is present while it has a session; its newest session is shown in `$agents`.

This module holds the data. The rules of hello, drop and end are in `commands/session_lifecycle`, those of calls over
HTTP in `commands/http_sessions`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from msgspec import UNSET, Raw, Struct, UnsetType

from waggle.wire import messages as m
from waggle.wire.errors import WaggleError, error_from_wire
from waggle.wire.json import decode, encode
from waggle_hub.settings import Limits

from .interests import Interest
from .persistence.records import Key, OutcomeRecord, QueuedNoticeRecord, Record, SessionRecord, SubscriptionRecord
from .timers import Timed

if TYPE_CHECKING:
    from .commands.clear import ClearCursor
    from .effects import Notice
    from .locks.request import LockRequest
    from .pending import PendingCommand


class SessionIds(Struct, frozen=True):
    """Fresh random ids for one new session. They are arguments: the machine itself draws no random numbers."""

    session: str
    secret: str
    agent: str
    """The name of the agent if its client chooses none."""


class Outcome(Struct, frozen=True):
    """How a command ended: one of the two is set. `ok` is JSON text (Raw) if it was read from the journal."""

    ok: m.Ok | Raw | None = None
    error: WaggleError | None = None

    def to_json(self) -> tuple[Raw | UnsetType, Raw | UnsetType]:
        """Return `ok` and `error` as they are on the wire; one of them is UNSET."""
        if self.error is not None:
            return UNSET, Raw(encode(self.error.to_wire()))
        return Raw(encode(self.ok)), UNSET

    @classmethod
    def from_json(cls, ok: Raw | UnsetType, error: Raw | UnsetType) -> Outcome:
        """Return the outcome that `to_json` gave these for."""
        if not isinstance(error, UnsetType):
            return cls(error=error_from_wire(decode(error)))
        assert not isinstance(ok, UnsetType)
        return cls(ok=ok)


class RememberedOutcome(Struct, frozen=True):
    """The outcome of a rid, which a session remembers for retries."""

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
    """A notice that a session gets when its agent is back."""

    serial: int
    notice: Notice

    @property
    def record_name(self) -> Key:
        return (QueuedNoticeRecord.kind, self.serial)

    def record(self) -> Record:
        return self.notice.record(self.serial)


class Subscription(Struct, eq=False):
    """A session's cursor on an interest, as far as the machine knows it: its options, and where it started.

    How far the cursor has come is known to delivery and to the client alone.
    """

    session: str
    interest: Interest
    echo: bool
    start: int
    """The revision at which the cursor started: that of the reply to `subscribe`, or of `since`."""
    snapshot: bool
    """Whether a snapshot was promised."""
    synced: bool = False
    """Whether the end of that snapshot has been sent. If not, a takeover starts the snapshot again."""
    lost: str | None = None
    """Why the hub restarted the cursor. The line that says so may not have arrived: a takeover sends it again."""
    restored: bool = False
    """Whether it was restored from the journal, where `synced` may be out of date."""

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
    """The stay of an agent. Its deadline is the end of its grace, or of its idle time."""

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
        "told_bytes",
        "told_notices",
    )  # fmt: skip

    def __init__(
        self,
        ids: SessionIds,
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
        self.id = ids.session
        self.secret = ids.secret
        self.agent = agent
        self.named_by_client = chosen
        """Whether the client chose the agent's name: `$seen` lists only such names."""
        self.connectionless = caller
        """Whether it is used by calls over HTTP, and never has a connection."""
        self.ns = ns
        self.meta = meta
        self.status = b"null"
        self.since = at
        self.last_seen_at = at
        """When it was last connected, or last used by a call."""
        self.connected = True
        self.subscriptions: dict[int, Subscription] = {}
        self.ephemeral: dict[tuple[str, str], None] = {}
        self.outcomes: dict[str, RememberedOutcome] = {}
        self.clear_cursor: ClearCursor | None = None
        """Where the next `clear` of the same pattern goes on."""
        self.lock_requests: dict[LockRequest, None] = {}
        """Locks that it holds or waits for, oldest first."""
        self.pending: dict[m.Id, PendingCommand] = {}
        """Pending commands, by id."""
        self.by_rid: dict[str, PendingCommand] = {}
        """Those of its pending commands that have a rid, by rid."""
        self.queued_notices: list[QueuedNotice] = []
        """Replies and lost locks to be told when the agent is back; they happened during the grace."""
        self.told_notices: dict[m.Id | tuple[int], tuple[float, Notice]] = {}
        """Notices that were sent to a connection, and when, oldest first: by the id of a reply, the token of a lock."""
        self.told_bytes = 0

    def note_told(self, notice: Notice, now: float, limits: Limits) -> None:
        """Keep a notice that is sent to a connection, to tell it again at a takeover."""
        if notice.size > limits.told_bytes:
            return
        self.forget_told(notice.told_as)
        self.told_notices[notice.told_as] = (now, notice)
        self.told_bytes += notice.size
        while (
            len(self.told_notices) > limits.told
            or self.told_bytes > limits.told_bytes
            or next(iter(self.told_notices.values()))[0] < now - limits.told_age
        ):
            self.forget_told(next(iter(self.told_notices)))

    def forget_told(self, name: m.Id | tuple[int]) -> None:
        """Forget a notice that was sent: it is not told again."""
        told = self.told_notices.pop(name, None)
        if told is not None:
            self.told_bytes -= told[1].size

    def timed_items(self) -> Iterator[Timed]:
        """Yield everything it holds that may have a deadline."""
        yield from dict.fromkeys([*self.lock_requests, *self.pending.values()])

    @property
    def holds_anything(self) -> bool:
        """Whether it holds something that would end with it: locks, pending commands, ephemeral entries."""
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
        """Return the names of all agents that have a session."""
        return list(self._by_agent)

    def of_agent(self, agent: str) -> list[Session]:
        """Return the sessions of an agent, oldest first."""
        return list(self._by_agent.get(agent, {}).values())

    def connectionless_of(self, agent: str) -> Session | None:
        """Return the session that calls over HTTP use under this name."""
        sessions = self._by_agent.get(agent, {}).values()
        return next((session for session in sessions if session.connectionless), None)

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
            assert all(command.id == id for id, command in session.pending.items())
            assert all(command.rid == rid for rid, command in session.by_rid.items())
        assert sum(len(namesakes) for namesakes in self._by_agent.values()) == len(sessions)
