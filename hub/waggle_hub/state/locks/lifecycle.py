"""The life of a lock request inside a transaction: it arrives, is granted, renewed, released, or withdrawn.

Each step keeps the lock table, the timers, the dirty set and the work queues in step, and records the events that tell
of it. Which request may be granted is decided by `table`; which commands may ask for what, by `commands/locks`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from waggle.wire import messages as m
from waggle_hub.state.effects import LockLost
from waggle_hub.state.log import Event, LockInfo

from .request import LockRequest

if TYPE_CHECKING:
    from waggle_hub.state.transaction import Transaction

_RELEASE_REASONS = {"delete": "released", "expire": "expired", "evict": "released"}
"""For each event that ends a taken entry, the reason given for the release of its lock."""


def add(transaction: Transaction, request: LockRequest, pattern_conflicts: dict[LockRequest, None]) -> None:
    """Put a new request behind all others; `pattern_conflicts` are those it conflicts with because of a pattern."""
    transaction.changed = True
    state = transaction.state
    state.lock_table.add(request, pattern_conflicts)
    state.dirty.mark(request)
    state.work_queues.discard_locked(request)


def remove(transaction: Transaction, request: LockRequest) -> None:
    """Remove a request, held or waiting, without an event."""
    transaction.changed = True
    state = transaction.state
    state.lock_table.remove(request)
    state.dirty.mark_removed(request)
    state.timers.set(request, None)
    state.work_queues.add_released(request, state.keyspace, state.lock_table)
    state.release_session(request.session)


def grant(transaction: Transaction, request: LockRequest, expires_at: float) -> None:
    """Grant a request that nothing blocks any more. Its token is the revision of the grant."""
    waited = request.session.pending.get(request.id) is request
    state = transaction.state
    state.lock_table.grant(request, transaction.next_rev, transaction.at)
    state.timers.set(request, expires_at)
    state.dirty.mark(request)
    info = request.info()
    for key in request.keys:
        transaction.record_event("lock", request.ns, key, lock=info)
    if waited:
        publish_queue_length(transaction, request)


def renew(transaction: Transaction, request: LockRequest, expires_at: float) -> None:
    """Give a lock that is held a new deadline."""
    assert request.token is not None
    transaction.state.timers.set(request, expires_at)
    transaction.state.dirty.mark(request)
    info = LockInfo(session=request.session.id, token=request.token, expires_at=expires_at)
    for key in request.keys:
        transaction.record_event("renew", request.ns, key, lock=info)


def release(
    transaction: Transaction, request: LockRequest, reason: str, *, lost: bool = False, message: str = ""
) -> None:
    """Release a lock that is held. If `lost`, its holder is notified after the commit, with this message."""
    assert request.token is not None
    remove(transaction, request)
    transaction.released_locks.append(request)
    info = LockInfo(session=request.session.id, token=request.token)
    for key in request.keys:
        transaction.record_event("unlock", request.ns, key, reason=reason, lock=info)
    if lost:
        lost_lock = m.LostLock(
            token=request.token, reason=reason, names=request.shown_names, patterns=request.shown_patterns,
            message=message,
        )  # fmt: skip
        transaction.lost_locks.append((request.session, LockLost(request.session.id, lost_lock)))


def release_ended_work(transaction: Transaction, events: Iterable[Event]) -> None:
    """Release the lock of each taken entry that ends with one of these events, however it ends."""
    taken = transaction.state.lock_table.taken
    if not taken:
        return
    # A copy: each release adds an event to the open commit.
    for event in list(events):
        request = taken.get((event.ns, event.key)) if event.type in _RELEASE_REASONS else None
        if request is not None:
            # A worker that deletes its own job knows; any other end of the job is a loss for it.
            lost = event.origin != request.session.id
            release(transaction, request, _RELEASE_REASONS[event.type], lost=lost)


def publish_queue_length(transaction: Transaction, request: LockRequest) -> None:
    """Record that the number of waiters changed, for each name or pattern of a request."""
    for key in request.keys:
        waiting = transaction.state.lock_table.waiting_count(request, key)
        info = LockInfo(session=request.session.id, waiting=waiting)
        transaction.record_event("queue", request.ns, key, lock=info)
