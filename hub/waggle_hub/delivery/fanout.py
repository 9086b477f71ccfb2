"""Fan-out: what the engine releases goes to those it concerns, in the engine's order.

Rules:
1. Within a release, the lines of a feed wait and go out as one text; replies follow them (G11). Whatever changes who
   listens (attach, detach, bind, end) first hands out what waits.
2. `rev` is the newest revision released: nobody is told anything above it, however far the machine is ahead.
3. A connection with more than `bounds.unsent` bytes of events waiting has its cursors moved behind; it holds up nobody.
4. Refills (`CatchupQueue`) and what is due of conflated feeds (`ConflationScheduler`) take little of each turn of the
loop and go
   on in the next. Where there is no loop (`start`), somebody calls `refill` and `conflate`.
5. Whatever puts lines ends with `write`: all that a connection was told by it leaves together.
6. No gap is silent. If lines cannot be made, those who would have heard them are cut off, and nobody else: they come
   back and go on from the log, from where they say they were.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

from msgspec import Struct

from waggle.wire.errors import Internal, WaggleError
from waggle_hub.settings import Bounds
from waggle_hub.state.effects import CloseCursor, OpenCursor, SessionEnded
from waggle_hub.state.interests import Interest, InterestIndex
from waggle_hub.state.log import Commit, Event, Log

from .catchup import log_slice, snapshot_slice
from .catchup_queue import CatchupQueue
from .conflation import ConflatedFeed, ConflationScheduler
from .connection import Connection
from .encoding import Bodies, lost_line, mark_line
from .feed import Cursor, Feed, pack_lines
from .frame import Payload


class PendingReply(Struct, frozen=True, eq=False):
    """A reply, encoded, and the connection that is owed it."""

    connection: Connection
    id: int | str | None
    text: Payload


class Notice(Struct, frozen=True, eq=False):
    """A line that a connection is told unasked: it stands among the replies, and answers none."""

    connection: Connection
    text: Payload


class CommandPending(Struct, frozen=True, eq=False):
    """A command that waits from now on, for the machine or for an errand: nothing is told of it yet."""

    connection: Connection
    session: str
    id: int | str
    errand: asyncio.Task[None] | None = None


class SessionBound(Struct, frozen=True, eq=False):
    """This connection speaks for the session from now on."""

    connection: Connection
    session: str


Released = Commit | PendingReply | Notice | CommandPending | SessionBound | OpenCursor | CloseCursor | SessionEnded


class Fanout:
    """All connections, and the cursors of all sessions. `clock` tells the time, `timer` how long something took."""

    def __init__(
        self,
        bounds: Bounds,
        log: Log,
        clock: Callable[[], float],
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self.bounds = bounds
        self.rev = log.rev
        self.connections: dict[str, Connection] = {}
        """The connection of each session that has one."""
        self.on_loss: Callable[[str, int], None] = lambda session, sub: None
        """Called when a cursor has fallen out of the log: the machine is to begin it again."""
        self.on_synced: Callable[[str, int, int], None] = lambda session, sub, rev: None
        """Called when the end of a snapshot has been put into the outbox."""
        self.on_fault: Callable[[str], WaggleError] = _unknown
        """Called while a fault is handled, with where it was: makes it known, and gives what to tell of it."""
        self._index = InterestIndex()
        """The interests of the feeds. Not the machine's: that one knows already who leaves later in the same batch."""
        self._log = log
        self._clock = clock
        self._queue = CatchupQueue(self._catch_up, bounds.slice, timer)
        self._deliveries = ConflationScheduler(lambda feed: self._flush_feeds([feed]), self.write, bounds, clock, timer)
        self._cursors: dict[str, dict[int, Cursor]] = {}
        self._feeds: dict[int, Feed] = {}
        self._dirty: dict[Feed, None] = {}
        self._replies: list[PendingReply | Notice] = []
        self._woken: dict[Connection, None] = {}
        """Connections that take frames at once, and have something to do."""
        self._sends_of_gone = 0

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """From here on this loop calls `refill` and `conflate` when there is something to do."""
        self._queue.call_soon = loop.call_soon
        self._deliveries.call_later = loop.call_later

    def release(self, items: Iterable[Released]) -> None:
        """Let these go out, in order."""
        for item in items:
            match item:
                case Commit():
                    self._add_commit(item)
                case PendingReply() | Notice():
                    self._replies.append(item)
                case CommandPending():
                    pass
                case SessionBound():
                    self._flush()
                    self._bind(item.connection, item.session)
                case OpenCursor():
                    self._flush()
                    self._open_cursor(item)
                case CloseCursor():
                    self._flush()
                    self._close_cursor(item.session, item.sub)
                case SessionEnded():
                    self._flush()
                    self._end_session(item.session)
        self._flush()
        self.write()

    def go_back(self, attached: Iterable[OpenCursor]) -> None:
        """These orders were never released, and never will be; the log has gone on without what was taken back."""
        for order in attached:
            if order.snapshot is not None:
                order.snapshot.close()
        self.rev = self._log.rev
        for connection in self.connections.values():
            for cursor in list(connection.lost):
                self.on_loss(cursor.session, cursor.feed.sub)

    def leave(self, connection: Connection) -> None:
        """The connection is gone; its session's cursors stay, without one."""
        connection.closed = True
        connection.behind.clear()
        connection.lost.clear()
        session = connection.session
        if session is None or self.connections.get(session) is not connection:
            return
        del self.connections[session]
        self._sends_of_gone += connection.sends
        for cursor in self._cursors.get(session, {}).values():
            cursor.feed.leave(cursor, self.rev)
            cursor.connection = None
            cursor.drop_snapshot()

    def wake(self, connection: Connection) -> None:
        """This connection has something to do at the next `write`."""
        self._woken[connection] = None

    def write(self) -> None:
        """Let every connection that has been woken write what waits for it, and get on with its refill."""
        woken, self._woken = self._woken, {}
        for connection in woken:
            connection.flush()
            if connection.ready:
                self._queue.add(connection)

    def ready(self, connection: Connection) -> None:
        """This connection is ready for the next slice of its refill."""
        self._queue.add(connection)

    def refill(self) -> None:
        """Tell those who are ready as many slices as one turn of the loop has time for."""
        self._queue.step()

    def next_delivery_at(self) -> float | None:
        """The instant at which `conflate` has something to do."""
        return self._deliveries.next()

    def conflate(self, now: float) -> None:
        """Make the deliveries of conflated feeds that are due, as many as one turn of the loop has time for."""
        self._deliveries.step(now)

    def sends(self) -> int:
        """How many writes to sockets there were, of all connections that ever spoke for a session."""
        return self._sends_of_gone + sum(connection.sends for connection in self.connections.values())

    def mark_idle(self) -> None:
        """Tell connections for which nothing waits how far the log has come; those too that hear replies alone."""
        line = Payload(mark_line(self.rev))
        partly = {cursor.connection for feed in self._deliveries for cursor in feed.live}
        for session, connection in self.connections.items():
            cursors = self._cursors.get(session)
            if cursors and connection.idle:
                for text in self._marks(cursors) if connection in partly else (line,):
                    connection.queue_events(text)
        self.write()

    def _marks(self, cursors: dict[int, Cursor]) -> list[Payload]:
        """A mark for each subscription that has been told everything: one for all would speak for the others."""
        told = [sub for sub, cursor in cursors.items() if not cursor.feed.holds_back]
        return pack_lines([mark_line(self.rev, sub) for sub in told], self.bounds.frame)

    # --- within a release ---

    def _add_commit(self, commit: Commit) -> None:
        self.rev = commit.rev
        hits: dict[Feed, list[Event]] = {}
        for event in commit.events:
            for interest in self._index.find(event.ns, event.key, event.type):
                hits.setdefault(self._feeds[interest.sub], []).append(event)
        bodies: Bodies = {}
        for feed, events in hits.items():
            try:
                if feed.add(events, bodies):
                    self._dirty[feed] = None
            except Exception:
                self._disconnect_readers(feed)

    def _flush(self) -> None:
        if self._dirty:
            dirty, self._dirty = self._dirty, {}
            self._flush_feeds(dirty)
        if self._replies:
            replies, self._replies = self._replies, []
            for line in replies:
                line.connection.queue_reply(line.text)

    def _flush_feeds(self, feeds: Iterable[Feed]) -> None:
        slow: dict[Connection, None] = {}
        for feed in feeds:
            try:
                feed.flush(self.rev, self.bounds.frame)
            except Exception:
                self._disconnect_readers(feed)
            for cursor in feed.live:
                if cursor.connection is not None and cursor.connection.unsent_bytes > self.bounds.unsent:
                    slow[cursor.connection] = None
        for connection in slow:
            self._move_to_catchup(connection)

    def _disconnect_readers(self, feed: Feed) -> None:
        """Something of this feed could not be told: cut off all who would have heard it."""
        self._cut_off([cursor.connection for cursor in feed.live if cursor.connection is not None], feed)
        self._dirty.pop(feed, None)
        feed.pending.clear()

    def _cut_off(self, connections: list[Connection], feed: Feed) -> None:
        fault = self.on_fault(f"what is told of subscription {feed.sub}")
        for connection in connections:
            connection.close(4001, f"{fault.code}: connect again, and go on from where you were")

    def _move_to_catchup(self, connection: Connection) -> None:
        assert connection.session is not None
        for cursor in self._cursors.get(connection.session, {}).values():
            if cursor in cursor.feed.live:
                cursor.feed.leave(cursor, self.rev)
                connection.start_catchup(cursor)

    def _bind(self, connection: Connection, session: str) -> None:
        older = self.connections.get(session)
        if older is not None and older is not connection:
            self.leave(older)
            older.close(4002, "the session was taken over by a newer connection")
        if not connection.closed:
            self.connections[session] = connection

    def _open_cursor(self, order: OpenCursor) -> None:
        cursors = self._cursors.setdefault(order.session, {})
        sub = order.interest.sub
        older = cursors.get(sub)
        if older is not None:
            self._close_cursor(order.session, sub, keep=True)
        feed = self._feeds.get(sub) or self._create_feed(order.interest)
        cursor = cursors[sub] = Cursor(order.session, feed, order.echo, order.rev, order.snapshot)
        feed.cursors += 1
        connection = cursor.connection = self.connections.get(order.session)
        if order.lost is not None and older is not None:
            cursor.losses = older.losses
        if connection is None:
            cursor.drop_snapshot()
            return
        if order.lost is not None:
            connection.queue_events(Payload(lost_line(sub, order.lost)))
        if order.snapshot is None and not order.replay:
            assert order.rev == self.rev
            feed.join(cursor)
        else:
            connection.start_catchup(cursor)

    def _create_feed(self, interest: Interest) -> Feed:
        conflated = interest.scope.conflate is not None
        feed = ConflatedFeed(interest, self.rev, self._deliveries) if conflated else Feed(interest, self.rev)
        self._feeds[interest.sub] = feed
        self._index.add(interest)
        return feed

    def _close_cursor(self, session: str, sub: int, keep: bool = False) -> None:
        cursor = self._cursors.get(session, {}).pop(sub, None)
        if cursor is None:
            return
        feed = cursor.feed
        feed.leave(cursor, self.rev)
        cursor.drop_snapshot()
        if cursor.connection is not None:
            cursor.connection.behind.pop(cursor, None)
            cursor.connection.lost.pop(cursor, None)
        feed.cursors -= 1
        if not feed.cursors and not keep:
            del self._feeds[sub]
            self._index.remove(feed.interest)

    def _end_session(self, session: str) -> None:
        for sub in list(self._cursors.get(session, {})):
            self._close_cursor(session, sub)
        self._cursors.pop(session, None)
        connection = self.connections.pop(session, None)
        if connection is not None:
            self._sends_of_gone += connection.sends
            connection.close(1000, "bye", flush=True)

    # --- those who are behind ---

    def _catch_up(self, connection: Connection) -> None:
        """Tell the cursor of this connection that has been behind for longest the next slice of what it missed."""
        cursor = next(iter(connection.behind))
        try:
            self._send_slice(connection, cursor)
        except Exception:
            self._cut_off([connection], cursor.feed)
        self.write()

    def _send_slice(self, connection: Connection, cursor: Cursor) -> None:
        feed, bounds = cursor.feed, self.bounds
        if cursor.snapshot is not None and not cursor.snapshot.overrun:
            lines = snapshot_slice(cursor, self._clock(), max_keys=bounds.refill_keys, max_bytes=bounds.frame)
            if cursor.snapshot is None:
                self.on_synced(cursor.session, feed.sub, cursor.rev)
        elif cursor.snapshot is not None or cursor.rev < self._log.floor:
            self._restart_cursor(connection, cursor)
            return
        else:
            lines = log_slice(cursor, self._log, self.rev, max_events=bounds.refill_events, max_bytes=bounds.frame)
            if cursor.rev == self.rev:
                del connection.behind[cursor]
                cursor.losses = 0
                feed.join(cursor)
        for text in pack_lines(lines, bounds.frame):
            connection.queue_events(text)

    def _restart_cursor(self, connection: Connection, cursor: Cursor) -> None:
        """The log, or the memory for its snapshot, no longer reaches back to where this cursor stands."""
        del connection.behind[cursor]
        connection.lost[cursor] = None
        cursor.losses += 1
        if cursor.losses > self.bounds.losses:
            connection.close(4001, "too slow: connect again and resume, with narrower patterns or faster reading")
        else:
            self.on_loss(cursor.session, cursor.feed.sub)


def _unknown(where: str) -> WaggleError:
    return Internal(f"a fault in {where}")
