"""The lock table: all lock requests, held or waiting, and what blocks each of them (protocol 6, G8).

The law: a request is granted when no earlier request that it conflicts with is left, held or waiting. So no request is
ever overtaken by a later one that it conflicts with, two conflicting locks are never held at once, and a stream of
shared locks does not starve an exclusive one. Two requests conflict when they are in the same namespace, some string
matches both, and not both are shared.

How the table keeps the law without comparing each command with all requests:

1. *Names against names.* Each name in use has a queue of its requests, in order of arrival (`name_queue`). Those that
   conflict with no earlier request of the queue form its grantable prefix. A request counts the queues in which it is
   behind that prefix (`blocked_queues`). Thousands may wait for one name: an arrival looks only at the tail of the
   queue, a departure only at the requests that enter the prefix.
2. *Patterns.* If two requests conflict because one of them has a pattern, the pair is stored: in `pattern_blockers` of
   the later request and in `pattern_waiters` of the earlier one. Only an arrival adds pairs, only a departure removes
   them.
3. A request is *ready* when it is blocked in no queue and has no pattern blockers. The transaction grants the requests
   that have become ready, the lowest serial first.

`deadlock` finds the cycle that a new request would close.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import heappop, heappush
from itertools import chain

from sortedcontainers import SortedDict

from waggle.wire.patterns import Pattern
from waggle_hub.state.patterns.overlap import overlap
from waggle_hub.state.patterns.pattern_index import PatternIndex
from waggle_hub.state.sessions import Session

from .deadlock import find_cycle
from .name_queue import NameQueue, QueueNode
from .request import LockOwner, LockRequest


class _NamespaceTable:
    """The requests of one namespace, by name and by pattern."""

    def __init__(self) -> None:
        self.queues: SortedDict[str, NameQueue] = SortedDict()
        """By name. No queue is empty."""
        self.pattern_index: PatternIndex[LockRequest] = PatternIndex()
        """The requests with patterns, to be found by a key that they match."""
        self.by_pattern: dict[Pattern, dict[LockRequest, None]] = {}
        self.waiting_by_pattern_text: dict[str, int] = {}
        """Number of requests that wait for a pattern, by its text."""
        self.requests = 0

    def requests_on_key(self, key: str) -> Iterator[LockRequest]:
        """Yield each request for this key, held or waiting."""
        queue = self.queues.get(key)
        if queue is not None:
            yield from queue
        if self.by_pattern:
            yield from self.pattern_index.find(key)

    def requests_overlapping(self, pattern: Pattern) -> Iterator[LockRequest]:
        """Yield each request for anything that the pattern could match too; one with several such names repeatedly."""
        yield from self._requests_on_names_matching(pattern)
        for other, requests in self.by_pattern.items():
            if overlap(pattern, other):
                yield from requests

    def _requests_on_names_matching(self, pattern: Pattern) -> Iterator[LockRequest]:
        if pattern.exact is not None:
            yield from self.queues.get(pattern.exact, ())
            return
        for name in self.queues.irange(minimum=pattern.prefix):
            if not name.startswith(pattern.prefix):
                break
            if pattern.match(name):
                yield from self.queues[name]


class LockTable:
    """All lock requests of the hub. A *newcomer* below is a request that has not been added yet."""

    def __init__(self) -> None:
        self.held: dict[int, LockRequest] = {}
        """The held locks by token, in the order of their grants."""
        self.taken: dict[tuple[str, str], LockRequest] = {}
        """The held locks of taken entries, by namespace and key."""
        self.waiting = 0
        """Number of requests that wait."""
        self.conflict_pairs = 0
        """Number of stored pairs (rule 2)."""
        self._ready: list[tuple[int, LockRequest]] = []
        """A heap of requests that have become ready, with their serials. Some may have left since."""
        self._namespaces: dict[str, _NamespaceTable] = {}
        self._by_owner: dict[LockOwner, dict[LockRequest, None]] = {}

    # --- reading ---

    def exclusive_holder(self, ns: str, key: str) -> LockRequest | None:
        """Return the exclusive lock that is held on this key, by name or by pattern. There is at most one."""
        space = self._namespaces.get(ns)
        if space is None:
            return None
        queue: NameQueue | None = space.queues.get(key)
        if queue is not None and queue.first is not None:
            first = queue.first.request
            # By the law a held exclusive lock is the first of its queue.
            if not queue.shared_prefix and first.token is not None:
                return first
        if not space.by_pattern:
            return None
        matching = space.pattern_index.find(key)
        return next((request for request in matching if request.exclusive and request.token is not None), None)

    def held_locks_on_key(self, ns: str, key: str) -> Iterator[LockRequest]:
        """Yield the locks that are held on this key, by name or by pattern."""
        space = self._namespaces.get(ns)
        if space is not None:
            queue = space.queues.get(key)
            requests = chain(queue.prefix() if queue is not None else (), space.pattern_index.find(key))
            yield from (request for request in requests if request.token is not None)

    def held_locks_overlapping(self, ns: str, pattern: Pattern) -> Iterator[LockRequest]:
        """Yield the locks that are held on anything that the pattern could match."""
        space = self._namespaces.get(ns)
        if space is not None:
            yield from (request for request in space.requests_overlapping(pattern) if request.token is not None)

    def held_locks_named(self, ns: str, name: str) -> list[LockRequest]:
        """Return the locks that are held on exactly this name, or on a pattern with exactly this text."""
        space = self._namespaces.get(ns)
        if space is None:
            return []
        by_name = space.queues.get(name, ())
        by_pattern = (request for requests in space.by_pattern.values() for request in requests)
        requests = dict.fromkeys([*by_name, *(request for request in by_pattern if name in request.keys)])
        return [request for request in requests if request.token is not None]

    def has_request_for_name(self, ns: str, name: str) -> bool:
        """Return whether a request, held or waiting, is for exactly this name."""
        space = self._namespaces.get(ns)
        return space is not None and name in space.queues

    def has_request_on_key(self, ns: str, key: str) -> bool:
        """Return whether a request, held or waiting, is for this key, by name or by pattern."""
        space = self._namespaces.get(ns)
        return space is not None and next(space.requests_on_key(key), None) is not None

    def covers_all(self, ns: str, patterns: tuple[Pattern, ...]) -> bool:
        """Return whether requests, held or waiting, are for everything that these patterns could match.

        False may be wrong: only equal patterns, and prefixes followed by one star, are considered.
        """
        space = self._namespaces.get(ns)
        if space is None:
            return False
        prefixes = [pattern.prefix for pattern in space.by_pattern if pattern.only_prefix]
        return all(
            pattern in space.by_pattern or any(pattern.prefix.startswith(prefix) for prefix in prefixes)
            for pattern in patterns
        )

    def pattern_request_count(self, ns: str) -> int:
        """Return the number of requests of a namespace that have patterns, counted once for each pattern."""
        space = self._namespaces.get(ns)
        return 0 if space is None else sum(len(requests) for requests in space.by_pattern.values())

    def waiting_count(self, request: LockRequest, key: str) -> int:
        """Return how many requests wait for this one of the names of a request, or for a pattern of this text."""
        space = self._namespaces.get(request.ns)
        if space is None:
            return 0
        if request.patterns:
            return space.waiting_by_pattern_text.get(key, 0)
        queue = space.queues.get(key)
        return 0 if queue is None else queue.waiting

    # --- what blocks a request, and what it blocks ---

    def pattern_conflicts(self, newcomer: LockRequest) -> dict[LockRequest, None]:
        """Return the requests that a newcomer conflicts with because of a pattern, its own or theirs."""
        space = self._namespaces.get(newcomer.ns)
        if space is None:
            return {}
        candidates: Iterable[LockRequest] = ()
        if newcomer.patterns:
            candidates = (request for pattern in newcomer.patterns for request in space.requests_overlapping(pattern))
        elif space.by_pattern:
            candidates = (request for name in newcomer.names for request in space.pattern_index.find(name))
        return {request: None for request in candidates if newcomer.modes_conflict(request)}

    def admits(self, newcomer: LockRequest, pattern_conflicts: dict[LockRequest, None]) -> bool:
        """Return whether a newcomer with these conflicts would be ready at once."""
        space = self._namespaces.get(newcomer.ns)
        if space is None:
            return True
        queues = (space.queues.get(name) for name in newcomer.names)
        return not pattern_conflicts and all(queue is None or queue.admits(newcomer) for queue in queues)

    def blocking_locks(self, request: LockRequest, pattern_conflicts: dict[LockRequest, None]) -> list[LockRequest]:
        """Return the held locks that a request or newcomer with these conflicts waits for, oldest first."""
        blocking = dict(pattern_conflicts)
        for queue, _ in self._queues_ahead(request):
            blocking.update((other, None) for other in queue.prefix() if request.modes_conflict(other))
        return sorted((other for other in blocking if other.token is not None), key=lambda other: other.serial)

    def waiting_ahead_count(self, request: LockRequest, pattern_conflicts: dict[LockRequest, None]) -> int:
        """Return how many requests ahead of a request or newcomer with these conflicts wait and conflict with it."""
        queues_ahead = self._queues_ahead(request)
        if len(queues_ahead) == 1 and not pattern_conflicts and not request.nodes and request.exclusive:
            return queues_ahead[0][0].waiting  # the usual case, without walking through the queue
        waiting = {other for other in pattern_conflicts if other.token is None}
        for _, node in queues_ahead:
            while node is not None:
                if node.request.token is None and request.modes_conflict(node.request):
                    waiting.add(node.request)
                node = node.previous
        return len(waiting)

    def waiters_of(self, held: LockRequest) -> list[LockRequest]:
        """Return the requests that wait for a held lock, in order of arrival."""
        waiters = dict.fromkeys(held.pattern_waiters)
        for node in held.nodes:
            waiters.update(
                (request, None) for request in node.queue if request.token is None and request.modes_conflict(held)
            )
        return sorted(waiters, key=lambda request: request.serial)

    def find_cycle(self, newcomer: LockRequest, pattern_conflicts: dict[LockRequest, None]) -> list[LockRequest] | None:
        """Return the waiting requests of the cycle that a newcomer with these conflicts would close, or None."""
        tails = [tail for _, tail in self._queues_ahead(newcomer) if tail is not None]
        return find_cycle(newcomer, pattern_conflicts, tails, self._by_owner)

    def _queues_ahead(self, request: LockRequest) -> list[tuple[NameQueue, QueueNode | None]]:
        """Return the queues that a request is in, or that a newcomer would join, each with the node ahead of it."""
        if request.nodes:
            return [(node.queue, node.previous) for node in request.nodes]
        space = self._namespaces.get(request.ns)
        queues = [] if space is None else [space.queues.get(name) for name in request.names]
        return [(queue, queue.last) for queue in queues if queue is not None]

    # --- changing ---

    def add(self, newcomer: LockRequest, pattern_conflicts: dict[LockRequest, None]) -> None:
        """Add a request behind all others. `pattern_conflicts` is what the method of this name has just returned."""
        space = self._namespaces.get(newcomer.ns)
        if space is None:
            space = self._namespaces[newcomer.ns] = _NamespaceTable()
        space.requests += 1
        for name in newcomer.names:
            queue = space.queues.get(name)
            if queue is None:
                queue = space.queues[name] = NameQueue()
            node = queue.append(newcomer)
            queue.waiting += 1
            newcomer.nodes.append(node)
            newcomer.blocked_queues += not node.in_prefix
        for pattern in newcomer.patterns:
            space.pattern_index.add(pattern, newcomer)
            space.by_pattern.setdefault(pattern, {})[newcomer] = None
            waiting = space.waiting_by_pattern_text.get(pattern.text, 0)
            space.waiting_by_pattern_text[pattern.text] = waiting + 1
        newcomer.pattern_blockers = pattern_conflicts
        self.conflict_pairs += len(pattern_conflicts)
        for blocker in pattern_conflicts:
            blocker.pattern_waiters[newcomer] = None
        newcomer.session.lock_requests[newcomer] = None
        self._by_owner.setdefault(newcomer.owner, {})[newcomer] = None
        self.waiting += 1

    def grant(self, request: LockRequest, token: int, at: float) -> None:
        """Make a ready request a held lock."""
        assert request.ready
        assert request.token is None
        self._stop_waiting(request)
        request.token = token
        request.granted_at = at
        self.held[token] = request
        if request.taken:
            self.taken[request.ns, request.names[0]] = request

    def remove(self, request: LockRequest) -> None:
        """Remove a held lock, or a request that waits no longer. `next_ready` returns what is ready because of it."""
        space = self._namespaces[request.ns]
        if request.token is None:
            self._stop_waiting(request)
        else:
            del self.held[request.token]
            if request.taken:
                del self.taken[request.ns, request.names[0]]
        for node, name in zip(request.nodes, request.names, strict=True):
            for unblocked in node.queue.remove(node):
                unblocked.blocked_queues -= 1
                self.queue_if_ready(unblocked)
            if node.queue.first is None:
                del space.queues[name]
        for pattern in request.patterns:
            space.pattern_index.remove(pattern, request)
            del space.by_pattern[pattern][request]
            if not space.by_pattern[pattern]:
                del space.by_pattern[pattern]
        for blocker in request.pattern_blockers:
            del blocker.pattern_waiters[request]
        for waiter in request.pattern_waiters:
            del waiter.pattern_blockers[request]
            self.queue_if_ready(waiter)
        self.conflict_pairs -= len(request.pattern_blockers) + len(request.pattern_waiters)
        del request.session.lock_requests[request]
        requests_of_owner = self._by_owner[request.owner]
        del requests_of_owner[request]
        if not requests_of_owner:
            del self._by_owner[request.owner]
        space.requests -= 1
        if not space.requests:
            del self._namespaces[request.ns]

    @property
    def any_ready(self) -> bool:
        """Whether `next_ready` may return a request."""
        return bool(self._ready)

    def next_ready(self) -> LockRequest | None:
        """Remove and return the oldest request that is ready to be granted."""
        while self._ready:
            _, request = heappop(self._ready)
            # A request may have been cancelled, or queued twice and granted, since it was queued here.
            if request in request.session.lock_requests and request.token is None:
                return request
        return None

    def queue_if_ready(self, request: LockRequest) -> None:
        """Queue a waiting request for `next_ready` if it is ready."""
        if request.token is None and request.ready:
            heappush(self._ready, (request.serial, request))

    def _stop_waiting(self, request: LockRequest) -> None:
        self.waiting -= 1
        for node in request.nodes:
            node.queue.waiting -= 1
        space = self._namespaces[request.ns]
        for pattern in request.patterns:
            space.waiting_by_pattern_text[pattern.text] -= 1
            if not space.waiting_by_pattern_text[pattern.text]:
                del space.waiting_by_pattern_text[pattern.text]

    # --- for tests ---

    def check(self, sessions: Iterable[Session], granting: bool) -> None:
        """Assert the rules of this module by comparing every pair. If `granting`, no ready request waits."""
        requests = sorted(
            (request for session in sessions for request in session.lock_requests), key=lambda request: request.serial
        )
        assert len({request.serial for request in requests}) == len(requests)
        assert {request for request in requests if request.token is not None} == set(self.held.values())
        assert self.waiting == sum(request.token is None for request in requests)
        for number, request in enumerate(requests):
            earlier = [other for other in requests[:number] if _conflict(request, other)]
            by_pattern = {other for other in earlier if request.patterns or other.patterns}
            assert set(request.pattern_blockers) == by_pattern
            assert request.ready == (not earlier), "a request is ready if it conflicts with no earlier one"
            assert request.token is None or request.ready
            assert request.token is not None or not request.ready or not granting, "a ready request is granted"
            assert request.token is None or request.deadline is not None, "a lock has a ttl"
            assert (request.token is None) == (request.session.pending.get(request.id) is request)
            assert all(request in other.pattern_waiters for other in by_pattern)
        assert self.conflict_pairs == sum(len(request.pattern_blockers) for request in requests)
        assert not self._ready or not granting
        assert sum(space.requests for space in self._namespaces.values()) == len(requests)
        for space in self._namespaces.values():
            assert space.requests
            for queue in space.queues.values():
                assert queue.first is not None
                assert queue.waiting == sum(request.token is None for request in queue)
        for (ns, key), request in self.taken.items():
            assert request.taken
            assert (request.ns, request.names) == (ns, (key,))


def _conflict(request: LockRequest, other: LockRequest) -> bool:
    if request.ns != other.ns or not request.modes_conflict(other):
        return False
    return any(
        other.covers(name) for name in request.names
    ) or any(request.covers(name) for name in other.names) or any(
        overlap(mine, theirs) for mine in request.patterns for theirs in other.patterns
    )  # fmt: skip
