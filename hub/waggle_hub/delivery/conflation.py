"""Conflation: of an interest with `conflate: s`, one delivery each s seconds, of what is still news (protocol 5).

Rules:
1. A conflated feed collects what happens while somebody is live: of each key its latest write, and its latest touch if
   that came after it; of all else everything. A write is a set, or what ends an entry. (A touch does not stand in for
   the write before it: it has no value.)
2. The delivery is due s seconds after the first event that it collects, so two are never closer than that. It goes out
   early, at the end of the turn, when more than `bounds.conflated` bytes have been collected: that bounds the memory.
3. A delivery is in order of revisions and ends with a mark, its only one, at the newest revision released. Its lines
   are chained to each other, the first to the mark before: `last` is the revision of that mark, or where the first to
   be live began. What `echo: false` leaves out is left out of the chain too.
4. Who became live since the last delivery gets the part of this one that came after: what is the latest of all is the
   latest after any revision below it.
5. Who is live no longer goes on from the log, or from where its agent says; when nobody is live, nothing is collected.
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


class LatestByKey:
    """Events in order of revisions, without those that later ones have made old news (rule 1)."""

    def __init__(self) -> None:
        self._events: dict[object, Event] = {}
        self.size = 0
        """Bytes that they may keep in memory."""

    def __len__(self) -> int:
        return len(self._events)

    def __iter__(self) -> Iterator[Event]:
        return iter(self._events.values())

    def add(self, event: Event) -> None:
        """What happened next."""
        write: object = (event.ns, event.key)
        touch: object = (event.ns, event.key, "touch")
        if event.type == "touch":
            self._put(touch, event)
        elif event.type in m.ENTRY_TYPES:
            self._drop(touch)
            self._put(write, event)
        else:
            self._put(id(event), event)

    def _put(self, name: object, event: Event) -> None:
        self._drop(name)
        self._events[name] = event
        self.size += event.size

    def _drop(self, name: object) -> None:
        event = self._events.pop(name, None)
        if event is not None:
            self.size -= event.size


class ConflationScheduler:
    """The feeds that have collected something, in the order in which their deliveries are due; one timer for all."""

    def __init__(
        self,
        deliver: Callable[[ConflatedFeed], None],
        delivered: Callable[[], None],
        bounds: Bounds,
        clock: Callable[[], float],
        timer: Callable[[], float],
    ) -> None:
        self.bounds = bounds
        self.call_later: Callable[[float, Callable[[], None]], TimerHandle] | None = None
        """Calls a function after so many seconds. Without it somebody calls `step`."""
        self._deliver = deliver
        self._delivered = delivered
        self._clock = clock
        self._timer = timer
        self._feeds: Deadlines[ConflatedFeed] = Deadlines(attrgetter("due", "sub"))
        self._alarm: TimerHandle | None = None
        self._alarm_at = 0.0

    def __iter__(self) -> Iterator[ConflatedFeed]:
        return iter(self._feeds)

    def begin(self, feed: ConflatedFeed, seconds: float) -> None:
        """A feed has begun to collect: its delivery is due after so many seconds."""
        feed.due = deadline_after(self._clock(), seconds)
        self._feeds.add(feed)
        self._arm()

    def end(self, feed: ConflatedFeed) -> None:
        """A feed has nothing to deliver any more."""
        self._feeds.remove(feed)

    def next(self) -> float | None:
        """The instant at which the first delivery is due."""
        feed = self._feeds.head()
        return None if feed is None else feed.due

    def step(self, now: float) -> None:
        """Make the deliveries that are due, as many as one turn of the loop has time for."""
        until = self._timer() + self.bounds.slice
        try:
            while (feed := self._feeds.head()) is not None and feed.due <= now:
                self._deliver(feed)
                if self._timer() >= until:
                    break
        finally:  # a fault in one delivery does not stop the others
            self._delivered()
            self._arm()

    def _arm(self) -> None:
        """Let the timer stand no later than the first delivery."""
        due = self.next()
        if self.call_later is None or due is None or (self._alarm is not None and self._alarm_at <= due):
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = due
        self._alarm = self.call_later(max(0.0, due - self._clock()), self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self.step(self._clock())


class ConflatedFeed(Feed):
    """A feed that collects, and hands out when its delivery is due."""

    __slots__ = ("_collected", "_deliveries", "_first", "due")

    def __init__(self, interest: Interest, last: int, deliveries: ConflationScheduler) -> None:
        super().__init__(interest, last)
        self.due = 0.0
        """The instant of the next delivery. Only while something is collected."""
        self._deliveries = deliveries
        self._collected = LatestByKey()
        self._first = 0
        """The revision of the first event since the last delivery, also when it is old news by now."""

    @property
    def holds_back(self) -> bool:
        return len(self._collected) > 0

    def join(self, cursor: Cursor) -> None:
        if not self.live:
            self.last = cursor.rev
        super().join(cursor)

    def leave(self, cursor: Cursor, rev: int) -> None:
        if cursor not in self.live:
            return
        told = self._first - 1 if self.holds_back else rev
        cursor.after = max(cursor.rev, self.last)
        cursor.rev = max(cursor.rev, told)
        del self.live[cursor]
        if not self.live:
            self._take()

    def add(self, events: list[Event], bodies: Bodies) -> bool:
        if not self.live:
            return False
        if not self.holds_back:
            assert self.interest.scope.conflate is not None
            self._first = events[0].rev
            self._deliveries.begin(self, self.interest.scope.conflate)
        for event in events:
            self._collected.add(event)
        return self._collected.size > self._deliveries.bounds.conflated

    def flush(self, rev: int, frame: int) -> None:
        interest, after, events = self.interest, self.last, list(self._take())
        bodies: Bodies = {}
        mark = EncodedEvent(None, rev, mark_line(rev, self.sub))

        def without_own(first: int, session: str) -> list[bytes]:
            others = [event for event in events[first:] if event.origin != session]
            return [line.text for line in (*chain(interest, others, after, bodies), mark)]

        self.last = rev
        self._deliver([*chain(interest, events, after, bodies), mark], frame, without_own)

    def _take(self) -> LatestByKey:
        """What has been collected; from here on it is as if nothing had been."""
        collected = self._collected
        if self.holds_back:
            self._deliveries.end(self)
            self._collected = LatestByKey()
        return collected
