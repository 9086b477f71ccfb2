"""Fan-out: pass what the engine releases to the connections that follow it, in the order of the engine.

Rules:
1. Within a release, the lines of a feed are collected and leave as one payload; replies follow them (G11). An item that
   changes which cursors listen (open, close, bind, end) first flushes what is collected.
2. `rev` is the newest revision released. No line tells of a later one, however far the machine is ahead.
3. A connection with more than `bounds.unsent` bytes of events waiting has its cursors moved to catch-up. It delays no
   other connection.
4. Catch-up (`CatchupQueue`) and conflated deliveries (`ConflationScheduler`) take a small part of each turn of the loop
   and go on in the next. Without a loop the owner calls `catch_up` and `conflate`.
5. Each method that queues lines ends with `write`, so all lines that one cause gave a connection leave together.
6. No gap is silent. If lines cannot be made, the connections that should have got them are closed, and no others. Their
   agents connect again and go on from the log, from where they were.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Protocol

from msgspec import Struct

from waggle_hub.faults import report_fault
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
    """An encoded reply, and the connection whose command it answers."""

    connection: Connection
    id: int | str | None
    text: Payload


class Notice(Struct, frozen=True, eq=False):
    """A line for one connection that answers no command. It keeps its place among the replies."""

    connection: Connection
    text: Payload


class CommandPending(Struct, frozen=True, eq=False):
    """A command that waits from now on, in the machine or for a background task. No line tells of it yet."""

    connection: Connection
    session: str
    id: int | str
    task: asyncio.Task[None] | None = None


class SessionBound(Struct, frozen=True, eq=False):
    """The connection becomes that of the session."""

    connection: Connection
    session: str


Released = Commit | PendingReply | Notice | CommandPending | SessionBound | OpenCursor | CloseCursor | SessionEnded


class FanoutListener(Protocol):
    """The owner of the machine, which learns from fan-out what only delivery can know."""

    def on_log_truncated(self, session: str, sub: int) -> None:
        """Begin a cursor again: the window of the log no longer reaches back to it."""

    def on_synced(self, session: str, sub: int, rev: int) -> None:
        """Note that the end of the snapshot at `rev` has been queued for this cursor."""


class Loop(Protocol):
    """The part of an asyncio loop that fan-out uses."""

    def call_soon(self, callback: Callable[[], None], /) -> object:
        """Call a function in the next turn."""

    def call_later(self, delay: float, callback: Callable[[], None], /) -> asyncio.TimerHandle:
        """Call a function after so many seconds."""


class Fanout:
    """All connections, and the cursors of all sessions.

    `clock` gives unix seconds, `timer` seconds that measure how long a step took. Without a `loop`, the owner calls
    `catch_up` and `conflate`.
    """

    def __init__(
        self,
        bounds: Bounds,
        log: Log,
        clock: Callable[[], float],
        listener: FanoutListener,
        timer: Callable[[], float] = time.monotonic,
        loop: Loop | None = None,
    ) -> None:
        self.bounds = bounds
        self.rev = log.rev
        self.connections: dict[str, Connection] = {}
        """The connection of each session that has one."""
        self._log = log
        self._clock = clock
        self._listener = listener
        self._index = InterestIndex()
        """The interests of the feeds. The index of the machine would be ahead: it already lacks an interest whose last
        session leaves later in the same batch."""
        # Without a loop both wait for their owner: tests decide when a turn passes.
        self._catchup = CatchupQueue(self._catch_up, bounds.slice, timer, None if loop is None else loop.call_soon)
        self._conflated = ConflationScheduler(
            self._deliver_conflated, self.write, bounds, clock, timer, None if loop is None else loop.call_later
        )
        self._cursors: dict[str, dict[int, Cursor]] = {}
        """By session and subscription."""
        self._feeds: dict[int, Feed] = {}
        """By subscription: equal interests share one number."""
        self._dirty: dict[Feed, None] = {}
        """Feeds with collected lines."""
        self._replies: list[PendingReply | Notice] = []
        self._woken: dict[Connection, None] = {}
        """Connections with a socket that have something to do."""
        self._sends_of_closed = 0

    def release(self, items: Iterable[Released]) -> None:
        """Let these items be seen, in order."""
        for item in items:
            match item:
                case Commit():
                    self._add_commit(item)
                case PendingReply() | Notice():
                    self._replies.append(item)
                # Nothing is to be seen of it. The engine keeps it for a rollback.
                case CommandPending():
                    pass
                # What was collected belongs to the connections as they were: flushed before the change.
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

    def roll_back(self, unreleased: Iterable[OpenCursor]) -> None:
        """Follow a log whose newest commits were taken back; `unreleased` will never be released."""
        for order in unreleased:
            if order.snapshot is not None:
                order.snapshot.close()
        self.rev = self._log.rev
        # The orders to begin lost cursors again were among what was taken back: ask for them once more.
        for connection in self.connections.values():
            for cursor in list(connection.lost):
                self._listener.on_log_truncated(cursor.session, cursor.feed.sub)

    def leave(self, connection: Connection) -> None:
        """Remove a connection whose socket has closed. The cursors of its session stay, without a connection."""
        connection.closed = True
        connection.behind.clear()
        connection.lost.clear()
        session = connection.session
        if session is None or self.connections.get(session) is not connection:
            return
        del self.connections[session]
        self._sends_of_closed += connection.sends
        for cursor in self._cursors.get(session, {}).values():
            # The cursor remembers its place, and the session may come back to it within its grace.
            cursor.feed.leave(cursor, self.rev)
            cursor.connection = None
            cursor.drop_snapshot()

    def wake(self, connection: Connection) -> None:
        """Flush this connection, which has a socket, at the next `write`."""
        self._woken[connection] = None

    def write(self) -> None:
        """Flush every connection that has been woken, and queue those that are ready for a slice of catch-up."""
        # A new dict first: flushing may wake connections, which then wait for the next `write`.
        woken, self._woken = self._woken, {}
        for connection in woken:
            connection.flush()
            if connection.ready:
                self._catchup.add(connection)

    def ready(self, connection: Connection) -> None:
        """Queue a connection for the next slice of its catch-up."""
        self._catchup.add(connection)

    def catch_up(self) -> None:
        """Send as many slices of catch-up as one turn of the loop has time for."""
        self._catchup.step()

    def next_delivery_at(self) -> float | None:
        """Return the unix time at which `conflate` has something to do."""
        return self._conflated.next()

    def conflate(self, now: float) -> None:
        """Make the conflated deliveries that are due, as many as one turn of the loop has time for."""
        self._conflated.step(now)

    def sends(self) -> int:
        """Return the number of frames sent by all connections that ever had a session."""
        return self._sends_of_closed + sum(connection.sends for connection in self.connections.values())

    def mark_idle(self) -> None:
        """Send a mark to every idle connection that has subscriptions, also to those that get replies only."""
        line = Payload(mark_line(self.rev))
        # A conflated feed holds events back, so its connections are not up to date as a whole.
        partly = {cursor.connection for feed in self._conflated for cursor in feed.live}
        for session, connection in self.connections.items():
            cursors = self._cursors.get(session)
            # A connection that is sent lines learns the revision from them.
            if cursors and connection.idle:
                for text in self._marks(cursors) if connection in partly else (line,):
                    connection.queue_events(text)
        self.write()

    def _marks(self, cursors: dict[int, Cursor]) -> list[Payload]:
        """Return a mark for each subscription that is up to date: one for all would also speak for the conflated."""
        current = [sub for sub, cursor in cursors.items() if not cursor.feed.holds_back]
        return pack_lines([mark_line(self.rev, sub) for sub in current], self.bounds.frame)

    # --- within a release ---

    def _add_commit(self, commit: Commit) -> None:
        self.rev = commit.rev
        # By feed, so that a command with many events calls each feed once.
        hits: dict[Feed, list[Event]] = {}
        for event in commit.events:
            for interest in self._index.find(event.ns, event.key, event.type):
                hits.setdefault(self._feeds[interest.sub], []).append(event)
        bodies: Bodies = {}  # shared by the feeds: an event is encoded once for all that want the same of it
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
        # A reply stands after the events of its command (G11).
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
        # Not before all feeds are flushed: a cursor that is moved starts at `rev`.
        for connection in slow:
            self._move_to_catchup(connection)

    def _deliver_conflated(self, feed: ConflatedFeed) -> None:
        self._flush_feeds([feed])

    def _disconnect_readers(self, feed: Feed) -> None:
        """Close the connections of all live cursors of a feed whose lines could not be made (rule 6)."""
        self._disconnect([cursor.connection for cursor in feed.live if cursor.connection is not None], feed)
        self._dirty.pop(feed, None)
        feed.pending.clear()

    def _disconnect(self, connections: list[Connection], feed: Feed) -> None:
        fault = report_fault(f"the lines of subscription {feed.sub}")
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
            # `leave` first: from here on its cursors belong to no connection, and nothing more is queued for it.
            self.leave(older)
            older.close(4002, "the session was taken over by a newer connection")
        if not connection.closed:  # it may have closed while the journal was writing
            self.connections[session] = connection

    def _open_cursor(self, order: OpenCursor) -> None:
        cursors = self._cursors.setdefault(order.session, {})
        sub = order.interest.sub
        older = cursors.get(sub)
        if older is not None:
            # The same subscription begins again: after a loss, or because its session has come back.
            self._close_cursor(order.session, sub, keep=True)
        feed = self._feeds.get(sub) or self._create_feed(order.interest)
        cursor = cursors[sub] = Cursor(order.session, feed, order.echo, order.rev, order.snapshot)
        feed.cursors += 1
        connection = cursor.connection = self.connections.get(order.session)
        if order.lost is not None and older is not None:
            # The count of losses in a row goes on, or a reader that is too slow would never be closed.
            cursor.losses = older.losses
        if connection is None:
            # The agent is away. When it comes back, its hello orders this cursor once more.
            cursor.drop_snapshot()
            return
        if order.lost is not None:
            connection.queue_events(Payload(lost_line(sub, order.lost)))
        # Nothing can have been missed: the cursor is live at once, and costs no catch-up.
        if order.snapshot is None and not order.replay:
            assert order.rev == self.rev
            feed.join(cursor)
        else:
            connection.start_catchup(cursor)

    def _create_feed(self, interest: Interest) -> Feed:
        conflated = interest.scope.conflate is not None
        feed = ConflatedFeed(interest, self.rev, self._conflated) if conflated else Feed(interest, self.rev)
        self._feeds[interest.sub] = feed
        self._index.add(interest)
        return feed

    def _close_cursor(self, session: str, sub: int, keep: bool = False) -> None:
        """Remove a cursor, and its feed with the last one. With `keep` the feed stays for the next cursor."""
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
            self._sends_of_closed += connection.sends
            connection.close(1000, "bye", flush=True)

    # --- catch-up ---

    def _catch_up(self, connection: Connection) -> None:
        """Send the next slice to the cursor of this connection that has been behind for longest."""
        # One cursor at a time until it is live: several that take turns would all be late.
        cursor = next(iter(connection.behind))
        try:
            self._send_slice(connection, cursor)
        except Exception:
            self._disconnect([connection], cursor.feed)
        self.write()

    def _send_slice(self, connection: Connection, cursor: Cursor) -> None:
        feed, bounds = cursor.feed, self.bounds
        if cursor.snapshot is not None and not cursor.snapshot.overrun:
            lines = snapshot_slice(cursor, self._clock(), max_keys=bounds.catchup_keys, max_bytes=bounds.frame)
            if cursor.snapshot is None:  # that was its end
                self._listener.on_synced(cursor.session, feed.sub, cursor.rev)
        elif cursor.snapshot is not None or cursor.rev < self._log.floor:
            self._restart_cursor(connection, cursor)
            return
        else:
            lines = log_slice(cursor, self._log, self.rev, max_events=bounds.catchup_events, max_bytes=bounds.frame)
            # No `await` since `rev` was read: the cursor joins exactly where the log ends.
            if cursor.rev == self.rev:
                del connection.behind[cursor]
                cursor.losses = 0
                feed.join(cursor)
        for text in pack_lines(lines, bounds.frame):
            connection.queue_events(text)

    def _restart_cursor(self, connection: Connection, cursor: Cursor) -> None:
        """Ask for a fresh snapshot: the log, or the memory for the snapshot, no longer reaches back to this cursor."""
        del connection.behind[cursor]
        connection.lost[cursor] = None
        cursor.losses += 1
        # A reader that falls out of the window again and again would only ever read snapshots.
        if cursor.losses > self.bounds.losses:
            connection.close(4001, "too slow: connect again and resume, with narrower patterns or faster reading")
        else:
            self._listener.on_log_truncated(cursor.session, cursor.feed.sub)
