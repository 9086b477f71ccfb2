"""The rules of sessions: hello, takeover, disconnect, end, status; and presence (protocol 3).

1. Presence is entries: each agent name with a session has one in ``$agents``, which shows the newest session of that
   name. ``$seen`` keeps when a name that its client chose was last connected.
2. Everything that the end of a session releases or deletes is one commit.
"""

from __future__ import annotations

import hmac

import msgspec
from msgspec import structs

from waggle.wire import messages as m
from waggle.wire.errors import BadRequest, LimitReached, SessionLost
from waggle.wire.json import encode
from waggle.wire.names import check_agent, check_ns
from waggle_hub.state.effects import BindSession, SessionEnded
from waggle_hub.state.persistence.records import SessionRecord
from waggle_hub.state.sessions import Session, SessionIds
from waggle_hub.state.store.expiry import deadline_after
from waggle_hub.state.transaction import Transaction

from . import cancel, subscribe

AGENTS = "$agents"
"""The namespace of the agents that have a session, by name."""
SEEN = "$seen"
"""The namespace of when agents were last connected, by name."""
ANONYMOUS = "$nameless"
"""The agent name of anonymous calls. No client may choose it."""


def hello(transaction: Transaction, command: m.Hello, fresh: SessionIds) -> tuple[Session, bool]:
    """Open a session or take one over. Return it, and whether it was taken over."""
    if command.session is None and command.secret is None:
        if command.cursors is not None:
            raise BadRequest("`cursors` needs `session` and `secret`", field="cursors")
        return _open(transaction, command, fresh), False
    if command.session is None or command.secret is None:
        field = "session" if command.session is None else "secret"
        raise BadRequest("a takeover needs both session and secret", field=field)
    session = transaction.state.sessions.get(command.session)
    if session is None or not hmac.compare_digest(session.secret.encode(), command.secret.encode(errors="replace")):
        raise SessionLost("there is no such session, or it has ended: send hello without session")
    cursors = command.cursors or {}
    subscribe.check_cursors(transaction, cursors)
    transaction.attribute_to(session)
    transaction.effects_after_reply.append(BindSession(session.id))
    transaction.state.timers.set(session, None)
    if not session.connected:
        session.connected = True
        transaction.state.dirty.mark(session)
        update_presence(transaction, session.agent)
        transaction.commit()
    transaction.effects_after_reply.extend(subscribe.take_over(transaction, session, cursors))
    oldest = transaction.now - transaction.state.limits.told_age
    for told_at, notice in session.told_notices.values():
        if told_at >= oldest:
            transaction.effects_after_reply.append(structs.replace(notice, again=True))
    for queued in session.queued_notices:
        transaction.effects_after_reply.append(queued.notice)
        session.note_told(queued.notice, transaction.now, transaction.state.limits)
        transaction.state.dirty.mark_removed(queued)
    session.queued_notices.clear()
    return session, True


def _open(transaction: Transaction, command: m.Hello, fresh: SessionIds) -> Session:
    state = transaction.state
    agent = fresh.agent if command.agent is None else command.agent
    check_agent(agent)
    ns = "default" if command.ns is None else command.ns
    check_ns(ns)
    meta = transaction.encode_value(command.meta or {}, "meta", state.limits.status)
    check_capacity(transaction)
    session = Session(
        fresh,
        agent,
        chosen=command.agent is not None,
        ns=ns,
        meta=meta,
        at=transaction.at,
        serial=state.timers.next_serial(),
    )
    add(transaction, session)
    transaction.effects_after_reply.append(BindSession(session.id))
    return session


def check_capacity(transaction: Transaction) -> None:
    """Raise LimitReached if the hub has as many sessions as it may have."""
    limit = transaction.state.limits.sessions
    if len(transaction.state.sessions) >= limit:
        raise LimitReached(f"the hub has {limit} sessions: end some, or wait for their grace", limit=limit)


def add(transaction: Transaction, session: Session) -> None:
    """Add a new session, and show its agent as present."""
    # A due entry must expire before this transaction changes anything; `_update_last_seen` writes it below.
    transaction.get_live(SEEN, session.agent)
    transaction.state.sessions.add(session)
    transaction.state.dirty.mark(session)
    transaction.attribute_to(session)
    update_presence(transaction, session.agent)
    _update_last_seen(transaction, session)


def disconnect(transaction: Transaction, session: Session) -> None:
    """Start the grace of a session that has lost its connection."""
    session.connected = False
    session.last_seen_at = transaction.at
    transaction.state.dirty.mark(session)
    transaction.state.timers.set(session, deadline_after(transaction.now, transaction.state.limits.grace))
    transaction.attribute_to(session)
    update_presence(transaction, session.agent)


def end(transaction: Transaction, session: Session) -> None:
    """End a session, and release or delete everything that it holds, in one commit."""
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
    _mark_removed(transaction, session)
    update_presence(transaction, session.agent)
    _update_last_seen(transaction, session)
    transaction.effects_after_reply.append(SessionEnded(session.id))


def set_status(transaction: Transaction, session: Session, command: m.Status) -> m.Revised:
    """Set the status that ``$agents`` shows of this session."""
    session.status = transaction.encode_value(command.status, "status", transaction.state.limits.status)
    transaction.state.dirty.mark(session)
    update_presence(transaction, session.agent)
    return m.Revised(transaction.rev)


def update_presence(transaction: Transaction, agent: str) -> None:
    """Write the entry of an agent in ``$agents``, or delete it after its last session. Anonymous calls have none."""
    if agent == ANONYMOUS:
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
        transaction.put(AGENTS, agent, encode(value), entry, kind="transient")
    elif entry is not None:
        transaction.remove(entry, reason="session_ended")


def restore(transaction: Transaction, record: SessionRecord, connected: bool) -> Session:
    """Add a stored session again.

    A session whose agent is not connected gets its full grace from now on, a connectionless one its full idle time.
    """
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


def _mark_removed(transaction: Transaction, session: Session) -> None:
    """Let the journal delete the session and what belongs to it."""
    dirty = transaction.state.dirty
    dirty.mark_removed(session)
    for outcome in session.outcomes.values():
        dirty.mark_removed(outcome)
    for queued in session.queued_notices:
        dirty.mark_removed(queued)


def _update_last_seen(transaction: Transaction, session: Session) -> None:
    """Write when the agent was last connected into ``$seen``, unless the journal cannot persist it."""
    if session.named_by_client and transaction.state.refusing is None:
        prev = transaction.state.keyspace.get(SEEN, session.agent)
        expires_at = deadline_after(transaction.now, transaction.state.limits.seen)
        transaction.put(SEEN, session.agent, encode({"last": session.last_seen_at}), prev, expires_at=expires_at)
