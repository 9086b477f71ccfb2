"""One subscription as the client keeps it: the chain of revisions, and what waits for its consumer (protocol 5).

The rules:

1. **The cursor moves by whole revisions only.** Events of one revision are held back until the last of them
   is here, then passed on together. So a consumer never sees half a transaction, and going on from the cursor
   after a lost connection repeats nothing. A conflated subscription moves by whole deliveries: what comes up to
   its ``mark`` is passed on together, since earlier events were left out of it, and only its end is a state.
2. **A gap cannot pass.** An event whose ``after`` lies beyond what is here (the cursor, and what is held back) is
   not passed on: the verdict is GAP, and the session subscribes again from the cursor. What was seen before
   (``rev`` up to the cursor) is dropped.
3. **A snapshot has no cursor.** Until ``synced`` there is nothing to go on from; a snapshot that was
   interrupted begins again, and its consumer is told by ``lost`` to forget the part it has.
4. **The hub's log is the buffer.** A consumer that is slow gets no more than `BUFFER` bytes of events kept
   for it: then the verdict is FULL, the session unsubscribes, and subscribes again from the cursor once the
   consumer has caught up. The socket is read all the while, so a reply never waits for a consumer, and a
   consumer may use the same connection as it likes. Only a snapshot is kept whole, whatever its size: it is
   as large as the state that was asked for, and has no cursor to come back to.

Nothing here sends or receives: `waggle.core.session` decides when to subscribe, the shells wake the consumer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from enum import Enum, auto
from typing import Protocol

from msgspec import UNSET

from waggle.wire.errors import Lost, WaggleError
from waggle.wire.messages import DEFAULT_TYPES, Event, EventType, Since, Subscribe, Subscribed

__all__ = ["BUFFER", "Action", "Buffer", "EventSink", "Subscription"]

BUFFER = 8 * 2**20
"""Bytes of lines kept for one slow consumer: some 50,000 events of 160 bytes, 30 MB as Python objects."""
PATTERN = 255
"""Characters a pattern may have (protocol 1)."""
NOWHERE = Since(epoch="", rev=0)
"""The resume point of who has none: the hub answers it with a fresh snapshot."""


class Action(Enum):
    """What the session has to do after a line."""

    ON = auto()
    """Nothing."""
    GAP = auto()
    """Subscribe again: something is missing."""
    FULL = auto()
    """Unsubscribe until the consumer has caught up."""
    LOST = auto()
    """Unsubscribe for good: events are missing, and a consumer without snapshots cannot go on."""


class EventSink(Protocol):
    """Where a subscription's events go: a `Buffer`, or a mirror's replica."""

    @property
    def full(self) -> bool:
        """Whether no more should come for now."""

    @property
    def empty(self) -> bool:
        """Whether the consumer has everything that came."""

    point: Since
    """Where the consumer stands: behind the last whole revision it has; the subscription sets where it begins."""

    def put(self, events: Sequence[Event], size: int, point: Since | None) -> None:
        """Take the events of one revision or delivery, or one of a snapshot, or ``synced``.

        ``size`` is in bytes of the wire; ``point`` is the resume point behind them, None within a snapshot.
        """

    def replaced(self, reason: str) -> None:
        """Forget what came so far: a fresh snapshot follows."""


class Buffer:
    """Events waiting for one consumer, and the resume point behind the last one it took."""

    def __init__(self, since: Since | None = None) -> None:
        self._waiting: deque[tuple[Event, int, Since | None]] = deque()
        self._size = 0
        self.point: Since = since or NOWHERE

    @property
    def full(self) -> bool:
        """Whether events of more than `BUFFER` bytes wait, snapshots left aside."""
        return self._size > BUFFER

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self._waiting

    def put(self, events: Sequence[Event], size: int, point: Since | None) -> None:
        """Append the events; their size counts against the bound, unless they are a snapshot's."""
        share = 0 if events[0].snapshot else size // len(events)
        self._size += share * len(events)
        for event in events[:-1]:
            self._waiting.append((event, share, None))
        self._waiting.append((events[-1], share, point))

    def replaced(self, reason: str) -> None:
        """Drop what waits, since a fresh snapshot replaces it, and say so by an event of type ``lost``."""
        self._waiting.clear()
        self._size = 0
        self._waiting.append((Event(type="lost", reason=reason), 0, NOWHERE))

    def take(self) -> Event:
        """The next event, moving ``point`` behind it; IndexError if none waits."""
        event, size, point = self._waiting.popleft()
        self._size -= size
        if point is not None:
            self.point = point
        return event


class Subscription:
    """One interest of this session, from the first ``subscribe`` on, across connections and sessions."""

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
        self.variant = 0
        """How many subscriptions of this session say the same already: see `request`."""
        self.begun = False
        """Whether a cursor exists: the hub has answered once."""
        self.ended = False
        self.error: WaggleError | None = None
        self.paused = False
        """Whether it is unsubscribed until the consumer has caught up (rule 4)."""
        self.filling = False
        """Whether a snapshot is on its way and ``synced`` has not come."""
        self.epoch, self.cursor = "", 0
        self._since = since
        self._partly = False
        """Whether the consumer was given part of the snapshot that is on its way."""
        self._held: list[Event] = []
        """What is held back until its revision, or its delivery, is whole."""
        self._held_size = 0
        self._reached = 0
        """The revision of the last line: beyond the cursor while something is held back."""
        self._unfinished = False
        """Whether more of the revision ``_reached`` is to come."""

    # --- asking -------------------------------------------------------------------------------------------

    def interest(self, ns: str) -> tuple[object, ...]:
        """What the hub numbers interests by, where ``ns`` is the session's namespace."""
        types = DEFAULT_TYPES if self.types is None else self.types
        return self.ns or ns, frozenset(self.patterns), frozenset(types), self.values, self.prev, self.conflate

    def request(self) -> Subscribe:
        """The command that begins it, or goes on from the cursor.

        The hub gives one number to one interest, and restarts it when it is subscribed again. For a second
        subscription of the same to live beside the first, it says the same in other words: with one
        pattern more that names its ``variant`` and matches no key, since keys do not end in white space.
        """
        since = self._resume_point()
        return Subscribe(
            id=0,
            patterns=[*self.patterns, *self._wording()],
            ns=self.ns,
            types=self.types,
            values=self.values,
            prev=self.prev,
            snapshot=self.snapshot and since is None,
            since=since,
            echo=self.echo,
            conflate=self.conflate,
        )

    def _wording(self) -> list[str]:
        """A pattern that matches nothing and looks where the first pattern looks; none for the first
        variant."""
        if not self.variant or not self.patterns:
            return []
        unmatched = f"{self.variant}[ ]"
        literal = self.patterns[0]
        for special in "*?[\\":
            literal = literal.partition(special)[0]
        return [literal[: PATTERN - len(unmatched)] + unmatched]

    def _resume_point(self) -> Since | None:
        if not self.begun:
            return self._since
        return None if self.filling else Since(self.epoch, self.cursor)

    def accepted(self, request: Subscribe, reply: Subscribed) -> Action:
        """The hub's answer to ``request``: set the cursor, or expect the snapshot that replaces all."""
        first, self.begun, self.epoch = not self.begun, True, reply.epoch
        if request.since is None:
            self._stand_at(reply.rev)
            self.filling = self.snapshot
        elif reply.resumed:
            self._stand_at(request.since.rev)
            self.filling = False
        else:
            self._stand_at(reply.rev)
            return self._replaced(reply.reason or "unknown")
        if first and not self.filling:
            self.sink.point = Since(self.epoch, self.cursor)
        return Action.ON

    # --- what comes ---------------------------------------------------------------------------------------

    def feed(self, event: Event, size: int) -> Action:
        """Take one line of this subscription, ``size`` bytes long, and say what the session must do."""
        if event.type == "lost":
            return self._replaced("unknown" if event.reason is UNSET else event.reason)
        if event.snapshot or event.type == "synced":
            return self._fill(event, size)
        return self._follow(event, size)

    def _fill(self, event: Event, size: int) -> Action:
        """A line of a snapshot; one that nobody announced replaces what came before, too."""
        if not self.filling and self._replaced("restarted") is Action.LOST:
            return Action.LOST
        if event.type == "synced":
            self.filling = self._partly = False
            self._stand_at(event.rev)
            self.sink.put((event,), size, Since(self.epoch, event.rev))
        else:
            self._partly = True
            self.sink.put((event,), size, None)
        return Action.ON

    def _follow(self, event: Event, size: int) -> Action:
        """An event or a mark of the tail: check the chain, and pass on what is whole."""
        if self.filling:
            return Action.ON if event.type == "mark" else Action.GAP
        if event.rev <= self.cursor:
            return Action.ON
        if event.after is not UNSET and event.after > self._reached:
            return Action.GAP
        if self._unfinished and event.rev != self._reached:
            return Action.GAP
        if event.type != "mark":
            self._held.append(event)
            self._held_size += size
        self._reached = event.rev
        if self.conflate is None:
            self._unfinished = event.more
            return Action.ON if event.more else self._complete(event.rev)
        return self._complete(event.rev) if event.type == "mark" else Action.ON

    def _complete(self, rev: int) -> Action:
        """Everything up to ``rev`` is here: pass it on and move the cursor."""
        held, size = self._held, self._held_size
        self._stand_at(rev)
        if held:
            held[-1].more = False  # it may have been followed by a mark
            self.sink.put(held, size, Since(self.epoch, rev))
        return Action.FULL if self.sink.full else Action.ON

    def marked(self, rev: int) -> None:
        """The connection's own mark: every event up to ``rev`` was sent."""
        if not self.filling and self._reached == self.cursor:
            self._stand_at(max(self.cursor, rev))

    # --- breaks -------------------------------------------------------------------------------------------

    def restart(self) -> None:
        """The stream begins again: at the cursor, so what is half received comes again, or with its snapshot."""
        self._stand_at(self.cursor)
        if self.filling and self._partly:
            self._partly = False
            self.sink.replaced("reconnected")

    def fail(self, error: WaggleError) -> None:
        """Nothing more will come; the consumer hears why once it has taken what waits."""
        self.ended, self.error = True, error

    def _replaced(self, reason: str) -> Action:
        """The hub cannot go on from the cursor: a snapshot follows, for those who can use one."""
        self._stand_at(self.cursor)
        if not self.snapshot:
            self.fail(
                Lost(
                    f"Events on {', '.join(self.patterns)} were lost ({reason}): read the state anew and watch again,"
                    " or watch with snapshot=True, which does both.",
                    reason=reason,
                )
            )
            return Action.LOST
        self.filling, self._partly = True, False
        self.sink.replaced(reason)
        return Action.ON

    def _stand_at(self, rev: int) -> None:
        """The cursor is here, and nothing is held back."""
        self.cursor = self._reached = rev
        self._held, self._held_size, self._unfinished = [], 0, False

    # --- where the consumer stands ------------------------------------------------------------------------

    def point(self) -> Since:
        """Where a program that saves its place should go on; `NOWHERE` if that is with a snapshot."""
        caught_up = self.begun and not self.filling and not self.ended and self.sink.empty
        return Since(self.epoch, self.cursor) if caught_up else self.sink.point
