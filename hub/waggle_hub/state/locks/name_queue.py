"""The queue of one lock name: every lock request for this name, in order of arrival (`table`, rule 1).

The *grantable prefix* is the longest run of requests at the front in which none conflicts with an earlier one: one
exclusive request, or the shared requests before the first exclusive one. Each request in the prefix is granted as far
as this name goes; the queue of another name, or a pattern, may still block it.

Both operations are cheap however long the queue is: `append` looks at the tail, `remove` at the requests that enter the
prefix.
"""

from __future__ import annotations

from collections.abc import Iterator

from .request import LockRequest


class QueueNode:
    """One request in the queue of one name: a node of a linked list."""

    __slots__ = ("in_prefix", "next", "previous", "queue", "request")

    def __init__(self, queue: NameQueue, request: LockRequest) -> None:
        self.queue = queue
        self.request = request
        self.previous: QueueNode | None = None
        self.next: QueueNode | None = None
        self.in_prefix = False


class NameQueue:
    """The requests for one name as a linked list, with its grantable prefix."""

    __slots__ = ("first", "first_blocked", "last", "shared_prefix", "waiting")

    def __init__(self) -> None:
        self.first: QueueNode | None = None
        self.last: QueueNode | None = None
        self.first_blocked: QueueNode | None = None
        """The first node behind the grantable prefix."""
        self.shared_prefix = True
        """Whether the requests of the prefix are shared; without meaning while the queue is empty."""
        self.waiting = 0
        """Number of requests that wait. `LockTable` counts it, because only the table knows of grants."""

    def admits(self, request: LockRequest) -> bool:
        """Return whether the request would be in the grantable prefix if it were appended now."""
        return self.first is None or (self.first_blocked is None and self.shared_prefix and not request.exclusive)

    def append(self, request: LockRequest) -> QueueNode:
        """Add a request at the end."""
        node = QueueNode(self, request)
        admitted = self.admits(request)
        node.previous = self.last
        if self.last is None:
            self.first = node
        else:
            self.last.next = node
        self.last = node
        if admitted:
            node.in_prefix = True
            self.shared_prefix = not request.exclusive
        elif self.first_blocked is None:
            self.first_blocked = node
        return node

    def remove(self, node: QueueNode) -> list[LockRequest]:
        """Remove a node. Return the requests that enter the grantable prefix because of it."""
        if node.previous is None:
            self.first = node.next
        else:
            node.previous.next = node.next
        if node.next is None:
            self.last = node.previous
        else:
            node.next.previous = node.previous
        if self.first_blocked is node:
            self.first_blocked = node.next
        return self._extend_prefix()

    def _extend_prefix(self) -> list[LockRequest]:
        added = []
        while self.first_blocked is not None:
            prefix_is_empty = self.first is self.first_blocked
            if not prefix_is_empty and not (self.shared_prefix and not self.first_blocked.request.exclusive):
                break
            self.first_blocked.in_prefix = True
            self.shared_prefix = not self.first_blocked.request.exclusive
            added.append(self.first_blocked.request)
            self.first_blocked = self.first_blocked.next
        return added

    def __iter__(self) -> Iterator[LockRequest]:
        node = self.first
        while node is not None:
            yield node.request
            node = node.next

    def prefix(self) -> Iterator[LockRequest]:
        """Yield the requests of the grantable prefix."""
        node = self.first
        while node is not None and node.in_prefix:
            yield node.request
            node = node.next
