"""Inspect: who is here, who holds what, who waits for whom, who hears of what (protocol 8). It reads, and no more."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import msgspec
from msgspec import UNSET

from waggle.wire import messages as m
from waggle_hub.state.interests import Interest
from waggle_hub.state.locks.request import LockRequest
from waggle_hub.state.pending import PendingCommand
from waggle_hub.state.sessions import Session
from waggle_hub.state.transaction import Transaction
from waggle_hub.state.waits.condition import Wait
from waggle_hub.state.work.queue import Taker

from . import locks

T = TypeVar("T")
S = TypeVar("S")
_encode = msgspec.json.Encoder().encode


def statistics(transaction: Transaction) -> m.Statistics:
    """Return the sizes of everything in the state: the reply to `stats`, and the metrics."""
    state = transaction.state
    return m.Statistics(
        rev=transaction.rev,
        at=transaction.at,
        keys=state.keyspace.keys,
        bytes=state.keyspace.bytes,
        max_keys=state.limits.keys,
        max_bytes=state.limits.bytes,
        sessions=len(state.sessions),
        subscriptions=sum(len(session.subscriptions) for session in state.sessions),
        locks=len(state.lock_table.held),
        waits=sum(len(session.pending) for session in state.sessions),
        refusing=state.refusing,
        log=m.LogWindow(state.log.events, state.log.bytes, state.log.floor, state.log.rev),
    )


def inspect(transaction: Transaction) -> m.Inspection:
    """At most `limits.page` of each, and a quarter of what a reply may take; `cut` says where there is more."""
    state = transaction.state
    cut: list[str] = []

    def some(name: str, things: Iterable[T], show: Callable[[Transaction, T], S]) -> list[S]:
        shown: list[S] = []
        left = state.limits.page_bytes // 4
        for thing in things:
            if len(shown) == state.limits.page:
                cut.append(name)
                break
            one = show(transaction, thing)
            left -= len(_encode(one))
            if left < 0:
                cut.append(name)
                break
            shown.append(one)
        return shown

    return m.Inspection(
        rev=transaction.rev,
        at=transaction.at,
        sessions=some("sessions", state.sessions, _session),
        locks=some("locks", state.lock_table.held.values(), locks.show_held),
        waits=some("waits", (one for session in state.sessions for one in session.pending.values()), _wait),
        subscriptions=some("subscriptions", state.interests, _subscription),
        cut=cut,
    )


def _session(transaction: Transaction, session: Session) -> m.SeenSession:
    return m.SeenSession(
        session=session.id,
        agent=session.agent,
        ns=session.ns,
        connected=session.connected,
        since=session.since,
        expires_at=session.deadline,
        subscriptions=len(session.subscriptions),
        locks=sum(claim.token is not None for claim in session.lock_requests),
        waits=len(session.pending),
        ephemeral=len(session.ephemeral),
    )


def _wait(transaction: Transaction, one: PendingCommand) -> m.SeenWait:
    seen = m.SeenWait(
        op="",
        id=one.id,
        agent=one.session.agent,
        session=one.session.id,
        ns=one.session.ns,
        since=one.since,
        until=one.deadline,
    )
    match one:
        case LockRequest():
            seen.op, seen.ns, seen.mode = "lock", one.ns, one.mode
            seen.names, seen.patterns = one.shown_names, one.shown_patterns
            seen.blocked_by = locks.blocking_holders(transaction, one)
        case Wait():
            seen.op = "wait"
            asked = [condition.shown for condition in one.conditions]
            seen.all, seen.any = (asked, UNSET) if one.need_all else (UNSET, asked)
            seen.met = one.met_conditions(transaction.state.keyspace, transaction.state.lock_table, transaction.now)
        case Taker():
            seen.op, seen.ns = "take", one.queue.ns
            seen.patterns = [pattern.text for pattern in one.queue.patterns]
        case _:
            raise AssertionError(f"{one} waits for nothing")
    return seen


def _subscription(transaction: Transaction, interest: Interest) -> m.SeenSubscription:
    sessions = (transaction.state.sessions.get(id) for id in interest.sessions)
    return m.SeenSubscription(
        sub=interest.sub,
        ns=interest.scope.ns,
        patterns=list(interest.scope.patterns),
        types=sorted(interest.scope.types),
        agents=sorted({session.agent for session in sessions if session is not None}),
    )
