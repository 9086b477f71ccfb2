"""Claims: locks that are held or waited for, and what stands in the way of each (protocol 6, G8).

The law: a claim is granted when no earlier claim that it conflicts with is left, held or waiting. So nobody is ever
overtaken by somebody who came later, two conflicting locks are never held at once, and shared locks starve nobody.
Two claims conflict when they are of the same namespace, some string could match both, and not both are shared.

How it is kept without looking at all claims for each command:

1. *Names against names.* Each name in use has a queue of the claims on it, in order of arrival. Its *front* is what
   stands in nobody's way there: one exclusive claim, or the shared ones before the first exclusive one. A claim counts
   the queues in which it is not in front (`behind`). Thousands may wait for one name: an arrival looks at the tail, a
   departure at what comes next.
2. *Whatever has a pattern.* A pair of claims that conflict because of a pattern is remembered: `blockers` of the later
   one, `blocking` of the earlier one. Only an arrival makes pairs, only a departure ends them.
3. A claim is *ready* when it is behind in no queue and has no blockers. The turn grants those that have become ready,
   lowest serial first.

Which circle of waiters a newcomer would close is `circles`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import heappop, heappush
from itertools import chain

from sortedcontainers import SortedDict

from waggle.wire.names import Pattern
from waggle_hub.state.patterns.overlap import overlap
from waggle_hub.state.patterns.pattern_index import PatternIndex
from waggle_hub.state.sessions import Session

from .deadlock import circle
from .name_queue import Place, Queue
from .request import LockOwner, LockRequest


class _Space:
    """The claims of one namespace, by name and by pattern."""

    def __init__(self) -> None:
        self.queues: SortedDict[str, Queue] = SortedDict()
        self.patterns: PatternIndex[LockRequest] = PatternIndex()
        """Claims with patterns, by the keys they match."""
        self.by_pattern: dict[Pattern, dict[LockRequest, None]] = {}
        self.waiting: dict[str, int] = {}
        """How many claims wait for a pattern of this text."""
        self.claims = 0

    def on_key(self, key: str) -> Iterator[LockRequest]:
        """Every claim on this key, held or waiting."""
        queue = self.queues.get(key)
        if queue is not None:
            yield from queue
        if self.by_pattern:
            yield from self.patterns.find(key)

    def on_pattern(self, pattern: Pattern) -> Iterator[LockRequest]:
        """Every claim on something that this pattern could match as well; more than once if by several of its names."""
        yield from self.on_names_of(pattern)
        for other, claims in self.by_pattern.items():
            if overlap(pattern, other):
                yield from claims

    def on_names_of(self, pattern: Pattern) -> Iterator[LockRequest]:
        """Every claim on a name that this pattern matches."""
        if pattern.exact is not None:
            yield from self.queues.get(pattern.exact, ())
            return
        for name in self.queues.irange(minimum=pattern.prefix):
            if not name.startswith(pattern.prefix):
                break
            if pattern.match(name):
                yield from self.queues[name]


class LockTable:
    """All claims of the hub."""

    def __init__(self) -> None:
        self.held: dict[int, LockRequest] = {}
        """What is held, by token: in the order in which it was granted."""
        self.taken: dict[tuple[str, str], LockRequest] = {}
        """The locks of taken entries, by namespace and key."""
        self.waiting = 0
        self.conflicts = 0
        """Pairs that are remembered."""
        self._ready: list[tuple[int, LockRequest]] = []
        self._spaces: dict[str, _Space] = {}
        self._strands: dict[LockOwner, dict[LockRequest, None]] = {}
        """The claims of each strand, held or waiting."""

    # --- asking ---

    def over(self, ns: str, key: str) -> LockRequest | None:
        """The exclusive lock that is held on this key, by name or by pattern: there is at most one."""
        space = self._spaces.get(ns)
        if space is None:
            return None
        queue: Queue | None = space.queues.get(key)
        if queue is not None and queue.first is not None and not queue.shared and queue.first.claim.token is not None:
            return queue.first.claim
        if not space.by_pattern:
            return None
        return next((one for one in space.patterns.find(key) if one.exclusive and one.token is not None), None)

    def held_on(self, ns: str, key: str) -> Iterator[LockRequest]:
        """The locks that are held on this key, by name or by pattern."""
        space = self._spaces.get(ns)
        if space is not None:
            queue = space.queues.get(key)
            claims = chain(queue.front() if queue is not None else (), space.patterns.find(key))
            yield from (claim for claim in claims if claim.token is not None)

    def held_within(self, ns: str, pattern: Pattern) -> Iterator[LockRequest]:
        """The locks that are held on something that this pattern could match."""
        space = self._spaces.get(ns)
        if space is not None:
            yield from (claim for claim in space.on_pattern(pattern) if claim.token is not None)

    def named_on(self, ns: str, key: str) -> bool:
        """Whether anybody holds, or waits for, a lock on this very name."""
        space = self._spaces.get(ns)
        return space is not None and key in space.queues

    def blocks_all(self, ns: str, patterns: tuple[Pattern, ...]) -> bool:
        """Whether locks, held or waited for, are plainly on all that these patterns could match."""
        space = self._spaces.get(ns)
        if space is None:
            return False
        wide = [one for one in space.by_pattern if one.only_prefix]
        return all(
            pattern in space.by_pattern or any(pattern.prefix.startswith(one.prefix) for one in wide)
            for pattern in patterns
        )

    def any_on(self, ns: str, key: str) -> bool:
        """Whether anybody holds, or waits for, a lock on this key."""
        space = self._spaces.get(ns)
        return space is not None and next(space.on_key(key), None) is not None

    def named(self, ns: str, key: str) -> list[LockRequest]:
        """The locks that are held on this very name, or on a pattern of this text."""
        space = self._spaces.get(ns)
        if space is None:
            return []
        queue = space.queues.get(key, ())
        patterned = (claim for claims in space.by_pattern.values() for claim in claims)
        found = dict.fromkeys([*queue, *(claim for claim in patterned if key in claim.keys)])
        return [claim for claim in found if claim.token is not None]

    def patterns_in(self, ns: str) -> int:
        """How many claims of a namespace are on patterns."""
        space = self._spaces.get(ns)
        return 0 if space is None else sum(len(claims) for claims in space.by_pattern.values())

    def waiting_for(self, claim: LockRequest, key: str) -> int:
        """How many wait for this name, or for a pattern of this text."""
        space = self._spaces.get(claim.ns)
        if space is None:
            return 0
        if claim.patterns:
            return space.waiting.get(key, 0)
        queue = space.queues.get(key)
        return 0 if queue is None else queue.waiting

    def holders(self, claim: LockRequest, across: dict[LockRequest, None]) -> list[LockRequest]:
        """The locks that stand in the way of a claim, or of a newcomer, of which `across` is known; oldest first."""
        found = dict(across)
        for queue, _ in self._places_of(claim):
            found.update((one, None) for one in queue.front() if claim.conflicts(one))
        return sorted((one for one in found if one.token is not None), key=lambda one: one.serial)

    def queued(self, claim: LockRequest, across: dict[LockRequest, None]) -> int:
        """How many of those before a claim, or a newcomer, that it conflicts with, wait."""
        places = self._places_of(claim)
        if len(places) == 1 and not across and not claim.places and claim.exclusive:
            return places[0][0].waiting
        found = {one for one in across if one.token is None}
        for _, place in places:
            while place is not None:
                if place.claim.token is None and claim.conflicts(place.claim):
                    found.add(place.claim)
                place = place.before
        return len(found)

    def _places_of(self, claim: LockRequest) -> list[tuple[Queue, Place | None]]:
        """The queues that a claim stands in, or that a newcomer would join, each with who is before it."""
        if claim.places:
            return [(place.queue, place.before) for place in claim.places]
        space = self._spaces.get(claim.ns)
        queues = [] if space is None else [space.queues.get(name) for name in claim.names]
        return [(queue, queue.last) for queue in queues if queue is not None]

    def queue_of(self, held: LockRequest) -> list[LockRequest]:
        """Those who wait for a lock that is held, in order of arrival."""
        found = dict.fromkeys(held.blocking)
        for place in held.places:
            found.update((claim, None) for claim in place.queue if claim.token is None and claim.conflicts(held))
        return sorted(found, key=lambda claim: claim.serial)

    def admits(self, newcomer: LockRequest, across: dict[LockRequest, None]) -> bool:
        """Whether a newcomer, of which `across` is known, would be ready at once."""
        space = self._spaces.get(newcomer.ns)
        if space is None:
            return True
        queues = (space.queues.get(name) for name in newcomer.names)
        return not across and all(queue is None or queue.admits(newcomer) for queue in queues)

    def across(self, newcomer: LockRequest) -> dict[LockRequest, None]:
        """The claims that a newcomer conflicts with because of a pattern, its own or theirs."""
        space = self._spaces.get(newcomer.ns)
        if space is None:
            return {}
        found: Iterable[LockRequest] = ()
        if newcomer.patterns:
            found = (claim for pattern in newcomer.patterns for claim in space.on_pattern(pattern))
        elif space.by_pattern:
            found = (claim for name in newcomer.names for claim in space.patterns.find(name))
        return {claim: None for claim in found if newcomer.conflicts(claim)}

    # --- changing ---

    def add(self, claim: LockRequest, across: dict[LockRequest, None]) -> None:
        """A claim arrives behind all others, of which `across` conflict with it because of a pattern."""
        space = self._spaces.get(claim.ns)
        if space is None:
            space = self._spaces[claim.ns] = _Space()
        space.claims += 1
        for name in claim.names:
            queue = space.queues.get(name)
            if queue is None:
                queue = space.queues[name] = Queue()
            place = queue.append(claim)
            queue.waiting += 1
            claim.places.append(place)
            claim.behind += not place.front
        for pattern in claim.patterns:
            space.patterns.add(pattern, claim)
            space.by_pattern.setdefault(pattern, {})[claim] = None
            space.waiting[pattern.text] = space.waiting.get(pattern.text, 0) + 1
        claim.blockers = across
        self.conflicts += len(across)
        for blocker in across:
            blocker.blocking[claim] = None
        claim.session.lock_requests[claim] = None
        self._strands.setdefault(claim.strand, {})[claim] = None
        self.waiting += 1

    def grant(self, claim: LockRequest, token: int, at: float) -> None:
        """A ready claim is held from now on."""
        assert claim.ready
        assert claim.token is None
        self._wait_no_longer(claim)
        claim.token = token
        claim.granted_at = at
        self.held[token] = claim
        if claim.taken:
            self.taken[claim.ns, claim.names[0]] = claim

    def remove(self, claim: LockRequest) -> None:
        """A claim goes: released, or no longer waited for. Who is ready by that is put into `ready`."""
        space = self._spaces[claim.ns]
        if claim.token is None:
            self._wait_no_longer(claim)
        else:
            del self.held[claim.token]
            if claim.taken:
                del self.taken[claim.ns, claim.names[0]]
        for place, name in zip(claim.places, claim.names, strict=True):
            for advanced in place.queue.remove(place):
                advanced.behind -= 1
                self.look_at(advanced)
            if place.queue.first is None:
                del space.queues[name]
        for pattern in claim.patterns:
            space.patterns.remove(pattern, claim)
            del space.by_pattern[pattern][claim]
            if not space.by_pattern[pattern]:
                del space.by_pattern[pattern]
        for blocker in claim.blockers:
            del blocker.blocking[claim]
        for blocked in claim.blocking:
            del blocked.blockers[claim]
            self.look_at(blocked)
        self.conflicts -= len(claim.blockers) + len(claim.blocking)
        del claim.session.lock_requests[claim]
        strand = self._strands[claim.strand]
        del strand[claim]
        if not strand:
            del self._strands[claim.strand]
        space.claims -= 1
        if not space.claims:
            del self._spaces[claim.ns]

    @property
    def any_ready(self) -> bool:
        """Whether somebody may be ready."""
        return bool(self._ready)

    def next_ready(self) -> LockRequest | None:
        """The oldest claim that is to be granted now; it is taken out of `ready`."""
        while self._ready:
            _, claim = heappop(self._ready)
            if claim in claim.session.lock_requests and claim.token is None:
                return claim
        return None

    def _wait_no_longer(self, claim: LockRequest) -> None:
        self.waiting -= 1
        for place in claim.places:
            place.queue.waiting -= 1
        space = self._spaces[claim.ns]
        for pattern in claim.patterns:
            space.waiting[pattern.text] -= 1
            if not space.waiting[pattern.text]:
                del space.waiting[pattern.text]

    def look_at(self, claim: LockRequest) -> None:
        """Put it into `ready`, if it is."""
        if claim.token is None and claim.ready:
            heappush(self._ready, (claim.serial, claim))

    # --- deadlock ---

    def circle(self, newcomer: LockRequest, across: dict[LockRequest, None]) -> list[LockRequest] | None:
        """The waiting claims, the newcomer first, that would wait for each other in a circle; None if none would."""
        before = [place for _, place in self._places_of(newcomer) if place is not None]
        return circle(newcomer, across, before, self._strands)

    # --- for tests ---

    def check(self, sessions: Iterable[Session], granting: bool) -> None:
        """Assert the rules of this module, by looking at every pair. While `granting`, who is ready is granted."""
        claims = sorted(
            (claim for session in sessions for claim in session.lock_requests), key=lambda claim: claim.serial
        )
        assert len({claim.serial for claim in claims}) == len(claims)
        assert {claim for claim in claims if claim.token is not None} == set(self.held.values())
        assert self.waiting == sum(claim.token is None for claim in claims)
        for number, claim in enumerate(claims):
            before = [other for other in claims[:number] if _conflict(claim, other)]
            by_pattern = {other for other in before if claim.patterns or other.patterns}
            assert set(claim.blockers) == by_pattern
            assert claim.ready == (not before), "ready is who conflicts with nobody earlier"
            assert claim.token is None or claim.ready
            assert claim.token is not None or not claim.ready or not granting, "who is ready is granted"
            assert claim.token is None or claim.deadline is not None, "a lock has a ttl"
            assert (claim.token is None) == (claim.session.pending.get(claim.id) is claim)
            assert all(claim in other.blocking for other in by_pattern)
        assert self.conflicts == sum(len(claim.blockers) for claim in claims)
        assert not self._ready or not granting
        assert sum(space.claims for space in self._spaces.values()) == len(claims)
        for space in self._spaces.values():
            assert space.claims
            for queue in space.queues.values():
                assert queue.first is not None
                assert queue.waiting == sum(claim.token is None for claim in queue)
        for (ns, key), claim in self.taken.items():
            assert claim.taken
            assert (claim.ns, claim.names) == (ns, (key,))


def _conflict(claim: LockRequest, other: LockRequest) -> bool:
    if claim.ns != other.ns or not claim.conflicts(other):
        return False
    return any(
        other.covers(name) for name in claim.names
    ) or any(claim.covers(name) for name in other.names) or any(
        overlap(mine, yours) for mine in claim.patterns for yours in other.patterns
    )  # fmt: skip
