"""Deadlock detection: a breadth-first search for a cycle in the wait-for graph (protocol 6).

The nodes of the graph are lock owners: a session, or one task of a session. An edge leads from owner A to owner B if a
waiting request of A conflicts with an earlier request of B, held or waiting.

1. Only the arrival of a request adds edges, and they start at its owner. So a new cycle contains that owner, and one
   search for each request that has to wait, from its owner back to its owner, finds every deadlock before it exists.
2. The search is breadth-first: the cycle that it reports is a shortest one.
3. It is not started if no request waits for one of that owner, and it visits each node of a name queue at most twice,
   once for each lock mode.
4. A session without tasks may have unrelated work under way at once. So a request without a task does not deadlock
   with an earlier request of its own owner; a request with a task does, which is a cycle of length one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

from .name_queue import QueueNode
from .request import LockOwner, LockRequest


def find_cycle(
    newcomer: LockRequest,
    pattern_conflicts: dict[LockRequest, None],
    queue_tails: Iterable[QueueNode],
    requests_of: Mapping[LockOwner, dict[LockRequest, None]],
) -> list[LockRequest] | None:
    """Return the waiting requests of the cycle that a newcomer would close, the newcomer first; None if it closes none.

    The newcomer is not in the table yet: it would conflict with `pattern_conflicts` because of a pattern, and join the
    queues that end with `queue_tails`. `requests_of` has all requests of each owner.
    """
    owner = newcomer.owner
    own_requests = requests_of.get(owner)
    if own_requests is None:
        return None
    if not any(_may_be_waited_for(request) for request in own_requests):
        # No edge leads to this owner yet, so the only possible cycle is the newcomer's edge to its own owner (rule 4).
        waits_for_itself = newcomer.task is not None and any(
            _conflicts(newcomer, request, pattern_conflicts) for request in own_requests
        )
        return [newcomer] if waits_for_itself else None
    parent: dict[LockRequest, LockRequest | None] = {newcomer: None}
    visited_owners = {owner}
    visited = _VisitedNodes()
    unvisited = deque([newcomer])
    while unvisited:
        request = unvisited.popleft()
        if request is newcomer:
            # These visits are not remembered in `visited`. The newcomer may pass over requests of its own owner
            # (rule 4), but another owner that reaches them has closed the cycle, so it must not skip them.
            earlier_requests = chain(_VisitedNodes().conflicts_ahead(request, queue_tails), pattern_conflicts)
        else:
            nodes_ahead = (node.previous for node in request.nodes)
            earlier_requests = chain(visited.conflicts_ahead(request, nodes_ahead), request.pattern_blockers)
        for earlier in earlier_requests:
            if earlier.owner == owner and (request is not newcomer or newcomer.task is not None):
                return _path_to(request, parent)
            if earlier.owner not in visited_owners:
                visited_owners.add(earlier.owner)
                for waiting in requests_of[earlier.owner]:
                    if waiting.token is None:
                        parent[waiting] = request
                        unvisited.append(waiting)
    return None


def _may_be_waited_for(request: LockRequest) -> bool:
    """Return whether another request may wait for this one. False is certain, True is not."""
    return bool(request.pattern_waiters) or any(
        (node.queue.first_blocked if node.in_prefix else node.next) is not None for node in request.nodes
    )


def _conflicts(newcomer: LockRequest, request: LockRequest, pattern_conflicts: dict[LockRequest, None]) -> bool:
    share_a_name = newcomer.ns == request.ns and not set(newcomer.names).isdisjoint(request.names)
    return request in pattern_conflicts or (share_a_name and newcomer.modes_conflict(request))


class _VisitedNodes:
    """The queue nodes that a search has visited. A visit for an exclusive request also covers every shared one."""

    __slots__ = ("_for_exclusive", "_for_shared")

    def __init__(self) -> None:
        self._for_exclusive: set[QueueNode] = set()
        self._for_shared: set[QueueNode] = set()

    def conflicts_ahead(self, request: LockRequest, nodes: Iterable[QueueNode | None]) -> Iterator[LockRequest]:
        """Yield the requests that `request` conflicts with, from each of these nodes to the front of its queue.

        A walk stops at a visited node: the search has been through everything ahead of it.
        """
        visited = self._for_exclusive if request.exclusive else self._for_shared
        for node in nodes:
            while node is not None and node not in visited and node not in self._for_exclusive:
                visited.add(node)
                if request.modes_conflict(node.request):
                    yield node.request
                node = node.previous


def _path_to(request: LockRequest | None, parent: dict[LockRequest, LockRequest | None]) -> list[LockRequest]:
    path = []
    while request is not None:
        path.append(request)
        request = parent[request]
    return path[::-1]
