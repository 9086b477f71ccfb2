"""Fan-out: what the engine releases goes to those it concerns, in the engine's order.

Rules:
1. Within a release, the events of a feed collect and go out as one text; replies follow them (G11). Whatever changes
   who listens (attach, detach, bind, end) first sends what has collected.
2. `rev` is the newest revision released: nobody is told anything above it, however far the machine is ahead.
3. A connection with more than `bounds.unsent` bytes of events waiting has its cursors moved behind; it holds up nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import Struct

from ..settings import Bounds
from ..state.interests import InterestIndex
from ..state.log import Commit, Event, Log
from ..state.outputs import Attach, Detach, Ended
from .connection import Connection
from .encoding import lost_line, mark_line
from .feed import Bodies, Cursor, Feed, cut
from .refill import log_slice, snapshot_slice


class Line(Struct, frozen=True, eq=False):
    """A reply, encoded, and the connection that is owed it."""

    connection: Connection
    id: int | str | None
    text: str


class Bound(Struct, frozen=True, eq=False):
    """This connection speaks for the session from now on."""

    connection: Connection
    session: str


Released = Commit | Line | Bound | Attach | Detach | Ended


class Fanout:
    """All connections, and the cursors of all sessions."""

    def __init__(self, bounds: Bounds, log: Log, clock: Callable[[], float], scan: int) -> None:
        self.bounds = bounds
        self.rev = log.rev
        self.connections: dict[str, Connection] = {}
        """The connection of each session that has one."""
        self.on_loss: Callable[[str, int], None] = lambda session, sub: None
        """Called when a cursor has fallen out of the log: the machine is to begin it again."""
        self.on_synced: Callable[[str, int, int], None] = lambda session, sub, rev: None
        """Called when the end of a snapshot has been put into the outbox."""
        self._index = InterestIndex()
        """The interests of the feeds. Not the machine's: that one knows already who leaves later in the same batch."""
        self._log = log
        self._clock = clock
        self._scan = scan
        self._cursors: dict[str, dict[int, Cursor]] = {}
        self._feeds: dict[int, Feed] = {}
        self._dirty: dict[Feed, None] = {}
        self._replies: list[Line] = []
        self._sends_of_gone = 0

    def release(self, items: Iterable[Released]) -> None:
        """Let these go out, in order."""
        for item in items:
            match item:
                case Commit():
                    self._commit(item)
                case Line():
                    self._replies.append(item)
                case Bound():
                    self._flush()
                    self._bind(item.connection, item.session)
                case Attach():
                    self._flush()
                    self._attach(item)
                case Detach():
                    self._flush()
                    self._detach(item.session, item.sub)
                case Ended():
                    self._flush()
                    self._end(item.session)
        self._flush()

    def leave(self, connection: Connection) -> None:
        """The connection is gone; its session's cursors stay, without one."""
        connection.behind.clear()
        connection.lost.clear()
        session = connection.session
        if session is None or self.connections.get(session) is not connection:
            return
        del self.connections[session]
        self._sends_of_gone += connection.sends
        for cursor in self._cursors.get(session, {}).values():
            cursor.feed.live.pop(cursor, None)
            cursor.connection = None
            cursor.snapshot = None

    def refill(self, cursor: Cursor) -> None:
        """Tell a cursor that is behind the next slice of what it missed."""
        connection = cursor.connection
        if connection is None:
            return
        feed = cursor.feed
        if cursor.snapshot is not None and not cursor.snapshot.overrun:
            lines = snapshot_slice(cursor, self._clock(), max_keys=self._scan, max_bytes=self.bounds.frame)
            if cursor.snapshot is None:
                self.on_synced(cursor.session, feed.sub, cursor.rev)
        elif cursor.snapshot is not None or cursor.rev < self._log.floor:
            self._lose(connection, cursor)
            return
        else:
            bounds = self.bounds
            lines = log_slice(cursor, self._log, self.rev, max_events=bounds.refill_events, max_bytes=bounds.frame)
            if cursor.rev == self.rev:
                del connection.behind[cursor]
                cursor.losses = 0
                feed.live[cursor] = None
        for text in cut(lines, self.bounds.frame):
            connection.put_events(text)

    def sends(self) -> int:
        """How many writes to sockets there were, of all connections that ever spoke for a session."""
        return self._sends_of_gone + sum(connection.sends for connection in self.connections.values())

    def mark_idle(self) -> None:
        """Tell connections for which nothing waits how far the log has come; those too that hear replies alone."""
        line = mark_line(self.rev).decode()
        for session, connection in self.connections.items():
            if connection.idle and self._cursors.get(session):
                connection.put_events(line)

    # --- within a release ---

    def _commit(self, commit: Commit) -> None:
        self.rev = commit.rev
        hits: dict[Feed, list[Event]] = {}
        for event in commit.events:
            for interest in self._index.find(event.ns, event.key, event.type):
                hits.setdefault(self._feeds[interest.sub], []).append(event)
        bodies: Bodies = {}
        for feed, events in hits.items():
            feed.add(commit.rev, events, bodies)
            if feed.pending:
                self._dirty[feed] = None

    def _flush(self) -> None:
        if self._dirty:
            dirty, self._dirty = self._dirty, {}
            touched: dict[Connection, None] = {}
            for feed in dirty:
                feed.flush(self.bounds.frame)
                for cursor in feed.live:
                    if cursor.connection is not None and cursor.connection.unsent > self.bounds.unsent:
                        touched[cursor.connection] = None
            for connection in touched:
                self._move_behind(connection)
        if self._replies:
            replies, self._replies = self._replies, []
            for line in replies:
                line.connection.put_reply(line.text)

    def _move_behind(self, connection: Connection) -> None:
        assert connection.session is not None
        for cursor in self._cursors.get(connection.session, {}).values():
            if cursor in cursor.feed.live:
                del cursor.feed.live[cursor]
                cursor.rev, cursor.after = self.rev, cursor.feed.last
                connection.fall_behind(cursor)

    def _bind(self, connection: Connection, session: str) -> None:
        older = self.connections.get(session)
        if older is not None and older is not connection:
            self.leave(older)
            older.close(4002, "the session was taken over by a newer connection")
        self.connections[session] = connection

    def _attach(self, order: Attach) -> None:
        cursors = self._cursors.setdefault(order.session, {})
        sub = order.interest.sub
        older = cursors.get(sub)
        if older is not None:
            self._detach(order.session, sub, keep=True)
        feed = self._feeds.get(sub)
        if feed is None:
            feed = self._feeds[sub] = Feed(order.interest, self.rev)
            self._index.add(order.interest)
        cursor = cursors[sub] = Cursor(order.session, feed, order.echo, order.rev, order.snapshot)
        feed.cursors += 1
        connection = cursor.connection = self.connections.get(order.session)
        if order.lost is not None and older is not None:
            cursor.losses = older.losses
        if connection is None:
            return
        if order.lost is not None:
            connection.put_events(lost_line(sub, order.lost).decode())
        if order.snapshot is None and not order.replay:
            assert order.rev == self.rev
            feed.live[cursor] = None
        else:
            connection.fall_behind(cursor)

    def _detach(self, session: str, sub: int, keep: bool = False) -> None:
        cursor = self._cursors.get(session, {}).pop(sub, None)
        if cursor is None:
            return
        feed = cursor.feed
        feed.live.pop(cursor, None)
        if cursor.connection is not None:
            cursor.connection.behind.pop(cursor, None)
            cursor.connection.lost.pop(cursor, None)
        feed.cursors -= 1
        if not feed.cursors and not keep:
            del self._feeds[sub]
            self._index.remove(feed.interest)

    def _end(self, session: str) -> None:
        for sub in list(self._cursors.get(session, {})):
            self._detach(session, sub)
        self._cursors.pop(session, None)
        connection = self.connections.pop(session, None)
        if connection is not None:
            self._sends_of_gone += connection.sends
            connection.close(1000, "bye", flush=True)

    def _lose(self, connection: Connection, cursor: Cursor) -> None:
        """The log, or the memory for its snapshot, no longer reaches back to where this cursor stands."""
        del connection.behind[cursor]
        connection.lost[cursor] = None
        cursor.losses += 1
        if cursor.losses > self.bounds.losses:
            connection.close(4001, "too slow: connect again and resume, with narrower patterns or faster reading")
        else:
            self.on_loss(cursor.session, cursor.feed.sub)
