"""Effects: what the machine returns, in order. The engine and delivery act on them; the machine never does.

The order matters: a reply follows the commits that it reflects (G11), an `OpenCursor` follows the reply that names the
subscription, a `SessionEnded` follows everything that the session still has to get.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Raw, Struct

from waggle.wire import messages as m
from waggle.wire.patterns import Pattern

from .interests import Interest
from .log import Commit
from .persistence.records import QueuedNoticeRecord
from .sessions import Outcome
from .store.snapshot import Snapshot


class Reply(Struct, frozen=True, eq=False):
    """The reply to the command that was applied."""

    id: m.Id
    outcome: Outcome
    dup: bool = False


class BindSession(Struct, frozen=True, eq=False):
    """Bind the connection of the `hello` to this session; an older connection of the session is closed (4002)."""

    session: str


class OpenCursor(Struct, frozen=True, eq=False):
    """Start or continue a cursor of this session at `rev`, or with a snapshot."""

    session: str
    interest: Interest
    echo: bool
    rev: int
    replay: bool = False
    """Whether events since `rev` have to be replayed; a mark tells the client where the replay ends."""
    snapshot: Snapshot | None = None
    lost: str | None = None
    """Why the cursor could not continue: the client is told so before the snapshot."""


class CloseCursor(Struct, frozen=True, eq=False):
    """Close a cursor of this session."""

    session: str
    sub: int


class SessionEnded(Struct, frozen=True, eq=False):
    """Forget the session: it has ended."""

    session: str


class DeferredReply(Struct, frozen=True, eq=False):
    """The reply to a command that was pending; it goes to the connection that the session has now."""

    session: str
    id: m.Id
    outcome: Outcome
    again: bool = False
    """Whether it was sent before, and the client may not have read it."""

    @property
    def told_as(self) -> m.Id:
        """The name under which the session keeps it to tell it again."""
        return self.id

    @property
    def size(self) -> int:
        """About the bytes of the values in the reply."""
        ok = self.outcome.ok
        if isinstance(ok, m.Waited):
            return sum(_value_size(entry) for entry in ok.matched)
        if isinstance(ok, m.Taken):
            return _value_size(ok.entry)
        return len(bytes(ok)) if isinstance(ok, Raw) else 0

    def record(self, serial: int) -> QueuedNoticeRecord:
        """Return the stored form of this notice, queued under this serial."""
        ok, error = self.outcome.to_json()
        return QueuedNoticeRecord(serial=serial, session=self.session, id=self.id, ok=ok, error=error)


class LockLost(Struct, frozen=True, eq=False):
    """Tell a session that it has lost a lock."""

    session: str
    lock: m.LostLock
    again: bool = False
    """Whether it was sent before, and the client may not have read it."""

    @property
    def size(self) -> int:
        """About the bytes of values in it."""
        return 0

    @property
    def told_as(self) -> tuple[int]:
        """The name under which the session keeps it to tell it again."""
        return (self.lock.token,)

    def record(self, serial: int) -> QueuedNoticeRecord:
        """Return the stored form of this notice, queued under this serial."""
        return QueuedNoticeRecord(serial=serial, session=self.session, lost=self.lock)


class Word(NamedTuple):
    """A word to search for; with ``open``, every word that begins with it."""

    text: str
    open: bool


class StartBackup(Struct, frozen=True, eq=False):
    """Make a backup outside of the machine, then reply to this command."""

    session: str
    id: m.Id


class StartSearch(Struct, frozen=True, eq=False):
    """Search the full-text index, which is outside of the machine, then reply to this command."""

    session: str
    id: m.Id
    ns: str
    pattern: Pattern
    words: tuple[Word, ...]
    limit: int


def _value_size(entry: m.Entry) -> int:
    return len(bytes(entry.value)) if isinstance(entry.value, Raw) else 0


Notice = DeferredReply | LockLost
"""What a session is told that is no reply to its current command; it is queued while the agent is away."""


def notice_of(record: QueuedNoticeRecord) -> Notice:
    """Return the notice of a record."""
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
