"""The rules of sessions: hello, takeover, drop, end, status; and presence, which is keys (protocol 3).

Each live agent name is an entry of ``$agents`` that its newest session speaks for; ``$seen`` keeps when a name that
was chosen by its client was last here. Whatever a session's end frees goes in one commit.
"""

from __future__ import annotations

import hmac

import msgspec

from waggle.wire import messages as m
from waggle.wire.errors import BadRequest, LimitReached, SessionLost
from waggle.wire.names import check_agent, check_ns
from waggle_hub.state.effects import BindSession, SessionEnded
from waggle_hub.state.persistence.records import SessionRecord
from waggle_hub.state.sessions import Session, SessionIds
from waggle_hub.state.store.expiry import deadline_after
from waggle_hub.state.transaction import Transaction

from . import cancel, subscribe

AGENTS = "$agents"
SEEN = "$seen"
NAMELESS = "$nameless"
"""Who does what callers do that give no name. No agent can call itself so."""
_encode = msgspec.json.Encoder().encode


def hello(transaction: Transaction, command: m.Hello, fresh: SessionIds) -> tuple[Session, bool]:
    """Open a session, or take one over; the session, and whether it was taken over."""
    if command.session is None and command.secret is None:
        if command.cursors is not None:
            raise BadRequest("`cursors` needs `session` and `secret`", field="cursors")
        return _open(transaction, command, fresh), False
    if command.session is None or command.secret is None:
        field = "session" if command.session is None else "secret"
        raise BadRequest("a takeover needs both session and secret", field=field)
    session = transaction.state.sessions.get(command.session)
    if session is None or not hmac.compare_digest(session.secret.encode(), command.secret.encode(errors="replace")):
        raise SessionLost("there is no such session, or it has ended: say hello again without session")
    cursors = command.cursors or {}
    subscribe.check_cursors(transaction, cursors)
    transaction.attribute_to(session)
    transaction.effects_after_reply.append(BindSession(session.id))
    transaction.state.timers.set(session, None)
    if not session.connected:
        session.connected = True
        transaction.state.dirty.mark(session)
        show(transaction, session.agent)
        transaction.commit()
    transaction.effects_after_reply.extend(subscribe.take_over(transaction, session, cursors))
    for unsaid in session.queued_notices:
        transaction.effects_after_reply.append(unsaid.notice)
        transaction.state.dirty.mark_removed(unsaid)
    session.queued_notices.clear()
    return session, True


def _open(transaction: Transaction, command: m.Hello, fresh: SessionIds) -> Session:
    state = transaction.state
    agent = fresh.agent if command.agent is None else command.agent
    check_agent(agent)
    ns = "default" if command.ns is None else command.ns
    check_ns(ns)
    meta = transaction.encode_value(command.meta or {}, "meta", state.limits.status)
    check_room(transaction)
    session = Session(
        fresh,
        agent,
        chosen=command.agent is not None,
        ns=ns,
        meta=meta,
        at=transaction.at,
        serial=state.timers.next_serial(),
    )
    begin(transaction, session)
    transaction.effects_after_reply.append(BindSession(session.id))
    return session


def check_room(transaction: Transaction) -> None:
    """LimitReached if the hub has as many sessions as it may have."""
    limit = transaction.state.limits.sessions
    if len(transaction.state.sessions) >= limit:
        raise LimitReached(f"the hub has {limit} sessions: end some, or wait for their grace", limit=limit)


def begin(transaction: Transaction, session: Session) -> None:
    """It is there from now on."""
    transaction.get_live(SEEN, session.agent)
    transaction.state.sessions.add(session)
    transaction.state.dirty.mark(session)
    transaction.attribute_to(session)
    show(transaction, session.agent)
    _remember(transaction, session)


def drop(transaction: Transaction, session: Session) -> None:
    """Its connection is gone: from now on it lives for its grace."""
    session.connected = False
    session.last_seen_at = transaction.at
    transaction.state.dirty.mark(session)
    transaction.state.timers.set(session, deadline_after(transaction.now, transaction.state.limits.grace))
    transaction.attribute_to(session)
    show(transaction, session.agent)


def end(transaction: Transaction, session: Session) -> None:
    """It is over: all it held goes in one commit."""
    state = transaction.state
    transaction.get_live(SEEN, session.agent)
    transaction.attribute_to(session)
    if session.connected and not session.connectionless:
        session.last_seen_at = transaction.at
    cancel.release_all(transaction, session)
    for ns, key in sorted(session.ephemeral):
        entry = state.keyspace.get(ns, key)
        assert entry is not None
        transaction.remove(entry, reason="session_ended")
    for sub in list(session.subscriptions):
        subscribe.end(transaction, session, sub)
    state.timers.set(session, None)
    state.sessions.remove(session)
    _forget(transaction, session)
    show(transaction, session.agent)
    _remember(transaction, session)
    transaction.effects_after_reply.append(SessionEnded(session.id))


def set_status(transaction: Transaction, session: Session, command: m.Status) -> m.Revised:
    session.status = transaction.encode_value(command.status, "status", transaction.state.limits.status)
    transaction.state.dirty.mark(session)
    show(transaction, session.agent)
    return m.Revised(transaction.rev)


def show(transaction: Transaction, agent: str) -> None:
    """Bring the entry of this name in ``$agents`` up to date; the nameless have none."""
    if agent == NAMELESS:
        return
    entry = transaction.state.keyspace.get(AGENTS, agent)
    sessions = transaction.state.sessions.of_agent(agent)
    if sessions:
        newest = sessions[-1]
        value = {
            "session": newest.id,
            "connected": newest.connected,
            "since": newest.since,
            "meta": msgspec.Raw(newest.meta),
            "status": msgspec.Raw(newest.status),
            "sessions": len(sessions),
        }
        transaction.put(AGENTS, agent, _encode(value), entry, kind="transient")
    elif entry is not None:
        transaction.remove(entry, reason="session_ended")


def restore(transaction: Transaction, record: SessionRecord, connected: bool) -> Session:
    """A session comes back as it was kept, with a fresh grace if its agent is not connected, or a fresh rest."""
    session = Session(
        SessionIds(session=record.id, secret=record.secret, agent=record.agent),
        record.agent,
        chosen=record.chosen,
        ns=record.ns,
        meta=bytes(record.meta),
        at=record.since,
        serial=record.serial,
        caller=record.caller,
    )
    session.status = bytes(record.status)
    session.last_seen_at = transaction.at if record.last is None else record.last
    transaction.state.sessions.add(session)
    if session.connectionless:
        transaction.state.touch_session(session, transaction.now)
        return session
    session.connected = connected
    if not connected:
        transaction.state.timers.set(session, deadline_after(transaction.now, transaction.state.limits.grace))
    if connected != (record.last is None):
        transaction.state.dirty.mark(session)
    return session


def _forget(transaction: Transaction, session: Session) -> None:
    """Nothing of it has to survive any more."""
    changed = transaction.state.dirty
    changed.mark_removed(session)
    for kept in session.outcomes.values():
        changed.mark_removed(kept)
    for unsaid in session.queued_notices:
        changed.mark_removed(unsaid)


def _remember(transaction: Transaction, session: Session) -> None:
    if session.named_by_client and transaction.state.refusing is None:
        prev = transaction.state.keyspace.get(SEEN, session.agent)
        expires_at = deadline_after(transaction.now, transaction.state.limits.seen)
        transaction.put(SEEN, session.agent, _encode({"last": session.last_seen_at}), prev, expires_at=expires_at)
