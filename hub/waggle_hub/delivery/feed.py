"""A feed: one interest, the chain of its events, and the cursors that follow it live (protocol 5).

Rules:
1. A cursor is live (it gets what the feed sends, as the same text as all the others), or behind (it is refilled from
   a snapshot or the log), or lost (the machine is to begin it again), or its session has no connection. Nothing else.
2. A line is encoded once, and only if somebody is live.
3. `last` is the revision of the feed's newest event: the `after` of the next.
"""

from __future__ import annotations

from ..state.interests import Interest
from ..state.log import Event
from ..state.snapshot import Snapshot
from .connection import Connection
from .encoding import event_body, event_line, mark_line

Bodies = dict[tuple[int, bool, bool], bytes]


class Cursor:
    """How far one session has been told of one interest."""

    __slots__ = ("after", "connection", "echo", "feed", "losses", "rev", "session", "snapshot")

    def __init__(self, session: str, feed: Feed, echo: bool, rev: int, snapshot: Snapshot | None) -> None:
        self.session = session
        self.feed = feed
        self.echo = echo
        self.rev = rev
        """Everything up to here has been told, or put into the outbox. Not kept up while it is live."""
        self.after = rev
        """The revision of the event it was told last, or where it began: the chain of a refill."""
        self.snapshot = snapshot
        self.losses = 0
        """How often in a row the log did not reach back to it."""
        self.connection: Connection | None = None

    def own(self, event: Event) -> bool:
        """Whether this is left out by `echo: false`."""
        return not self.echo and event.origin == self.session


class Feed:
    """One interest with its live cursors, and the lines of this turn."""

    __slots__ = ("cursors", "interest", "last", "live", "pending", "sub")

    def __init__(self, interest: Interest, last: int) -> None:
        self.interest = interest
        self.sub = interest.sub
        self.last = last
        self.cursors = 0
        """How many sessions have a cursor here."""
        self.live: dict[Cursor, None] = {}
        self.pending: list[tuple[str | None, int, bytes]] = []
        """The origin, the revision and the text of each line that waits for the end of the turn."""

    def add(self, rev: int, events: list[Event], bodies: Bodies) -> None:
        """What happened at this revision, in order. `bodies` is shared by all feeds that this revision concerns."""
        if self.live:
            self._encode(rev, events, bodies)
        self.last = rev

    def _encode(self, rev: int, events: list[Event], bodies: Bodies) -> None:
        scope = self.interest.scope
        final = len(events) - 1
        for number, event in enumerate(events):
            want = (id(event), scope.values, scope.prev)
            body = bodies.get(want)
            if body is None:
                body = bodies[want] = event_body(event, scope.values, scope.prev)
            self.pending.append((event.origin, rev, event_line(self.sub, rev, self.last, number < final, body)))

    def flush(self, frame: int) -> None:
        """Hand the lines of this turn to everybody who is live, in texts of about `frame` bytes."""
        pending, self.pending = self.pending, []
        texts = cut([line for _, _, line in pending], frame)
        for cursor in self.live:
            assert cursor.connection is not None
            mine = texts
            if not cursor.echo and any(origin == cursor.session for origin, _, _ in pending):
                mine = cut(self._without_own(pending, cursor.session), frame)
            for text in mine:
                cursor.connection.put_events(text)

    def _without_own(self, pending: list[tuple[str | None, int, bytes]], session: str) -> list[bytes]:
        """The lines with a mark in place of each revision that the session itself made."""
        lines = []
        marked = 0
        for origin, rev, line in pending:
            if origin != session:
                lines.append(line)
            elif rev != marked:
                lines.append(mark_line(rev, self.sub))
                marked = rev
        return lines


def cut(lines: list[bytes], frame: int) -> list[str]:
    """The lines as few texts, cut between lines near `frame` bytes."""
    texts = []
    group: list[bytes] = []
    size = 0
    for line in lines:
        if group and size + len(line) > frame:
            texts.append(b"\n".join(group).decode())
            group, size = [], 0
        group.append(line)
        size += len(line) + 1
    if group:
        texts.append(b"\n".join(group).decode())
    return texts
