"""The rules of locks: lock, unlock, renew, locks; and what a lock means for writes (protocol 4 and 6, G8).

A grant is an ordinary change: it takes a revision, and that is its token. Whatever frees a lock does so in its own
revision; those who are next are granted after it, each in one of its own (`grant_next`), oldest first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from waggle.wire import messages as m
from waggle.wire.errors import BadRequest, Deadlock, LimitReached, Locked, NotHolder, TimedOut
from waggle.wire.names import Pattern, check_key, compile_pattern
from waggle_hub.state import pending
from waggle_hub.state.locks.request import LockRequest
from waggle_hub.state.namespaces import read_ns, written_ns
from waggle_hub.state.persistence.records import ClaimRecord
from waggle_hub.state.sessions import Outcome, Session
from waggle_hub.state.store.expiry import deadline_after
from waggle_hub.state.transaction import Transaction


def lock(transaction: Transaction, session: Session, command: m.Lock) -> m.Granted | None:
    """Grant it now, or let it wait in its place (None), or refuse."""
    transaction.check_can_persist()
    claim = _claim(transaction, session, command)
    _check_wait(transaction, command.wait)
    claims = transaction.state.lock_table
    _check_numbers(transaction, claim)
    across = claims.pattern_conflicts(claim)
    _check_conflicts(transaction, across)
    if claims.admits(claim, across):
        transaction.add_lock_request(claim, across)
        return grant(transaction, claim)
    if command.wait == 0:
        raise Locked(
            f"{_named(claim)} is locked: wait for it, or try again later", **_in_the_way(transaction, claim, across)
        )
    pending.check_capacity(transaction, session)
    circle = claims.find_cycle(claim, across)
    if circle is not None:
        raise Deadlock(
            f"waiting for {_named(claim)} would close a circle, in which each waits for the next: let go of what you "
            "hold, then try again",
            cycle=[_link(one) for one in _as_fit(circle, transaction.state.limits.page_bytes)],
        )
    transaction.add_lock_request(claim, across)
    deadline = None if command.wait is None else deadline_after(transaction.now, command.wait)
    pending.start(transaction, claim, deadline)
    transaction.publish_queue_length(claim)
    return None


def grant(transaction: Transaction, claim: LockRequest) -> m.Granted:
    """What its session is told of a claim that is held from now on."""
    expires_at = deadline_after(transaction.now, claim.ttl)
    transaction.grant_lock(claim, expires_at)
    assert claim.token is not None
    return m.Granted(
        token=claim.token,
        mode=claim.mode,
        expires_at=expires_at,
        waited=round(transaction.at - claim.since, 3),
        names=claim.shown_names,
        patterns=claim.shown_patterns,
    )


def grant_next(transaction: Transaction) -> bool:
    """Grant a lock that has become free to who is next, in a revision of its own; whether there was one."""
    claim = transaction.state.lock_table.next_ready()
    if claim is None:
        return False
    transaction.attribute_to(claim.session)
    granted = grant(transaction, claim)
    transaction.commit()
    pending.reply(transaction, claim, Outcome(ok=granted))
    return True


def restore(transaction: Transaction, session: Session, record: ClaimRecord) -> LockRequest:
    """A claim comes back as it was kept, behind those with lower serials. Whether it is held is said next."""
    claims = transaction.state.lock_table
    claim = LockRequest(
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
    claims.add(claim, claims.pattern_conflicts(claim))
    transaction.state.work.claimed(claim)
    return claim


def restore_deadline(transaction: Transaction, claim: LockRequest, record: ClaimRecord, until: float) -> None:
    """It is held as it was, `until` then at least, so that its agent can be back before anybody else gets it; or it
    waits as it did."""
    if record.token is not None:
        transaction.state.lock_table.grant(claim, record.token, record.granted_at)
        transaction.state.timers.set(claim, max(record.deadline or until, until))
    else:
        pending.register(claim)
        transaction.state.timers.set(claim, record.deadline)
        transaction.state.lock_table.queue_if_ready(
            claim
        )  # what it waited for may have been freed while nothing could be granted


def unlock(transaction: Transaction, session: Session, command: m.Unlock) -> m.Revised:
    if command.force:
        for claim in _forced(transaction, session, command):
            message = f"{session.agent} freed it: {command.reason}"
            transaction.release_lock(claim, "forced", lost=True, message=message)
        return m.Revised(transaction.rev)
    if command.name is not None or command.reason is not None:
        field = "name" if command.name is not None else "reason"
        raise BadRequest(f"{field} goes with force: your own lock is named by its token", field=field)
    transaction.release_lock(_own(transaction, session, command.token), "released")
    return m.Revised(transaction.rev)


def renew(transaction: Transaction, session: Session, command: m.Renew) -> m.Renewed:
    ttl = command.ttl
    if ttl is not None:
        check_ttl(transaction, ttl)
    claim = _own(transaction, session, command.token)
    expires_at = deadline_after(transaction.now, claim.ttl if ttl is None else ttl)
    transaction.renew_lock(claim, expires_at)
    return m.Renewed(expires_at, transaction.rev)


def locks(transaction: Transaction, session: Session, command: m.Locks) -> m.HeldLocks:
    pattern = None if command.pattern is None else compile_pattern(command.pattern)
    ns = "*" if command.ns == "*" else read_ns(command.ns, session)
    found: list[m.HeldLock] = []
    left = transaction.state.limits.page_bytes
    for claim in transaction.state.lock_table.held.values():
        if ns in ("*", claim.ns) and (pattern is None or any(pattern.match(key) for key in claim.keys)):
            shown = show(transaction, claim)
            left -= len(_encode(shown))
            if left < 0:
                return m.HeldLocks(found, cut=True)
            found.append(shown)
    return m.HeldLocks(found)


def give_up(transaction: Transaction, claim: LockRequest) -> None:
    """It waits no longer, and that is told. The answer is for the caller."""
    transaction.remove_lock_request(claim)
    transaction.publish_queue_length(claim)


def time_out(transaction: Transaction, claim: LockRequest) -> None:
    """Its patience is over, or its ttl: time settles both."""
    if claim.token is not None:
        transaction.release_lock(claim, "expired", lost=True)
        transaction.commit()
        return
    in_the_way = _in_the_way(transaction, claim, claim.pattern_blockers)
    give_up(transaction, claim)
    transaction.commit()
    error = TimedOut(f"{_named(claim)} was not free in time: somebody else holds it, or was first", **in_the_way)
    pending.reply(transaction, claim, Outcome(error=error))


# --- what a lock means for writes --------------------------------------------------------------------------------


def check_write(transaction: Transaction, session: Session, ns: str, key: str, guard: m.Guard | None) -> None:
    """NotHolder if the guard's lock is not held now, Locked if another session's exclusive lock is on this key."""
    claims = transaction.state.lock_table
    if guard is not None and guard.token not in claims.held:
        raise NotHolder(f"no lock with token {guard.token} is held now: it was let go, or lost. Lock again")
    if not claims.held:
        return
    claim = claims.exclusive_holder(ns, key)
    if claim is not None and claim.session is not session and (guard is None or guard.token != claim.token):
        raise Locked(f"{key!r} is under the lock of {claim.agent}: wait for it", holders=[_holder(claim, session)])


def check_clear(transaction: Transaction, session: Session, ns: str, pattern: Pattern) -> None:
    """Locked if another session's exclusive lock is on anything that this pattern could match."""
    for claim in transaction.state.lock_table.held_locks_overlapping(ns, pattern):
        if claim.exclusive and claim.session is not session:
            raise Locked(
                f"{_named(claim)} is under the lock of {claim.agent}: wait for it, or clear less",
                holders=[_holder(claim, session)],
            )


# --- showing -----------------------------------------------------------------------------------------------------

_SHOWN_BYTES = 200
"""What a holder or a waiter takes in a reply, beside its names."""
_encode = msgspec.json.Encoder().encode


def _as_fit(claims: Iterable[LockRequest], room: int) -> Iterator[LockRequest]:
    """As many of these as take no more than so many bytes in a reply."""
    for claim in claims:
        room -= _SHOWN_BYTES + sum(len(key.encode()) for key in claim.keys)
        if room < 0:
            return
        yield claim


def show(transaction: Transaction, claim: LockRequest) -> m.HeldLock:
    """A lock that is held, with those who wait for it, as far as they take an eighth of a reply."""
    queue = _as_fit(transaction.state.lock_table.waiters_of(claim), transaction.state.limits.page_bytes // 8)
    assert claim.token is not None
    assert claim.deadline is not None
    return m.HeldLock(
        ns=claim.ns,
        mode=claim.mode,
        agent=claim.agent,
        session=claim.session.id,
        token=claim.token,
        since=claim.granted_at,
        expires_at=claim.deadline,
        queue=[_waiter(one) for one in queue],
        names=claim.shown_names,
        patterns=claim.shown_patterns,
    )


def blockers(
    transaction: Transaction, claim: LockRequest, across: dict[LockRequest, None] | None = None
) -> list[m.Holder]:
    """Who holds what this claim waits for, so many as a reply takes; `across` is for one that has not come."""
    limits = transaction.state.limits
    held = transaction.state.lock_table.blocking_locks(claim, claim.pattern_blockers if across is None else across)
    return [_holder(one, claim.session) for one in _as_fit(held[: limits.holders], limits.page_bytes)]


def _in_the_way(transaction: Transaction, claim: LockRequest, across: dict[LockRequest, None]) -> dict[str, object]:
    """What a refusal carries: who holds it, and how many asked before."""
    return {
        "holders": blockers(transaction, claim, across),
        "queued": transaction.state.lock_table.waiting_ahead_count(claim, across),
    }


def _holder(claim: LockRequest, session: Session) -> m.Holder:
    assert claim.token is not None
    assert claim.deadline is not None
    return m.Holder(
        agent=claim.agent,
        session=claim.session.id,
        mode=claim.mode,
        since=claim.granted_at,
        expires_at=claim.deadline,
        self=claim.session is session,
        names=claim.shown_names,
        patterns=claim.shown_patterns,
    )


def _waiter(claim: LockRequest) -> m.Waiter:
    return m.Waiter(
        agent=claim.agent,
        session=claim.session.id,
        mode=claim.mode,
        since=claim.since,
        names=claim.shown_names,
        patterns=claim.shown_patterns,
    )


def _link(claim: LockRequest) -> dict[str, object]:
    """One in a circle: who waits, and for what."""
    names = {"names": claim.shown_names} if claim.names else {"patterns": claim.shown_patterns}
    return {"agent": claim.agent, "session": claim.session.id, **names}


def _named(claim: LockRequest) -> str:
    first, *others = claim.keys
    return repr(first) + (f" (and {len(others)} more)" if others else "")


# --- checking ----------------------------------------------------------------------------------------------------


def _claim(transaction: Transaction, session: Session, command: m.Lock) -> LockRequest:
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
        raise BadRequest(f"task is 1 to {limits.task} characters", field="task")
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
    longest = transaction.state.limits.ttl
    if not 0 < ttl <= longest:
        raise BadRequest(f"{field} is above 0 and at most {longest:.0f} seconds", field=field)


def _check_wait(transaction: Transaction, wait: float | None) -> None:
    longest = transaction.state.limits.ttl
    if wait is not None and not 0 <= wait <= longest:
        raise BadRequest(f"wait is 0 to {longest:.0f} seconds, or null to wait for ever", field="wait")


def _check_numbers(transaction: Transaction, claim: LockRequest) -> None:
    limits, claims = transaction.state.limits, transaction.state.lock_table
    if len(claim.session.lock_requests) >= limits.claims:
        raise LimitReached(f"this session has {limits.claims} locks: let some go", limit=limits.claims)
    if claim.patterns and claims.pattern_request_count(claim.ns) >= limits.pattern_locks:
        limit = limits.pattern_locks
        raise LimitReached(f"namespace {claim.ns} has {limit} locks on patterns: lock names instead", limit=limit)


def _check_conflicts(transaction: Transaction, across: dict[LockRequest, None]) -> None:
    limit = transaction.state.limits.conflicts
    if across and transaction.state.lock_table.conflict_pairs + len(across) > limit:
        raise LimitReached("too many locks conflict because of patterns: lock names instead", limit=limit)


def _own(transaction: Transaction, session: Session, token: int | None) -> LockRequest:
    if token is None:
        raise BadRequest("say which lock, by its token", field="token")
    claim = transaction.state.lock_table.held.get(token)
    if claim is None or claim.session is not session:
        raise NotHolder(f"this session does not hold a lock with token {token}: it was let go, or lost. Lock again")
    return claim


def _forced(transaction: Transaction, session: Session, command: m.Unlock) -> Iterable[LockRequest]:
    if not command.reason:
        raise BadRequest("force asks for a reason: it is told to those who lose the lock", field="reason")
    if len(command.reason) > transaction.state.limits.reason:
        raise BadRequest(f"reason is at most {transaction.state.limits.reason} characters", field="reason")
    if (command.token is None) == (command.name is None):
        raise BadRequest("say which lock: by its token, or by its name", field="token")
    if command.token is not None:
        claim = transaction.state.lock_table.held.get(command.token)
        if claim is None:
            raise NotHolder(f"no lock with token {command.token} is held")
        return [claim]
    assert command.name is not None
    ns = read_ns(command.ns, session)
    found = transaction.state.lock_table.held_locks_named(ns, command.name)
    if not found:
        raise NotHolder(f"nobody holds a lock on {command.name!r} in namespace {ns}")
    return found
