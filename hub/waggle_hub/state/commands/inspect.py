"""The rule of `inspect`: a view of sessions, locks, pending commands and subscriptions (protocol 8). Reads only."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from msgspec import UNSET

from waggle.wire import messages as m
from waggle.wire.json import encode
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
    """Return at most `limits.page` items of each kind, in a quarter of a page; `cut` names the kinds that have more."""
    state = transaction.state
    cut: list[str] = []

    def show_some(kind: str, items: Iterable[T], show: Callable[[Transaction, T], S]) -> list[S]:
        shown: list[S] = []
        bytes_left = state.limits.page_bytes // 4
        for item in items:
            if len(shown) == state.limits.page:
                cut.append(kind)
                break
            seen = show(transaction, item)
            bytes_left -= len(encode(seen))
            if bytes_left < 0:
                cut.append(kind)
                break
            shown.append(seen)
        return shown

    pending_commands = (command for session in state.sessions for command in session.pending.values())
    return m.Inspection(
        rev=transaction.rev,
        at=transaction.at,
        sessions=show_some("sessions", state.sessions, _session),
        locks=show_some("locks", state.lock_table.held.values(), locks.show_held),
        waits=show_some("waits", pending_commands, _pending_command),
        subscriptions=show_some("subscriptions", state.interests, _subscription),
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
        locks=sum(request.token is not None for request in session.lock_requests),
        waits=len(session.pending),
        ephemeral=len(session.ephemeral),
    )


def _pending_command(transaction: Transaction, command: PendingCommand) -> m.SeenWait:
    seen = m.SeenWait(
        op="",
        id=command.id,
        agent=command.session.agent,
        session=command.session.id,
        ns=command.session.ns,
        since=command.since,
        until=command.deadline,
    )
    match command:
        case LockRequest():
            seen.op, seen.ns, seen.mode = "lock", command.ns, command.mode
            seen.names, seen.patterns = command.shown_names, command.shown_patterns
            seen.blocked_by = locks.blocking_holders(transaction, command)
        case Wait():
            seen.op = "wait"
            shown = [condition.shown for condition in command.conditions]
            seen.all, seen.any = (shown, UNSET) if command.need_all else (UNSET, shown)
            state = transaction.state
            moment = command.see(state.keyspace, state.lock_table, transaction.rev, transaction.now)
            command.examine(moment, transaction.budget)
            seen.met = moment.met
        case Taker():
            seen.op, seen.ns = "take", command.queue.ns
            seen.patterns = [pattern.text for pattern in command.queue.patterns]
        case _:
            raise AssertionError(f"{command} cannot be waiting")
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
