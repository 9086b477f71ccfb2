"""The queue of one name: the claims on it, in order of arrival (`claims`, 1).

Its *front* is what stands in nobody's way there: one exclusive claim, or the shared ones before the first exclusive
one. An arrival looks at the tail, a departure at what comes next, however many there are.
"""

from __future__ import annotations

from collections.abc import Iterator

from .request import LockRequest


class Place:
    """A claim in the queue of one name."""

    __slots__ = ("after", "before", "claim", "front", "queue")

    def __init__(self, queue: Queue, claim: LockRequest) -> None:
        self.queue = queue
        self.claim = claim
        self.before: Place | None = None
        self.after: Place | None = None
        self.front = False


class Queue:
    """The claims on one name, in order of arrival: a linked list whose front stands in nobody's way."""

    __slots__ = ("first", "last", "next", "shared", "waiting")

    def __init__(self) -> None:
        self.first: Place | None = None
        self.last: Place | None = None
        self.next: Place | None = None
        """The first that is not in front."""
        self.shared = True
        """Whether the front, if there is any, is shared."""
        self.waiting = 0
        """How many of them wait."""

    def admits(self, claim: LockRequest) -> bool:
        """Whether it would be in front at once."""
        return self.first is None or (self.next is None and self.shared and not claim.exclusive)

    def append(self, claim: LockRequest) -> Place:
        place = Place(self, claim)
        admitted = self.admits(claim)
        place.before = self.last
        if self.last is None:
            self.first = place
        else:
            self.last.after = place
        self.last = place
        if admitted:
            place.front = True
            self.shared = not claim.exclusive
        elif self.next is None:
            self.next = place
        return place

    def remove(self, place: Place) -> list[LockRequest]:
        """Take a claim out; those that are in front now and were not before."""
        if place.before is None:
            self.first = place.after
        else:
            place.before.after = place.after
        if place.after is None:
            self.last = place.before
        else:
            place.after.before = place.before
        if self.next is place:
            self.next = place.after
        return self._advance()

    def _advance(self) -> list[LockRequest]:
        advanced = []
        while self.next is not None:
            empty = self.first is self.next
            if not empty and not (self.shared and not self.next.claim.exclusive):
                break
            self.next.front = True
            self.shared = not self.next.claim.exclusive
            advanced.append(self.next.claim)
            self.next = self.next.after
        return advanced

    def __iter__(self) -> Iterator[LockRequest]:
        place = self.first
        while place is not None:
            yield place.claim
            place = place.after

    def front(self) -> Iterator[LockRequest]:
        place = self.first
        while place is not None and place.front:
            yield place.claim
            place = place.after
