"""What the machine gives off, in order: the engine and delivery act on it, the machine never does.

Order is meaning: a reply stands after the commits it reflects (G11), an `OpenCursor` after the reply that names the
subscription, an `SessionEnded` after everything the session was still owed.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct

from waggle.wire import messages as m
from waggle.wire.names import Pattern

from .interests import Interest
from .log import Commit
from .persistence.records import QueuedNoticeRecord
from .sessions import Outcome
from .store.snapshot import Snapshot


class Reply(Struct, frozen=True, eq=False):
    """The answer to the command that was applied."""

    id: m.Id
    outcome: Outcome
    dup: bool = False


class BindSession(Struct, frozen=True, eq=False):
    """The connection that said hello speaks for this session from now on; an older one is told so (4002)."""

    session: str


class OpenCursor(Struct, frozen=True, eq=False):
    """A cursor of this session begins or goes on at `rev`, or with a snapshot."""

    session: str
    interest: Interest
    echo: bool
    rev: int
    replay: bool = False
    """Whether it may have missed something since `rev`: a mark tells where the replay ends."""
    snapshot: Snapshot | None = None
    lost: str | None = None
    """The cursor could not go on: say so with this reason before the snapshot."""


class CloseCursor(Struct, frozen=True, eq=False):
    """A cursor of this session is gone."""

    session: str
    sub: int


class SessionEnded(Struct, frozen=True, eq=False):
    """The session is over."""

    session: str


class DeferredReply(Struct, frozen=True, eq=False):
    """The reply to a command of this session that has waited; its connection is whichever speaks for it now."""

    session: str
    id: m.Id
    outcome: Outcome

    def record(self, serial: int) -> QueuedNoticeRecord:
        """It, kept under this number until it can be told."""
        ok, error = self.outcome.to_json()
        return QueuedNoticeRecord(serial=serial, session=self.session, id=self.id, ok=ok, error=error)


class LockLost(Struct, frozen=True, eq=False):
    """This session has lost a lock that it held: it is told so unasked."""

    session: str
    lock: m.LostLock

    def record(self, serial: int) -> QueuedNoticeRecord:
        """It, kept under this number until it can be told."""
        return QueuedNoticeRecord(serial=serial, session=self.session, lost=self.lock)


class Word(NamedTuple):
    """A word that is looked for; with ``open``, all that begin with it."""

    text: str
    open: bool


class StartBackup(Struct, frozen=True, eq=False):
    """This session has asked for a backup, which is the hub's to make: its answer comes when there is one."""

    session: str
    id: m.Id


class StartSearch(Struct, frozen=True, eq=False):
    """This session looks for entries by their words, of which there is an index outside of the machine."""

    session: str
    id: m.Id
    ns: str
    pattern: Pattern
    words: tuple[Word, ...]
    limit: int


Notice = DeferredReply | LockLost
"""What is told to a session in its own time, and kept for it while its agent is away."""


def notice_of(record: QueuedNoticeRecord) -> Notice:
    """What a record kept to be told."""
    if record.lost is not None:
        return LockLost(record.session, record.lost)
    assert record.id is not None
    return DeferredReply(record.session, record.id, Outcome.from_json(record.ok, record.error))


Effect = (
    Commit
    | Reply
    | BindSession
    | OpenCursor
    | CloseCursor
    | SessionEnded
    | DeferredReply
    | LockLost
    | StartBackup
    | StartSearch
)
