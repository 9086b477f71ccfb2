"""One subscription on the client's side: the chain of revisions, and the events that wait for the consumer
(protocol 5).

Rules:

1. **The cursor moves by whole revisions.** The events of one revision are held back until the last one is here, then
   passed on together. So a consumer never sees half a transaction, and continuing from the cursor repeats no event.
   A conflated subscription moves by whole deliveries: all events up to a ``mark`` are passed on together, since the
   hub left earlier events out, and only the end of a delivery is a state.
2. **A gap is detected.** If ``after`` of an event lies beyond the last revision received, the event is dropped, and
   the session subscribes again from the cursor (RESUBSCRIBE). An event that is not newer than the cursor is dropped.
3. **A snapshot has no cursor.** Until ``synced`` there is nothing to continue from. A snapshot that is interrupted
   starts again, and its consumer is told by ``lost`` to forget the part it has.
4. **The hub's log is the buffer.** A slow consumer gets at most `MAX_BUFFERED_BYTES` of waiting events. Beyond that
   the session unsubscribes (PAUSE), and subscribes again from the cursor when the consumer has read them. The socket
   is read all the time, so a reply never waits for a consumer, and a consumer may use the same connection. Only a
   snapshot is kept whole, whatever its size: it has no cursor to come back to.

Nothing here sends or receives: `waggle.core.session` decides when to subscribe, the drivers wake the consumer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from enum import Enum, auto
from typing import Protocol

from msgspec import UNSET

from waggle.wire.errors import Lost, WaggleError
from waggle.wire.limits import MAX_KEY_CHARS
from waggle.wire.messages import DEFAULT_TYPES, Event, EventType, Since, Subscribe, Subscribed

__all__ = ["MAX_BUFFERED_BYTES", "START", "Action", "Buffer", "EventSink", "Subscription"]

MAX_BUFFERED_BYTES = 8 * 2**20
"""Bytes of lines kept for one slow consumer: some 50,000 events of 160 bytes, 30 MB as Python objects."""
START = Since(epoch="", rev=0)
"""The resume point of a consumer that has none: the hub answers it with a fresh snapshot."""


class Action(Enum):
    """The step that the session must take after a line."""

    CONTINUE = auto()
    """Go on."""
    RESUBSCRIBE = auto()
    """Subscribe again from the cursor: events are missing."""
    PAUSE = auto()
    """Unsubscribe until the consumer has read the events that wait."""
    FAIL = auto()
    """Unsubscribe for good: events are lost, and the consumer takes no snapshot."""


class EventSink(Protocol):
    """A receiver of a subscription's events: a `Buffer`, or the `Replica` of a mirror."""

    @property
    def full(self) -> bool:
        """Return whether the sink can take no more events for now."""

    @property
    def empty(self) -> bool:
        """Return whether the consumer has taken every event."""

    point: Since
    """The resume point behind the last whole revision that the consumer has. The subscription sets the first one."""

    def put(self, events: Sequence[Event], size: int, point: Since | None) -> None:
        """Take the events of one revision or delivery, or one event of a snapshot, or ``synced``.

        ``size`` is in bytes of the wire; ``point`` is the resume point behind them, None within a snapshot.
        """

    def reset(self, reason: str) -> None:
        """Forget all events so far: a fresh snapshot follows."""


class Buffer:
    """Events that wait for one consumer, and the resume point behind the last one it took."""

    def __init__(self, since: Since | None = None) -> None:
        self._waiting: deque[tuple[Event, int, Since | None]] = deque()
        self._size = 0
        self.point: Since = since or START

    @property
    def full(self) -> bool:
        """Return whether more than `MAX_BUFFERED_BYTES` of events wait, without snapshots."""
        return self._size > MAX_BUFFERED_BYTES

    @property
    def empty(self) -> bool:
        """Return whether no event waits."""
        return not self._waiting

    def put(self, events: Sequence[Event], size: int, point: Since | None) -> None:
        """Append events; their size counts against the bound, unless they belong to a snapshot."""
        share = 0 if events[0].snapshot else size // len(events)
        self._size += share * len(events)
        for event in events[:-1]:
            self._waiting.append((event, share, None))
        self._waiting.append((events[-1], share, point))

    def reset(self, reason: str) -> None:
        """Replace all waiting events by one of type ``lost``: a fresh snapshot follows."""
        self._waiting.clear()
        self._size = 0
        self._waiting.append((Event(type="lost", reason=reason), 0, START))

    def take(self) -> Event:
        """Return the next event, and move ``point`` behind it. Raises IndexError if none waits."""
        event, size, point = self._waiting.popleft()
        self._size -= size
        if point is not None:
            self.point = point
        return event


class Subscription:
    """One interest of this session, from its first `subscribe` on, across connections and sessions."""

    def __init__(
        self,
        patterns: Iterable[str],
        sink: EventSink,
        *,
        ns: str | None = None,
        types: Iterable[EventType] | None = None,
        values: bool = True,
        prev: bool = False,
        snapshot: bool = False,
        since: Since | None = None,
        echo: bool = True,
        conflate: float | None = None,
    ) -> None:
        self.sink = sink
        self.patterns = list(patterns)
        self.ns = ns
        self.types = None if types is None else list(types)
        self.values, self.prev, self.echo, self.snapshot = values, prev, echo, snapshot
        self.conflate = conflate
        self.duplicate_no = 0
        """The number of subscriptions of this session that already use the same words: see `request`."""
        self.begun = False
        """Whether the hub has answered once, so that a cursor exists."""
        self.ended = False
        self.error: WaggleError | None = None
        self.paused = False
        """Whether the session has unsubscribed until the consumer has caught up (rule 4)."""
        self.in_snapshot = False
        """Whether a snapshot is expected, and ``synced`` has not come."""
        self.epoch, self.cursor = "", 0
        self._since = since
        self._snapshot_begun = False
        """Whether the consumer has part of the snapshot."""
        self._incomplete: list[Event] = []
        """The events of a revision or delivery that is not complete."""
        self._incomplete_bytes = 0
        self._last_rev = 0
        """The revision of the last line: beyond the cursor while events are held back."""
        self._more_expected = False
        """Whether more events of the revision ``_last_rev`` follow."""

    # --- asking -------------------------------------------------------------------------------------------

    def interest(self, ns: str) -> tuple[object, ...]:
        """Return the fields that the hub tells interests apart by; ``ns`` is the namespace of the session."""
        types = DEFAULT_TYPES if self.types is None else self.types
        return self.ns or ns, frozenset(self.patterns), frozenset(types), self.values, self.prev, self.conflate

    def request(self) -> Subscribe:
        """Return the command that starts the subscription, or continues it from the cursor.

        The hub gives one number to one interest, and restarts it when it is subscribed again. For two subscriptions
        with the same interest to exist side by side, the second has one pattern more. That pattern holds its
        ``duplicate_no`` and matches no key, because keys do not end in white space.
        """
        since = self._resume_point()
        return Subscribe(
            id=0,
            patterns=[*self.patterns, *self._distinguishing_pattern()],
            ns=self.ns,
            types=self.types,
            values=self.values,
            prev=self.prev,
            snapshot=self.snapshot and since is None,
            since=since,
            echo=self.echo,
            conflate=self.conflate,
        )

    def _distinguishing_pattern(self) -> list[str]:
        """Return a pattern that matches no key and costs the hub no more than the first pattern; an empty list for
        the first subscription of an interest."""
        if not self.duplicate_no or not self.patterns:
            return []
        unmatched = f"{self.duplicate_no}[ ]"
        literal = self.patterns[0]
        for special in "*?[\\":
            literal = literal.partition(special)[0]
        return [literal[: MAX_KEY_CHARS - len(unmatched)] + unmatched]

    def _resume_point(self) -> Since | None:
        if not self.begun:
            return self._since
        return None if self.in_snapshot else Since(self.epoch, self.cursor)

    def on_subscribed(self, request: Subscribe, reply: Subscribed) -> Action:
        """Handle the reply to ``request``: set the cursor, or expect a snapshot."""
        first, self.begun, self.epoch = not self.begun, True, reply.epoch
        if request.since is None:
            self._set_cursor(reply.rev)
            self.in_snapshot = self.snapshot
        elif reply.resumed:
            self._set_cursor(request.since.rev)
            self.in_snapshot = False
        else:
            self._set_cursor(reply.rev)
            return self._on_lost(reply.reason or "unknown")
        if first and not self.in_snapshot:
            self.sink.point = Since(self.epoch, self.cursor)
        return Action.CONTINUE

    # --- what comes ---------------------------------------------------------------------------------------

    def feed(self, event: Event, size: int) -> Action:
        """Handle one line of this subscription, ``size`` bytes long; return the step for the session."""
        if event.type == "lost":
            return self._on_lost("unknown" if event.reason is UNSET else event.reason)
        if event.snapshot or event.type == "synced":
            return self._on_snapshot_line(event, size)
        return self._on_log_line(event, size)

    def _on_snapshot_line(self, event: Event, size: int) -> Action:
        """Handle a line of a snapshot. A snapshot that was not announced replaces all earlier events, too."""
        if not self.in_snapshot and self._on_lost("restarted") is Action.FAIL:
            return Action.FAIL
        if event.type == "synced":
            self.in_snapshot = self._snapshot_begun = False
            self._set_cursor(event.rev)
            self.sink.put((event,), size, Since(self.epoch, event.rev))
        else:
            self._snapshot_begun = True
            self.sink.put((event,), size, None)
        return Action.CONTINUE

    def _on_log_line(self, event: Event, size: int) -> Action:
        """Handle an event or a mark after the snapshot: check the chain of revisions, and pass on what is complete."""
        if self.in_snapshot:
            return Action.CONTINUE if event.type == "mark" else Action.RESUBSCRIBE
        if event.rev <= self.cursor:
            return Action.CONTINUE
        if event.after is not UNSET and event.after > self._last_rev:
            return Action.RESUBSCRIBE
        if self._more_expected and event.rev != self._last_rev:
            return Action.RESUBSCRIBE
        if event.type != "mark":
            self._incomplete.append(event)
            self._incomplete_bytes += size
        self._last_rev = event.rev
        if self.conflate is None:
            self._more_expected = event.more
            return Action.CONTINUE if event.more else self._pass_on(event.rev)
        return self._pass_on(event.rev) if event.type == "mark" else Action.CONTINUE

    def _pass_on(self, rev: int) -> Action:
        """Pass on all events up to ``rev``, and move the cursor."""
        held, size = self._incomplete, self._incomplete_bytes
        self._set_cursor(rev)
        if held:
            held[-1].more = False  # a mark may have completed the revision
            self.sink.put(held, size, Since(self.epoch, rev))
        return Action.PAUSE if self.sink.full else Action.CONTINUE

    def on_mark(self, rev: int) -> None:
        """Move the cursor to the mark of the connection: every event up to ``rev`` was sent."""
        if not self.in_snapshot and self._last_rev == self.cursor:
            self._set_cursor(max(self.cursor, rev))

    # --- breaks -------------------------------------------------------------------------------------------

    def restart(self) -> None:
        """Forget events that are incomplete: the stream starts again at the cursor, or with its snapshot."""
        self._set_cursor(self.cursor)
        if self.in_snapshot and self._snapshot_begun:
            self._snapshot_begun = False
            self.sink.reset("reconnected")

    def fail(self, error: WaggleError) -> None:
        """End the subscription with an error, which the consumer gets after the events that wait."""
        self.ended, self.error = True, error

    def _on_lost(self, reason: str) -> Action:
        """Handle events that the hub no longer has: expect a snapshot, or fail if the consumer takes none."""
        self._set_cursor(self.cursor)
        if not self.snapshot:
            self.fail(
                Lost(
                    f"Events on {', '.join(self.patterns)} were lost ({reason}): read the state anew and watch again,"
                    " or watch with snapshot=True, which does both.",
                    reason=reason,
                )
            )
            return Action.FAIL
        self.in_snapshot, self._snapshot_begun = True, False
        self.sink.reset(reason)
        return Action.CONTINUE

    def _set_cursor(self, rev: int) -> None:
        """Move the cursor to ``rev``, with no event held back."""
        self.cursor = self._last_rev = rev
        self._incomplete, self._incomplete_bytes, self._more_expected = [], 0, False

    # --- where the consumer stands ------------------------------------------------------------------------

    def point(self) -> Since:
        """Return the point where a program that saves its place can continue; `START` if only a snapshot helps."""
        caught_up = self.begun and not self.in_snapshot and not self.ended and self.sink.empty
        return Since(self.epoch, self.cursor) if caught_up else self.sink.point
