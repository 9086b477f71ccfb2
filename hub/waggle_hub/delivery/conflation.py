"""Conflation: for an interest with `conflate: s`, one delivery each s seconds, without outdated events (protocol 5).

Rules:
1. A conflated feed collects events while a cursor is live: for each key its latest write, and its latest touch if that
   came later; all events that are not about entries. A write is a set, or the end of an entry. (A touch does not stand
   for the write before it: it has no value.)
2. The delivery is due s seconds after the first event that it collects, so two deliveries are at least s seconds
   apart. It leaves early, at the end of the turn, when more than `bounds.conflated` bytes have been collected: this
   bounds the memory.
3. A delivery is in order of revisions and ends with one mark at the newest revision released. Its lines are chained to
   each other, the first one to the mark before: `last` is the revision of that mark, or the place at which the first
   cursor became live. Events that `echo: false` leaves out are not part of the chain.
4. A cursor that became live since the last delivery gets the part of this one that came after its place: the latest
   event of all is also the latest after any earlier revision.
5. A cursor that is no longer live goes on from the log, or from the place that its agent names. While no cursor is
   live, nothing is collected.
"""

from __future__ import annotations

from asyncio import TimerHandle
from collections.abc import Callable, Iterator
from operator import attrgetter

from waggle.wire import messages as m
from waggle_hub.settings import Bounds
from waggle_hub.state.interests import Interest
from waggle_hub.state.log import Event
from waggle_hub.state.store.expiry import Deadlines, deadline_after

from .encoding import Bodies, EncodedEvent, chain, mark_line
from .feed import Cursor, Feed

CallLater = Callable[[float, Callable[[], None]], TimerHandle]
"""Calls a function after so many seconds."""


class LatestByKey:
    """Events in order of revisions, without those that later ones have outdated (rule 1)."""

    def __init__(self) -> None:
        self._events: dict[object, Event] = {}
        self.size = 0
        """Bytes of memory that the events may hold."""

    def __len__(self) -> int:
        return len(self._events)

    def __iter__(self) -> Iterator[Event]:
        return iter(self._events.values())

    def add(self, event: Event) -> None:
        """Collect the next event, and drop those that it outdates."""
        # Names of the places that an event takes: the next event for the same place outdates it.
        write: object = (event.ns, event.key)
        touch: object = (event.ns, event.key, "touch")
        if event.type == "touch":
            self._put(touch, event)
        elif event.type in m.ENTRY_TYPES:
            # An earlier touch is outdated too: the write carries the new deadline.
            self._drop(touch)
            self._put(write, event)
        else:  # messages, locks, presence: each counts
            self._put(id(event), event)

    def _put(self, name: object, event: Event) -> None:
        self._drop(name)  # so that the event goes to the end: the order is that of revisions
        self._events[name] = event
        self.size += event.size

    def _drop(self, name: object) -> None:
        event = self._events.pop(name, None)
        if event is not None:
            self.size -= event.size


class ConflationScheduler:
    """The feeds that have collected events, by the time at which their delivery is due, and one timer for all.

    `deliver` flushes a feed; `on_delivered` is called after each step. Without `call_later` the owner calls `step`.
    """

    def __init__(
        self,
        deliver: Callable[[ConflatedFeed], None],
        on_delivered: Callable[[], None],
        bounds: Bounds,
        clock: Callable[[], float],
        timer: Callable[[], float],
        call_later: CallLater | None = None,
    ) -> None:
        self.bounds = bounds
        self._deliver = deliver
        self._on_delivered = on_delivered
        self._call_later = call_later
        self._clock = clock
        self._timer = timer
        self._feeds: Deadlines[ConflatedFeed] = Deadlines(attrgetter("due", "sub"))
        self._handle: TimerHandle | None = None
        self._fires_at = 0.0

    def __iter__(self) -> Iterator[ConflatedFeed]:
        return iter(self._feeds)

    def begin(self, feed: ConflatedFeed, seconds: float) -> None:
        """Add a feed that has begun to collect: its delivery is due after so many seconds."""
        # From the first event and not from the last delivery: a rare event waits, so that those after it can join.
        feed.due = deadline_after(self._clock(), seconds)
        self._feeds.add(feed)
        self._schedule()

    def end(self, feed: ConflatedFeed) -> None:
        """Remove a feed that has nothing to deliver."""
        self._feeds.remove(feed)

    def next(self) -> float | None:
        """Return the unix time at which the first delivery is due, None if there is none."""
        feed = self._feeds.head()
        return None if feed is None else feed.due

    def step(self, now: float) -> None:
        """Make the deliveries that are due, as many as one turn of the loop has time for."""
        until = self._timer() + self.bounds.slice
        try:
            # A feed that is delivered removes itself from the head.
            while (feed := self._feeds.head()) is not None and feed.due <= now:
                self._deliver(feed)
                if self._timer() >= until:
                    break
        finally:  # a fault in one delivery does not stop the others
            self._on_delivered()
            self._schedule()

    def _schedule(self) -> None:
        """Set the timer to the first delivery. A timer that fires earlier is kept: it will set the next one."""
        due = self.next()
        if self._call_later is None or due is None or (self._handle is not None and self._fires_at <= due):
            return
        if self._handle is not None:
            self._handle.cancel()
        self._fires_at = due
        self._handle = self._call_later(max(0.0, due - self._clock()), self._fire)

    def _fire(self) -> None:
        self._handle = None
        self.step(self._clock())


class ConflatedFeed(Feed):
    """A feed that collects events, and is flushed when its delivery is due."""

    __slots__ = ("_collected", "_deliveries", "_first", "due")

    def __init__(self, interest: Interest, last: int, deliveries: ConflationScheduler) -> None:
        super().__init__(interest, last)
        self.due = 0.0
        """Unix time of the next delivery. Valid only while something is collected."""
        self._deliveries = deliveries
        self._collected = LatestByKey()
        self._first = 0
        """The revision of the first event since the last delivery, also if it is outdated by now."""

    @property
    def holds_back(self) -> bool:
        return len(self._collected) > 0

    def join(self, cursor: Cursor) -> None:
        # While no cursor was live there was no mark, so the chain begins where the first one stands.
        if not self.live:
            self.last = cursor.rev
        super().join(cursor)

    def leave(self, cursor: Cursor, rev: int) -> None:
        if cursor not in self.live:
            return
        # What is collected was not delivered: the cursor has everything up to the event before the first of it.
        delivered = self._first - 1 if self.holds_back else rev
        cursor.after = max(cursor.rev, self.last)
        cursor.rev = max(cursor.rev, delivered)
        del self.live[cursor]
        if not self.live:
            self._take()

    def add(self, events: list[Event], bodies: Bodies) -> bool:
        if not self.live:
            return False
        # The first event since the last delivery starts the clock of the next one.
        if not self.holds_back:
            assert self.interest.scope.conflate is not None
            self._first = events[0].rev
            self._deliveries.begin(self, self.interest.scope.conflate)
        for event in events:
            self._collected.add(event)
        return self._collected.size > self._deliveries.bounds.conflated

    def flush(self, rev: int, frame: int) -> None:
        interest, after, events = self.interest, self.last, list(self._take())
        # Shared by all that is encoded for this delivery, also the versions without own events.
        bodies: Bodies = {}
        mark = EncodedEvent(None, rev, mark_line(rev, self.sub))

        def without_own(first: int, session: str) -> list[bytes]:
            # Chained anew: the lines of a session without echo name only the lines that it gets.
            others = [event for event in events[first:] if event.origin != session]
            return [line.text for line in (*chain(interest, others, after, bodies), mark)]

        # The mark at the end is what the next delivery is chained to.
        self.last = rev
        self._deliver([*chain(interest, events, after, bodies), mark], frame, without_own)

    def _take(self) -> LatestByKey:
        """Remove and return the collected events, and cancel their delivery."""
        collected = self._collected
        if self.holds_back:
            self._deliveries.end(self)
            # A new one: the old one is still being read by the caller.
            self._collected = LatestByKey()
        return collected
