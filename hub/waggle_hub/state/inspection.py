"""Inspect: who is here, who holds what, who waits for whom, who hears of what (protocol 8). It reads, and no more."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import TypeVar

from msgspec import UNSET

from waggle import messages as m

from . import locks
from .claims import Claim
from .conditions import Wait
from .interests import Interest
from .sessions import Session
from .turn import Turn
from .waiting import Waiting
from .work import Taker

T = TypeVar("T")


def inspect(turn: Turn) -> m.Inspection:
    """At most `limits.page` of each; `cut` says where there is more."""
    state = turn.state
    cut: list[str] = []

    def some(name: str, things: Iterable[T]) -> list[T]:
        found = list(islice(things, state.limits.page + 1))
        if len(found) > state.limits.page:
            cut.append(name)
        return found[: state.limits.page]

    sessions = some("sessions", state.sessions)
    held = some("locks", state.claims.held.values())
    waits = some("waits", (one for session in state.sessions for one in session.waiting.values()))
    interests = some("subscriptions", state.interests)
    return m.Inspection(
        rev=turn.rev,
        at=turn.at,
        sessions=[_session(session) for session in sessions],
        locks=[locks.show(turn, claim) for claim in held],
        waits=[_wait(turn, one) for one in waits],
        subscriptions=[_subscription(turn, interest) for interest in interests],
        cut=cut,
    )


def _session(session: Session) -> m.SeenSession:
    return m.SeenSession(
        session=session.id,
        agent=session.agent,
        ns=session.ns,
        connected=session.connected,
        since=session.since,
        expires_at=session.deadline,
        subscriptions=len(session.subscriptions),
        locks=sum(claim.token is not None for claim in session.claims),
        waits=len(session.waiting),
        ephemeral=len(session.ephemeral),
    )


def _wait(turn: Turn, one: Waiting) -> m.SeenWait:
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
        case Claim():
            seen.op, seen.ns, seen.mode = "lock", one.ns, one.mode
            seen.names, seen.patterns = one.shown_names, one.shown_patterns
            seen.blocked_by = locks.blockers(turn, one)
        case Wait():
            seen.op = "wait"
            asked = [condition.asked for condition in one.conditions]
            seen.all, seen.any = (asked, UNSET) if one.need_all else (UNSET, asked)
            seen.met = one.met(turn.state.keyspace, turn.state.claims, turn.now)
        case Taker():
            seen.op, seen.ns = "take", one.line.ns
            seen.patterns = [pattern.text for pattern in one.line.patterns]
        case _:
            raise AssertionError(f"{one} waits for nothing")
    return seen


def _subscription(turn: Turn, interest: Interest) -> m.SeenSubscription:
    sessions = (turn.state.sessions.get(id) for id in interest.sessions)
    return m.SeenSubscription(
        sub=interest.sub,
        ns=interest.scope.ns,
        patterns=list(interest.scope.patterns),
        types=sorted(interest.scope.types),
        agents=sorted({session.agent for session in sessions if session is not None}),
    )
