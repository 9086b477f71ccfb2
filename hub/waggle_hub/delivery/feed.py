"""A feed: one interest, the chain of its events, and the cursors that follow it live (protocol 5).

Rules:
1. A cursor is live (it gets what the feed sends, as the same text as all the others), or behind (it is refilled from
   a snapshot or the log), or lost (the machine is to begin it again), or its session has no connection. Nothing else.
2. A line is encoded once, and only if somebody is live.
3. `last` is the revision that the next line names as the one before it: here that of the feed's newest event.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable

from waggle_hub.state.interests import Interest
from waggle_hub.state.log import Event
from waggle_hub.state.store.snapshot import Snapshot

from .connection import Connection
from .encoding import Bodies, EncodedEvent, chain, mark_line
from .frame import Payload


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
        """The revision of the line it was told last, or where it began: the chain of a refill."""
        self.snapshot = snapshot
        self.losses = 0
        """How often in a row the log did not reach back to it."""
        self.connection: Connection | None = None

    def suppresses(self, event: Event) -> bool:
        """Whether this is left out by `echo: false`."""
        return not self.echo and event.origin == self.session

    def drop_snapshot(self) -> None:
        """Its snapshot will not be read any further."""
        if self.snapshot is not None:
            self.snapshot.close()
            self.snapshot = None


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
        self.pending: list[EncodedEvent] = []
        """Lines that wait for the end of the turn."""

    @property
    def holds_back(self) -> bool:
        """Whether those who are live have not been told everything that was released."""
        return False

    def join(self, cursor: Cursor) -> None:
        """From here on this cursor is live; it has been told everything up to its `rev`."""
        self.live[cursor] = None

    def leave(self, cursor: Cursor, rev: int) -> None:
        """This cursor is live no longer, if it was: set how far it has been told of what was released, up to `rev`."""
        if cursor in self.live:
            del self.live[cursor]
            cursor.rev, cursor.after = rev, self.last

    def add(self, events: list[Event], bodies: Bodies) -> bool:
        """What happened at one revision, in order. Whether it is to be handed out at the end of the turn."""
        if self.live:
            self.pending += chain(self.interest, events, self.last, bodies)
        self.last = events[-1].rev
        return bool(self.pending)

    def flush(self, rev: int, frame: int) -> None:
        """Give everybody who is live the lines that wait, in texts of about `frame` bytes; `rev` has been released."""
        lines, self.pending = self.pending, []
        self._deliver(lines, frame, lambda first, session: _marked(self.sub, lines[first:], session))

    def _deliver(self, lines: list[EncodedEvent], frame: int, without_own: Callable[[int, str], list[bytes]]) -> None:
        """Give each cursor the lines above the revision where it became live; `without_own` gives those of a session
        that wants no echo, from a number of line on."""
        origins = {line.origin for line in lines}
        shared: dict[int, list[Payload]] = {}
        for cursor in self.live:
            assert cursor.connection is not None
            first = _first_after(lines, cursor.rev)
            if not cursor.echo and cursor.session in origins:
                texts = pack_lines(without_own(first, cursor.session), frame)
            elif first in shared:
                texts = shared[first]
            else:
                texts = shared[first] = pack_lines([line.text for line in lines[first:]], frame)
            for text in texts:
                cursor.connection.queue_events(text)


def _first_after(lines: list[EncodedEvent], rev: int) -> int:
    """The number of the first line above this revision."""
    return 0 if rev < lines[0].rev else bisect_right(lines, rev, key=lambda line: line.rev)


def _marked(sub: int, lines: list[EncodedEvent], session: str) -> list[bytes]:
    """The lines with a mark in place of each revision that the session itself made."""
    texts = []
    marked = 0
    for line in lines:
        if line.origin != session:
            texts.append(line.text)
        elif line.rev != marked:
            texts.append(mark_line(line.rev, sub))
            marked = line.rev
    return texts


def pack_lines(lines: list[bytes], frame: int) -> list[Payload]:
    """The lines as few texts, cut between lines near `frame` bytes."""
    texts = []
    group: list[bytes] = []
    size = 0
    for line in lines:
        if group and size + len(line) > frame:
            texts.append(Payload(b"\n".join(group)))
            group, size = [], 0
        group.append(line)
        size += len(line) + 1
    if group:
        texts.append(Payload(b"\n".join(group)))
    return texts
