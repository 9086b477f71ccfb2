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

Deadlock: the strands (session and task) are the nodes of a graph, with an edge from each strand that waits to those
that hold, or asked earlier for, what its claim conflicts with. Only an arrival makes edges, so a circle can only close
with the newcomer, and `circle` looks for the shortest way from it back to its own strand. It looks at each place of a
queue once or twice, and at none where nobody waits for what the strand has.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from heapq import heappop, heappush
from itertools import chain

from msgspec import UNSET, UnsetType
from sortedcontainers import SortedDict

from waggle import messages as m
from waggle.keys import Pattern

from .log import Grip
from .overlap import overlap
from .patternindex import PatternIndex
from .records import ClaimRecord, Key, Record
from .sessions import Session
from .waiting import Waiting

Strand = tuple[str, str | None]


class Claim(Waiting):
    """One `lock` or `take` on its way: it waits, then is held. Its deadline ends its patience, then its ttl."""

    __slots__ = (
        "agent", "behind", "blockers", "blocking", "granted_at", "mode", "names", "ns", "patterns", "places", "taken",
        "task", "token", "ttl",
    )  # fmt: skip
    op = "lock"

    def __init__(
        self,
        serial: int,
        session: Session,
        id: m.Id,
        rid: str | None,
        since: float,
        *,
        ns: str,
        names: tuple[str, ...] = (),
        patterns: tuple[Pattern, ...] = (),
        mode: m.Mode,
        ttl: float,
        task: str | None = None,
        taken: bool = False,
    ) -> None:
        super().__init__(serial, session, id, rid, since)
        self.agent = session.agent
        self.ns = ns
        self.names = names
        self.patterns = patterns
        self.mode = mode
        self.ttl = ttl
        self.task = task
        self.taken = taken
        """Whether it is the lock of a taken entry, and ends with it."""
        self.token: int | None = None
        """The revision of the grant; None while it waits."""
        self.granted_at = 0.0
        self.behind = 0
        """In how many queues it is not in front."""
        self.places: list[_Place] = []
        """Its places in the queues of its names."""
        self.blockers: dict[Claim, None] = {}
        """Earlier claims that it conflicts with because of a pattern."""
        self.blocking: dict[Claim, None] = {}
        """Later claims that wait for it because of a pattern."""

    @property
    def exclusive(self) -> bool:
        return self.mode == "exclusive"

    @property
    def strand(self) -> Strand:
        """The strand of work that asks: one session may have many."""
        return self.session.id, self.task

    @property
    def ready(self) -> bool:
        """Whether nothing stands in its way."""
        return not self.behind and not self.blockers

    @property
    def keys(self) -> list[str]:
        """Its names, or the texts of its patterns: the keys of its events."""
        return [*self.names, *(pattern.text for pattern in self.patterns)]

    @property
    def shown_names(self) -> list[str] | UnsetType:
        return list(self.names) if self.names else UNSET

    @property
    def shown_patterns(self) -> list[str] | UnsetType:
        return [pattern.text for pattern in self.patterns] if self.patterns else UNSET

    def grip(self) -> Grip:
        """What its events tell of it."""
        return Grip(
            session=self.session.id,
            token=UNSET if self.token is None else self.token,
            mode=self.mode,
            expires_at=UNSET if self.token is None or self.deadline is None else self.deadline,
            names=self.shown_names,
            patterns=self.shown_patterns,
        )

    @property
    def record_name(self) -> Key:
        return (ClaimRecord.kind, self.serial)

    def record(self) -> Record:
        return ClaimRecord(
            serial=self.serial,
            session=self.session.id,
            id=self.id,
            rid=self.rid,
            since=self.since,
            ns=self.ns,
            names=list(self.names),
            patterns=[pattern.text for pattern in self.patterns],
            mode=self.mode,
            ttl=self.ttl,
            task=self.task,
            taken=self.taken,
            token=self.token,
            granted_at=self.granted_at,
            deadline=self.deadline,
        )

    def conflicts(self, other: Claim) -> bool:
        """Whether the modes conflict; what they are on is not looked at."""
        return self.exclusive or other.exclusive

    def covers(self, key: str) -> bool:
        """Whether it is on this key, by name or by pattern."""
        return key in self.names or any(pattern.match(key) for pattern in self.patterns)


class _Place:
    """A claim in the queue of one name."""

    __slots__ = ("after", "before", "claim", "front", "queue")

    def __init__(self, queue: _Queue, claim: Claim) -> None:
        self.queue = queue
        self.claim = claim
        self.before: _Place | None = None
        self.after: _Place | None = None
        self.front = False


class _Queue:
    """The claims on one name, in order of arrival: a linked list whose front stands in nobody's way."""

    __slots__ = ("first", "last", "next", "shared", "waiting")

    def __init__(self) -> None:
        self.first: _Place | None = None
        self.last: _Place | None = None
        self.next: _Place | None = None
        """The first that is not in front."""
        self.shared = True
        """Whether the front, if there is any, is shared."""
        self.waiting = 0
        """How many of them wait."""

    def admits(self, claim: Claim) -> bool:
        """Whether it would be in front at once."""
        return self.first is None or (self.next is None and self.shared and not claim.exclusive)

    def append(self, claim: Claim) -> _Place:
        place = _Place(self, claim)
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

    def remove(self, place: _Place) -> list[Claim]:
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

    def _advance(self) -> list[Claim]:
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

    def __iter__(self) -> Iterator[Claim]:
        place = self.first
        while place is not None:
            yield place.claim
            place = place.after

    def front(self) -> Iterator[Claim]:
        place = self.first
        while place is not None and place.front:
            yield place.claim
            place = place.after


class _Space:
    """The claims of one namespace, by name and by pattern."""

    def __init__(self) -> None:
        self.queues: SortedDict[str, _Queue] = SortedDict()
        self.patterns: PatternIndex[Claim] = PatternIndex()
        """Claims with patterns, by the keys they match."""
        self.by_pattern: dict[Pattern, dict[Claim, None]] = {}
        self.waiting: dict[str, int] = {}
        """How many claims wait for a pattern of this text."""
        self.claims = 0

    def on_key(self, key: str) -> Iterator[Claim]:
        """Every claim on this key, held or waiting."""
        queue = self.queues.get(key)
        if queue is not None:
            yield from queue
        if self.by_pattern:
            yield from self.patterns.find(key)

    def on_pattern(self, pattern: Pattern) -> Iterator[Claim]:
        """Every claim on something that this pattern could match as well; more than once if by several of its names."""
        yield from self.on_names_of(pattern)
        for other, claims in self.by_pattern.items():
            if overlap(pattern, other):
                yield from claims

    def on_names_of(self, pattern: Pattern) -> Iterator[Claim]:
        """Every claim on a name that this pattern matches."""
        if pattern.exact is not None:
            yield from self.queues.get(pattern.exact, ())
            return
        for name in self.queues.irange(minimum=pattern.prefix):
            if not name.startswith(pattern.prefix):
                break
            if pattern.match(name):
                yield from self.queues[name]


class Claims:
    """All claims of the hub."""

    def __init__(self) -> None:
        self.held: dict[int, Claim] = {}
        """What is held, by token: in the order in which it was granted."""
        self.taken: dict[tuple[str, str], Claim] = {}
        """The locks of taken entries, by namespace and key."""
        self.waiting = 0
        self.conflicts = 0
        """Pairs that are remembered."""
        self._ready: list[tuple[int, Claim]] = []
        self._spaces: dict[str, _Space] = {}
        self._strands: dict[Strand, dict[Claim, None]] = {}
        """The claims of each strand, held or waiting."""

    # --- asking ---

    def over(self, ns: str, key: str) -> Claim | None:
        """The exclusive lock that is held on this key, by name or by pattern: there is at most one."""
        space = self._spaces.get(ns)
        if space is None:
            return None
        queue: _Queue | None = space.queues.get(key)
        if queue is not None and queue.first is not None and not queue.shared and queue.first.claim.token is not None:
            return queue.first.claim
        if not space.by_pattern:
            return None
        return next((one for one in space.patterns.find(key) if one.exclusive and one.token is not None), None)

    def held_on(self, ns: str, key: str) -> Iterator[Claim]:
        """The locks that are held on this key, by name or by pattern."""
        space = self._spaces.get(ns)
        if space is not None:
            queue = space.queues.get(key)
            claims = chain(queue.front() if queue is not None else (), space.patterns.find(key))
            yield from (claim for claim in claims if claim.token is not None)

    def held_within(self, ns: str, pattern: Pattern) -> Iterator[Claim]:
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

    def named(self, ns: str, key: str) -> list[Claim]:
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

    def waiting_for(self, claim: Claim, key: str) -> int:
        """How many wait for this name, or for a pattern of this text."""
        space = self._spaces.get(claim.ns)
        if space is None:
            return 0
        if claim.patterns:
            return space.waiting.get(key, 0)
        queue = space.queues.get(key)
        return 0 if queue is None else queue.waiting

    def holders(self, claim: Claim, across: dict[Claim, None]) -> list[Claim]:
        """The locks that stand in the way of a claim, or of a newcomer, of which `across` is known; oldest first."""
        found = dict(across)
        for queue, _ in self._places_of(claim):
            found.update((one, None) for one in queue.front() if claim.conflicts(one))
        return sorted((one for one in found if one.token is not None), key=lambda one: one.serial)

    def queued(self, claim: Claim, across: dict[Claim, None]) -> int:
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

    def _places_of(self, claim: Claim) -> list[tuple[_Queue, _Place | None]]:
        """The queues that a claim stands in, or that a newcomer would join, each with who is before it."""
        if claim.places:
            return [(place.queue, place.before) for place in claim.places]
        space = self._spaces.get(claim.ns)
        queues = [] if space is None else [space.queues.get(name) for name in claim.names]
        return [(queue, queue.last) for queue in queues if queue is not None]

    def queue_of(self, held: Claim) -> list[Claim]:
        """Those who wait for a lock that is held, in order of arrival."""
        found = dict.fromkeys(held.blocking)
        for place in held.places:
            found.update((claim, None) for claim in place.queue if claim.token is None and claim.conflicts(held))
        return sorted(found, key=lambda claim: claim.serial)

    def admits(self, newcomer: Claim, across: dict[Claim, None]) -> bool:
        """Whether a newcomer, of which `across` is known, would be ready at once."""
        space = self._spaces.get(newcomer.ns)
        if space is None:
            return True
        queues = (space.queues.get(name) for name in newcomer.names)
        return not across and all(queue is None or queue.admits(newcomer) for queue in queues)

    def across(self, newcomer: Claim) -> dict[Claim, None]:
        """The claims that a newcomer conflicts with because of a pattern, its own or theirs."""
        space = self._spaces.get(newcomer.ns)
        if space is None:
            return {}
        found: Iterable[Claim] = ()
        if newcomer.patterns:
            found = (claim for pattern in newcomer.patterns for claim in space.on_pattern(pattern))
        elif space.by_pattern:
            found = (claim for name in newcomer.names for claim in space.patterns.find(name))
        return {claim: None for claim in found if newcomer.conflicts(claim)}

    # --- changing ---

    def add(self, claim: Claim, across: dict[Claim, None]) -> None:
        """A claim arrives behind all others, of which `across` conflict with it because of a pattern."""
        space = self._spaces.get(claim.ns)
        if space is None:
            space = self._spaces[claim.ns] = _Space()
        space.claims += 1
        for name in claim.names:
            queue = space.queues.get(name)
            if queue is None:
                queue = space.queues[name] = _Queue()
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
        claim.session.claims[claim] = None
        self._strands.setdefault(claim.strand, {})[claim] = None
        self.waiting += 1

    def grant(self, claim: Claim, token: int, at: float) -> None:
        """A ready claim is held from now on."""
        assert claim.ready
        assert claim.token is None
        self._wait_no_longer(claim)
        claim.token = token
        claim.granted_at = at
        self.held[token] = claim
        if claim.taken:
            self.taken[claim.ns, claim.names[0]] = claim

    def remove(self, claim: Claim) -> None:
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
        del claim.session.claims[claim]
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

    def next_ready(self) -> Claim | None:
        """The oldest claim that is to be granted now; it is taken out of `ready`."""
        while self._ready:
            _, claim = heappop(self._ready)
            if claim in claim.session.claims and claim.token is None:
                return claim
        return None

    def _wait_no_longer(self, claim: Claim) -> None:
        self.waiting -= 1
        for place in claim.places:
            place.queue.waiting -= 1
        space = self._spaces[claim.ns]
        for pattern in claim.patterns:
            space.waiting[pattern.text] -= 1
            if not space.waiting[pattern.text]:
                del space.waiting[pattern.text]

    def look_at(self, claim: Claim) -> None:
        """Put it into `ready`, if it is."""
        if claim.token is None and claim.ready:
            heappush(self._ready, (claim.serial, claim))

    # --- deadlock ---

    def circle(self, newcomer: Claim, across: dict[Claim, None]) -> list[Claim] | None:
        """The waiting claims, the newcomer first, that would wait for each other in a circle; None if none would."""
        goal = newcomer.strand
        own = self._strands.get(goal)
        if own is None:
            return None
        if not any(_is_waited_for(claim) for claim in own):
            blocks_itself = newcomer.task is not None and any(_meet(newcomer, claim, across) for claim in own)
            return [newcomer] if blocks_itself else None
        came_by: dict[Claim, Claim | None] = {newcomer: None}
        seen = {goal}
        walked = _Walked()
        line = deque([newcomer])
        while line:
            claim = line.popleft()
            places = (place for _, place in self._places_of(claim))
            # What blocks the newcomer and is its own closes no circle, but does so for others: each has to see it.
            ahead = (one for place in places for one in (_Walked() if claim is newcomer else walked).back(claim, place))
            for earlier in chain(ahead, across if claim is newcomer else claim.blockers):
                if earlier.strand == goal and (claim is not newcomer or newcomer.task is not None):
                    return _way(claim, came_by)
                if earlier.strand not in seen:
                    seen.add(earlier.strand)
                    for waiting in self._strands[earlier.strand]:
                        if waiting.token is None:
                            came_by[waiting] = claim
                            line.append(waiting)
        return None

    # --- for tests ---

    def check(self, sessions: Iterable[Session], granting: bool) -> None:
        """Assert the rules of this module, by looking at every pair. While `granting`, who is ready is granted."""
        claims = sorted((claim for session in sessions for claim in session.claims), key=lambda claim: claim.serial)
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
            assert (claim.token is None) == (claim.session.waiting.get(claim.id) is claim)
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


def _conflict(claim: Claim, other: Claim) -> bool:
    if claim.ns != other.ns or not claim.conflicts(other):
        return False
    return any(
        other.covers(name) for name in claim.names
    ) or any(claim.covers(name) for name in other.names) or any(
        overlap(mine, yours) for mine in claim.patterns for yours in other.patterns
    )  # fmt: skip


def _is_waited_for(claim: Claim) -> bool:
    """Whether somebody may wait for it: False is certain."""
    return bool(claim.blocking) or any(
        (place.queue.next if place.front else place.after) is not None for place in claim.places
    )


def _meet(newcomer: Claim, claim: Claim, across: dict[Claim, None]) -> bool:
    """Whether a newcomer, of which `across` is known, conflicts with this claim."""
    by_name = newcomer.ns == claim.ns and not set(newcomer.names).isdisjoint(claim.names)
    return claim in across or (by_name and newcomer.conflicts(claim))


class _Walked:
    """The places of queues that a search for a circle has seen, so that it sees each once for each mode."""

    __slots__ = ("_by_exclusive", "_by_shared")

    def __init__(self) -> None:
        self._by_exclusive: set[_Place] = set()
        self._by_shared: set[_Place] = set()

    def back(self, claim: Claim, place: _Place | None) -> Iterator[Claim]:
        """Those that a claim conflicts with from this place on to the front, up to where the search has been."""
        seen = self._by_exclusive if claim.exclusive else self._by_shared
        while place is not None and place not in seen and place not in self._by_exclusive:
            seen.add(place)
            if claim.conflicts(place.claim):
                yield place.claim
            place = place.before


def _way(claim: Claim | None, came_by: dict[Claim, Claim | None]) -> list[Claim]:
    way = []
    while claim is not None:
        way.append(claim)
        claim = came_by[claim]
    return way[::-1]
