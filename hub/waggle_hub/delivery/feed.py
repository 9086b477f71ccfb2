"""A feed: one interest, the chain of its events, and the cursors that follow it live (protocol 5).

Rules:
1. A cursor is in one of four states: live (it gets the lines of the feed, the same payload as all the others), behind
   (it catches up from a snapshot or the log), lost (the machine is to begin it again), or without a connection.
2. A line is encoded once, and only if a cursor is live.
3. The lines of a feed form a chain: each names the revision of the one before it as `after`, so a client sees a gap.
   `last` is the revision that the next line will name: here that of the newest event of the feed.
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
    """The place of one session in the chain of one interest."""

    __slots__ = ("after", "connection", "echo", "feed", "losses", "rev", "session", "snapshot")

    def __init__(self, session: str, feed: Feed, echo: bool, rev: int, snapshot: Snapshot | None) -> None:
        self.session = session
        self.feed = feed
        self.echo = echo
        self.rev = rev
        """Everything up to this revision has been queued. Not kept up to date while the cursor is live."""
        self.after = rev
        """The revision of the newest line queued, or of the start: the chain goes on from here during catch-up."""
        self.snapshot = snapshot
        self.losses = 0
        """How often in a row the log did not reach back to this cursor."""
        self.connection: Connection | None = None

    def suppresses(self, event: Event) -> bool:
        """Return whether `echo: false` leaves out this event, which the session itself has caused."""
        # The origin is a session and not an agent: two sessions of one agent hear each other.
        return not self.echo and event.origin == self.session

    def drop_snapshot(self) -> None:
        """Close the snapshot, which will not be read any further."""
        if self.snapshot is not None:
            self.snapshot.close()
            self.snapshot = None


class Feed:
    """One interest with its live cursors, and the lines collected in this turn."""

    __slots__ = ("cursors", "interest", "last", "live", "pending", "sub")

    def __init__(self, interest: Interest, last: int) -> None:
        self.interest = interest
        self.sub = interest.sub
        self.last = last
        self.cursors = 0
        """Number of sessions that have a cursor here, live or not."""
        self.live: dict[Cursor, None] = {}
        self.pending: list[EncodedEvent] = []
        """Lines collected until the end of the turn."""

    @property
    def holds_back(self) -> bool:
        """Whether the live cursors lack events that were released."""
        return False

    def join(self, cursor: Cursor) -> None:
        """Make a cursor live that has everything up to its `rev`."""
        self.live[cursor] = None

    def leave(self, cursor: Cursor, rev: int) -> None:
        """End a live cursor, and set its place: it has all that was released up to `rev`. Ignore other cursors."""
        if cursor in self.live:
            # `rev` was not kept while the cursor was live, since every line would have to write it for every cursor.
            del self.live[cursor]
            cursor.rev, cursor.after = rev, self.last

    def add(self, events: list[Event], bodies: Bodies) -> bool:
        """Collect the events of one revision, in order. Return whether to flush the feed at the end of the turn."""
        if self.live:  # nothing is encoded for cursors that read the log
            self.pending += chain(self.interest, events, self.last, bodies)
        # Also while no cursor is live: one that joins later continues the chain here.
        self.last = events[-1].rev
        return bool(self.pending)

    def flush(self, rev: int, frame: int) -> None:
        """Queue the collected lines for every live cursor, in payloads of about `frame` bytes. `rev` is released."""
        lines, self.pending = self.pending, []
        self._deliver(lines, frame, lambda first, session: _marked(self.sub, lines[first:], session))

    def _deliver(self, lines: list[EncodedEvent], frame: int, without_own: Callable[[int, str], list[bytes]]) -> None:
        """Queue for each live cursor the lines after the revision at which it became live.

        `without_own(first, session)` gives the lines from number `first` on for a session that wants no echo.
        """
        # Most turns have no line of the session itself, so `without_own` is hardly ever called.
        origins = {line.origin for line in lines}
        shared: dict[int, list[Payload]] = {}  # by the number of the first line: most cursors share one list
        for cursor in self.live:
            assert cursor.connection is not None
            # A cursor that became live since the last conflated delivery has the earlier lines already.
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
    """Return the number of the first line after this revision."""
    return 0 if rev < lines[0].rev else bisect_right(lines, rev, key=lambda line: line.rev)


def _marked(sub: int, lines: list[EncodedEvent], session: str) -> list[bytes]:
    """Return the lines with a mark in place of each revision that the session itself has caused."""
    texts = []
    marked = 0
    for line in lines:
        if line.origin != session:
            texts.append(line.text)
        # One mark for each revision: several events of one command are left out together.
        elif line.rev != marked:
            texts.append(mark_line(line.rev, sub))
            marked = line.rev
    return texts


def pack_lines(lines: list[bytes], frame: int) -> list[Payload]:
    """Join lines into few payloads, cut between lines near `frame` bytes."""
    texts = []
    group: list[bytes] = []
    size = 0
    for line in lines:
        # A line longer than the bound becomes a payload of its own.
        if group and size + len(line) > frame:
            texts.append(Payload(b"\n".join(group)))
            group, size = [], 0
        group.append(line)
        size += len(line) + 1
    if group:
        texts.append(Payload(b"\n".join(group)))
    return texts
