"""Deadlock: the circle that a newcomer would close (protocol 6).

The strands (session and task) are the nodes of a graph, with an edge from each strand that waits to those that hold, or
asked earlier for, what its claim conflicts with. Only an arrival makes edges, so a circle can only close with the
newcomer, and `circle` looks for the shortest way from it back to its own strand. It looks at each place of a queue once
or twice, and at none where nobody waits for what the strand has.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

from .name_queue import Place
from .request import LockOwner, LockRequest


def circle(
    newcomer: LockRequest,
    across: dict[LockRequest, None],
    before: Iterable[Place],
    strands: Mapping[LockOwner, dict[LockRequest, None]],
) -> list[LockRequest] | None:
    """The waiting claims, the newcomer first, that would wait for each other in a circle; None if none would.

    Of the newcomer is known what it conflicts with by a pattern (`across`), and the tails of the queues it would join
    (`before`); of all others, which claims each strand has.
    """
    goal = newcomer.strand
    own = strands.get(goal)
    if own is None:
        return None
    if not any(_is_waited_for(claim) for claim in own):
        blocks_itself = newcomer.task is not None and any(_meet(newcomer, claim, across) for claim in own)
        return [newcomer] if blocks_itself else None
    came_by: dict[LockRequest, LockRequest | None] = {newcomer: None}
    seen = {goal}
    walked = _Walked()
    line = deque([newcomer])
    while line:
        claim = line.popleft()
        # What blocks the newcomer and is its own closes no circle, but does so for others: each has to see it.
        if claim is newcomer:
            ahead = chain(_Walked().back(claim, before), across)
        else:
            ahead = chain(walked.back(claim, (place.before for place in claim.places)), claim.blockers)
        for earlier in ahead:
            if earlier.strand == goal and (claim is not newcomer or newcomer.task is not None):
                return _way(claim, came_by)
            if earlier.strand not in seen:
                seen.add(earlier.strand)
                for waiting in strands[earlier.strand]:
                    if waiting.token is None:
                        came_by[waiting] = claim
                        line.append(waiting)
    return None


def _is_waited_for(claim: LockRequest) -> bool:
    """Whether somebody may wait for it: False is certain."""
    return bool(claim.blocking) or any(
        (place.queue.next if place.front else place.after) is not None for place in claim.places
    )


def _meet(newcomer: LockRequest, claim: LockRequest, across: dict[LockRequest, None]) -> bool:
    """Whether a newcomer, of which `across` is known, conflicts with this claim."""
    by_name = newcomer.ns == claim.ns and not set(newcomer.names).isdisjoint(claim.names)
    return claim in across or (by_name and newcomer.conflicts(claim))


class _Walked:
    """The places of queues that a search for a circle has seen, so that it sees each once for each mode."""

    __slots__ = ("_by_exclusive", "_by_shared")

    def __init__(self) -> None:
        self._by_exclusive: set[Place] = set()
        self._by_shared: set[Place] = set()

    def back(self, claim: LockRequest, places: Iterable[Place | None]) -> Iterator[LockRequest]:
        """Those that a claim conflicts with from these places on to the front, up to where the search has been."""
        seen = self._by_exclusive if claim.exclusive else self._by_shared
        for place in places:
            while place is not None and place not in seen and place not in self._by_exclusive:
                seen.add(place)
                if claim.conflicts(place.claim):
                    yield place.claim
                place = place.before


def _way(claim: LockRequest | None, came_by: dict[LockRequest, LockRequest | None]) -> list[LockRequest]:
    way = []
    while claim is not None:
        way.append(claim)
        claim = came_by[claim]
    return way[::-1]
