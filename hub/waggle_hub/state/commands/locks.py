"""The rules of `lock`, `unlock`, `renew` and `locks`, and what a lock means for writes (protocol 4 and 6, G8).

1. A grant is a change like any other: it takes a revision, which is the token of the lock.
2. Releasing a lock is one revision; each request that is ready because of it is granted afterwards in a revision of
   its own, the oldest first (`grant_next`).
3. An exclusive lock keeps other sessions from writing what it is for, unless they send its token as guard.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from waggle.wire import messages as m
from waggle.wire.errors import BadRequest, Deadlock, LimitReached, Locked, NotHolder, TimedOut
from waggle.wire.json import encode
from waggle.wire.names import check_key
from waggle.wire.patterns import Pattern, compile_pattern
from waggle_hub.state import pending
from waggle_hub.state.locks import lifecycle
from waggle_hub.state.locks.request import LockRequest
from waggle_hub.state.namespaces import read_ns, written_ns
from waggle_hub.state.persistence.records import ClaimRecord, ContradictionError
from waggle_hub.state.sessions import Outcome, Session
from waggle_hub.state.store.expiry import deadline_after
from waggle_hub.state.transaction import Transaction

_SHOWN_BYTES = 200
"""Bytes that a holder or waiter takes in a reply, without its names."""


def lock(transaction: Transaction, session: Session, command: m.Lock) -> m.Granted | None:
    """Grant the lock, or let the request wait for it and return None. Raises Locked, Deadlock, LimitReached."""
    transaction.check_can_persist()
    request = _checked_request(transaction, session, command)
    _check_wait(transaction, command.wait)
    lock_table = transaction.state.lock_table
    _check_request_counts(transaction, request)
    conflicts = lock_table.pattern_conflicts(request)
    _check_conflict_pairs(transaction, conflicts)
    if lock_table.admits(request, conflicts):
        lifecycle.add(transaction, request, conflicts)
        return grant(transaction, request)
    if command.wait == 0:
        details = _what_blocks(transaction, request, conflicts)
        raise Locked(f"{_subject(request)} is locked: wait for it, or try again later", **details)
    pending.check_capacity(transaction, session)
    # Before the request is added: a refused command must leave nothing behind.
    cycle = lock_table.find_cycle(request, conflicts)
    if cycle is not None:
        raise Deadlock(
            f"waiting for {_subject(request)} would be a deadlock: each request of the cycle waits for the next. "
            "Release what you hold, then try again",
            cycle=[_cycle_member(member) for member in _limited(cycle, transaction.state.limits.page_bytes)],
        )
    lifecycle.add(transaction, request, conflicts)
    deadline = None if command.wait is None else deadline_after(transaction.now, command.wait)
    pending.start(transaction, request, deadline)
    lifecycle.publish_queue_length(transaction, request)
    return None


def grant(transaction: Transaction, request: LockRequest) -> m.Granted:
    """Grant a ready request. Return the reply to its session."""
    expires_at = deadline_after(transaction.now, request.ttl)
    lifecycle.grant(transaction, request, expires_at)
    assert request.token is not None
    return m.Granted(
        token=request.token,
        mode=request.mode,
        expires_at=expires_at,
        waited=round(transaction.at - request.since, 3),
        names=request.shown_names,
        patterns=request.shown_patterns,
    )


def grant_next(transaction: Transaction) -> bool:
    """Grant the oldest request that has become ready, in a revision of its own. Return False if there is none."""
    request = transaction.state.lock_table.next_ready()
    if request is None:
        return False
    transaction.attribute_to(request.session)
    granted = grant(transaction, request)
    transaction.commit()
    pending.reply(transaction, request, Outcome(ok=granted))
    return True


def restore(transaction: Transaction, session: Session, record: ClaimRecord) -> LockRequest:
    """Add a stored request again, behind those with lower serials. `restore_grant` then makes it held or pending."""
    lock_table = transaction.state.lock_table
    request = LockRequest(
        record.serial,
        session,
        record.id,
        record.rid,
        record.since,
        ns=record.ns,
        names=tuple(record.names),
        patterns=tuple(compile_pattern(text) for text in record.patterns),
        mode=record.mode,
        ttl=record.ttl,
        task=record.task,
        taken=record.taken,
    )
    lock_table.add(request, lock_table.pattern_conflicts(request))
    transaction.state.work_queues.discard_locked(request)
    return request


def restore_grant(transaction: Transaction, request: LockRequest, record: ClaimRecord, earliest_expiry: float) -> None:
    """Make a restored request a held lock again, or a pending one.

    A held lock expires at `earliest_expiry` or later, so that its agent can reconnect before another one gets it.
    """
    if record.token is not None:
        if not request.ready:
            raise ContradictionError(
                f"the lock {', '.join((*record.names, *record.patterns))} in namespace {record.ns} has two holders"
            )
        transaction.state.lock_table.grant(request, record.token, record.granted_at)
        transaction.state.timers.set(request, max(record.deadline or earliest_expiry, earliest_expiry))
    else:
        pending.register(request)
        transaction.state.timers.set(request, record.deadline)
        # What blocked it may have been released while the journal failed and nothing could be granted.
        transaction.state.lock_table.queue_if_ready(request)


def unlock(transaction: Transaction, session: Session, command: m.Unlock) -> m.Revised:
    """Release a lock of this session; with `force`, any lock."""
    if command.force:
        for request in _locks_to_force(transaction, session, command):
            message = f"{session.agent} freed it: {command.reason}"
            lifecycle.release(transaction, request, "forced", lost=True, message=message)
        return m.Revised(transaction.rev)
    if command.name is not None or command.reason is not None:
        field = "name" if command.name is not None else "reason"
        raise BadRequest(f"{field} goes with force: to release your own lock, send its token", field=field)
    lifecycle.release(transaction, _held_by(transaction, session, command.token), "released")
    return m.Revised(transaction.rev)


def renew(transaction: Transaction, session: Session, command: m.Renew) -> m.Renewed:
    """Give a lock of this session its ttl again, or another ttl, from now on."""
    ttl = command.ttl
    if ttl is not None:
        check_ttl(transaction, ttl)
    request = _held_by(transaction, session, command.token)
    expires_at = deadline_after(transaction.now, request.ttl if ttl is None else ttl)
    lifecycle.renew(transaction, request, expires_at)
    return m.Renewed(expires_at, transaction.rev)


def locks(transaction: Transaction, session: Session, command: m.Locks) -> m.HeldLocks:
    """Return the held locks of a namespace, or of all, with a name or pattern text that matches; as many as fit."""
    pattern = None if command.pattern is None else compile_pattern(command.pattern)
    ns = "*" if command.ns == "*" else read_ns(command.ns, session)
    held_locks: list[m.HeldLock] = []
    bytes_left = transaction.state.limits.page_bytes
    for request in transaction.state.lock_table.held.values():
        if ns in ("*", request.ns) and (pattern is None or any(pattern.match(key) for key in request.keys)):
            held_lock = show_held(transaction, request)
            bytes_left -= len(encode(held_lock))
            if bytes_left < 0:
                return m.HeldLocks(held_locks, cut=True)
            held_locks.append(held_lock)
    return m.HeldLocks(held_locks)


def stop_waiting(transaction: Transaction, request: LockRequest) -> None:
    """Remove a waiting request, and publish the new queue length. The caller replies to it."""
    lifecycle.remove(transaction, request)
    lifecycle.publish_queue_length(transaction, request)


def time_out(transaction: Transaction, request: LockRequest) -> None:
    """Release a lock whose ttl is over, or answer a waiting request whose deadline has passed with an error."""
    if request.token is not None:
        lifecycle.release(transaction, request, "expired", lost=True)
        transaction.commit()
        return
    # Before the request is removed, which forgets what blocks it.
    details = _what_blocks(transaction, request, request.pattern_blockers)
    stop_waiting(transaction, request)
    transaction.commit()
    error = TimedOut(f"{_subject(request)} was not free in time: another agent holds it, or asked first", **details)
    pending.reply(transaction, request, Outcome(error=error))


# --- what a lock means for writes --------------------------------------------------------------------------------


def check_write(transaction: Transaction, session: Session, ns: str, key: str, guard: m.Guard | None) -> None:
    """Raise NotHolder if the guard's lock is not held, Locked if another session's exclusive lock is on this key."""
    lock_table = transaction.state.lock_table
    if guard is not None and guard.token not in lock_table.held:
        raise NotHolder(f"no lock with token {guard.token} is held now: it was released or lost. Lock again")
    if not lock_table.held:
        return
    holder = lock_table.exclusive_holder(ns, key)
    if holder is not None and holder.session is not session and (guard is None or guard.token != holder.token):
        raise Locked(f"{key!r} is under the lock of {holder.agent}: wait for it", holders=[_holder(holder, session)])


def check_clear(transaction: Transaction, session: Session, ns: str, pattern: Pattern) -> None:
    """Raise Locked if another session's exclusive lock is on anything that this pattern could match."""
    for request in transaction.state.lock_table.held_locks_overlapping(ns, pattern):
        if request.exclusive and request.session is not session:
            raise Locked(
                f"{_subject(request)} is under the lock of {request.agent}: wait for it, or clear less",
                holders=[_holder(request, session)],
            )


# --- for replies -------------------------------------------------------------------------------------------------


def show_held(transaction: Transaction, request: LockRequest) -> m.HeldLock:
    """Return a held lock for a reply, with the requests that wait for it: as many as fit into an eighth of a page."""
    waiters = _limited(transaction.state.lock_table.waiters_of(request), transaction.state.limits.page_bytes // 8)
    assert request.token is not None
    assert request.deadline is not None
    return m.HeldLock(
        ns=request.ns,
        mode=request.mode,
        agent=request.agent,
        session=request.session.id,
        token=request.token,
        since=request.granted_at,
        expires_at=request.deadline,
        queue=[_waiter(waiter) for waiter in waiters],
        names=request.shown_names,
        patterns=request.shown_patterns,
    )


def blocking_holders(
    transaction: Transaction, request: LockRequest, pattern_conflicts: dict[LockRequest, None] | None = None
) -> list[m.Holder]:
    """Return the holders that a request waits for, as many as fit into a reply.

    `pattern_conflicts` is for a request that has not been added to the table.
    """
    limits = transaction.state.limits
    conflicts = request.pattern_blockers if pattern_conflicts is None else pattern_conflicts
    blocking = transaction.state.lock_table.blocking_locks(request, conflicts)
    return [_holder(held, request.session) for held in _limited(blocking[: limits.holders], limits.page_bytes)]


def _what_blocks(
    transaction: Transaction, request: LockRequest, pattern_conflicts: dict[LockRequest, None]
) -> dict[str, object]:
    """Return the details of a refusal: the holders, and how many requests wait ahead."""
    return {
        "holders": blocking_holders(transaction, request, pattern_conflicts),
        "queued": transaction.state.lock_table.waiting_ahead_count(request, pattern_conflicts),
    }


def _holder(request: LockRequest, session: Session) -> m.Holder:
    assert request.token is not None
    assert request.deadline is not None
    return m.Holder(
        agent=request.agent,
        session=request.session.id,
        mode=request.mode,
        since=request.granted_at,
        expires_at=request.deadline,
        self=request.session is session,
        names=request.shown_names,
        patterns=request.shown_patterns,
    )


def _waiter(request: LockRequest) -> m.Waiter:
    return m.Waiter(
        agent=request.agent,
        session=request.session.id,
        mode=request.mode,
        since=request.since,
        names=request.shown_names,
        patterns=request.shown_patterns,
    )


def _cycle_member(request: LockRequest) -> dict[str, object]:
    wanted = {"names": request.shown_names} if request.names else {"patterns": request.shown_patterns}
    return {"agent": request.agent, "session": request.session.id, **wanted}


def _limited(requests: Iterable[LockRequest], max_bytes: int) -> Iterator[LockRequest]:
    """Yield requests as long as they take no more than so many bytes in a reply."""
    bytes_left = max_bytes
    for request in requests:
        bytes_left -= _SHOWN_BYTES + sum(len(key.encode()) for key in request.keys)
        if bytes_left < 0:
            return
        yield request


def _subject(request: LockRequest) -> str:
    """Return what a request is for, in words for an error message."""
    first, *others = request.keys
    return repr(first) + (f" (and {len(others)} more)" if others else "")


# --- checking ----------------------------------------------------------------------------------------------------


def _checked_request(transaction: Transaction, session: Session, command: m.Lock) -> LockRequest:
    limits = transaction.state.limits
    ns = written_ns(command.ns, session)
    given = [field for field in ("name", "names", "pattern", "patterns") if getattr(command, field) is not None]
    if len(given) != 1:
        field = given[1] if given else "name"
        raise BadRequest("a lock has exactly one of name, names, pattern and patterns", field=field)
    names = tuple(dict.fromkeys([command.name] if command.name is not None else command.names or ()))
    texts = [command.pattern] if command.pattern is not None else command.patterns or []
    if not names and not texts:
        raise BadRequest(f"{given[0]} is empty: say what to lock", field=given[0])
    _check_length(given[0], len(names), limits.names)
    _check_length(given[0], len(texts), limits.lock_patterns)
    for name in names:
        check_key(name, given[0])
    if command.task is not None and not 1 <= len(command.task) <= limits.task:
        raise BadRequest(f"task must be 1 to {limits.task} characters", field="task")
    check_ttl(transaction, command.ttl)
    return LockRequest(
        transaction.state.timers.next_serial(),
        session,
        command.id,
        command.rid,
        transaction.at,
        ns=ns,
        names=names,
        patterns=tuple(dict.fromkeys(compile_pattern(text, given[0]) for text in texts)),
        mode=command.mode,
        ttl=command.ttl,
        task=command.task,
    )


def _check_length(field: str, length: int, limit: int) -> None:
    if length > limit:
        raise LimitReached(f"{field} has {length}, at most {limit} are taken: lock fewer", limit=limit, field=field)


def check_ttl(transaction: Transaction, ttl: float, field: str = "ttl") -> None:
    """Raise BadRequest if the ttl of a lock, or the lease of a take, is out of range."""
    longest = transaction.state.limits.ttl
    if not 0 < ttl <= longest:
        raise BadRequest(f"{field} must be above 0 and at most {longest:.0f} seconds", field=field)


def _check_wait(transaction: Transaction, wait: float | None) -> None:
    longest = transaction.state.limits.ttl
    if wait is not None and not 0 <= wait <= longest:
        raise BadRequest(f"wait must be 0 to {longest:.0f} seconds, or null to wait without limit", field="wait")


def _check_request_counts(transaction: Transaction, request: LockRequest) -> None:
    limits, lock_table = transaction.state.limits, transaction.state.lock_table
    if len(request.session.lock_requests) >= limits.claims:
        raise LimitReached(f"this session has {limits.claims} locks: release some", limit=limits.claims)
    if request.patterns and lock_table.pattern_request_count(request.ns) >= limits.pattern_locks:
        limit = limits.pattern_locks
        raise LimitReached(f"namespace {request.ns} has {limit} locks on patterns: lock names instead", limit=limit)


def _check_conflict_pairs(transaction: Transaction, pattern_conflicts: dict[LockRequest, None]) -> None:
    limit = transaction.state.limits.conflicts
    if pattern_conflicts and transaction.state.lock_table.conflict_pairs + len(pattern_conflicts) > limit:
        raise LimitReached("too many locks conflict because of patterns: lock names instead", limit=limit)


def _held_by(transaction: Transaction, session: Session, token: int | None) -> LockRequest:
    if token is None:
        raise BadRequest("token is missing: say which lock", field="token")
    request = transaction.state.lock_table.held.get(token)
    if request is None or request.session is not session:
        raise NotHolder(f"this session does not hold a lock with token {token}: it was released or lost. Lock again")
    return request


def _locks_to_force(transaction: Transaction, session: Session, command: m.Unlock) -> Iterable[LockRequest]:
    if not command.reason:
        raise BadRequest("force needs a reason: the agents that lose the lock are told of it", field="reason")
    if len(command.reason) > transaction.state.limits.reason:
        raise BadRequest(f"reason must be at most {transaction.state.limits.reason} characters", field="reason")
    if (command.token is None) == (command.name is None):
        raise BadRequest("pass exactly one of token and name: say which lock", field="token")
    if command.token is not None:
        request = transaction.state.lock_table.held.get(command.token)
        if request is None:
            raise NotHolder(f"no lock with token {command.token} is held")
        return [request]
    assert command.name is not None
    ns = read_ns(command.ns, session)
    requests = transaction.state.lock_table.held_locks_named(ns, command.name)
    if not requests:
        raise NotHolder(f"no lock on {command.name!r} is held in namespace {ns}")
    return requests
