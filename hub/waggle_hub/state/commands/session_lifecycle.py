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
from waggle_hub.state.sessions import Fresh, Session
from waggle_hub.state.store.expiry import deadline_after
from waggle_hub.state.transaction import Transaction

from . import cancel, subscribe

AGENTS = "$agents"
SEEN = "$seen"
NAMELESS = "$nameless"
"""Who does what callers do that give no name. No agent can call itself so."""
_encode = msgspec.json.Encoder().encode


def hello(turn: Transaction, command: m.Hello, fresh: Fresh) -> tuple[Session, bool]:
    """Open a session, or take one over; the session, and whether it was taken over."""
    if command.session is None and command.secret is None:
        if command.cursors is not None:
            raise BadRequest("`cursors` needs `session` and `secret`", field="cursors")
        return _open(turn, command, fresh), False
    if command.session is None or command.secret is None:
        field = "session" if command.session is None else "secret"
        raise BadRequest("a takeover needs both session and secret", field=field)
    session = turn.state.sessions.get(command.session)
    if session is None or not hmac.compare_digest(session.secret.encode(), command.secret.encode(errors="replace")):
        raise SessionLost("there is no such session, or it has ended: say hello again without session")
    cursors = command.cursors or {}
    subscribe.check_cursors(turn, cursors)
    turn.act_for(session)
    turn.later.append(BindSession(session.id))
    turn.state.timers.set(session, None)
    if not session.connected:
        session.connected = True
        turn.state.changed.mark(session)
        show(turn, session.agent)
        turn.commit()
    turn.later.extend(subscribe.take_over(turn, session, cursors))
    for unsaid in session.unsaid:
        turn.later.append(unsaid.said)
        turn.state.changed.gone(unsaid)
    session.unsaid.clear()
    return session, True


def _open(turn: Transaction, command: m.Hello, fresh: Fresh) -> Session:
    state = turn.state
    agent = fresh.agent if command.agent is None else command.agent
    check_agent(agent)
    ns = "default" if command.ns is None else command.ns
    check_ns(ns)
    meta = turn.value(command.meta or {}, "meta", state.limits.status)
    check_room(turn)
    session = Session(
        fresh,
        agent,
        chosen=command.agent is not None,
        ns=ns,
        meta=meta,
        at=turn.at,
        serial=state.timers.serial(),
    )
    begin(turn, session)
    turn.later.append(BindSession(session.id))
    return session


def check_room(turn: Transaction) -> None:
    """LimitReached if the hub has as many sessions as it may have."""
    limit = turn.state.limits.sessions
    if len(turn.state.sessions) >= limit:
        raise LimitReached(f"the hub has {limit} sessions: end some, or wait for their grace", limit=limit)


def begin(turn: Transaction, session: Session) -> None:
    """It is there from now on."""
    turn.live(SEEN, session.agent)
    turn.state.sessions.add(session)
    turn.state.changed.mark(session)
    turn.act_for(session)
    show(turn, session.agent)
    _remember(turn, session)


def drop(turn: Transaction, session: Session) -> None:
    """Its connection is gone: from now on it lives for its grace."""
    session.connected = False
    session.last = turn.at
    turn.state.changed.mark(session)
    turn.state.timers.set(session, deadline_after(turn.now, turn.state.limits.grace))
    turn.act_for(session)
    show(turn, session.agent)


def end(turn: Transaction, session: Session) -> None:
    """It is over: all it held goes in one commit."""
    state = turn.state
    turn.live(SEEN, session.agent)
    turn.act_for(session)
    if session.connected and not session.caller:
        session.last = turn.at
    cancel.leave_all(turn, session)
    for ns, key in sorted(session.ephemeral):
        entry = state.keyspace.get(ns, key)
        assert entry is not None
        turn.remove(entry, reason="session_ended")
    for sub in list(session.subscriptions):
        subscribe.end(turn, session, sub)
    state.timers.set(session, None)
    state.sessions.remove(session)
    _forget(turn, session)
    show(turn, session.agent)
    _remember(turn, session)
    turn.later.append(SessionEnded(session.id))


def set_status(turn: Transaction, session: Session, command: m.Status) -> m.Revised:
    session.status = turn.value(command.status, "status", turn.state.limits.status)
    turn.state.changed.mark(session)
    show(turn, session.agent)
    return m.Revised(turn.rev)


def show(turn: Transaction, agent: str) -> None:
    """Bring the entry of this name in ``$agents`` up to date; the nameless have none."""
    if agent == NAMELESS:
        return
    entry = turn.state.keyspace.get(AGENTS, agent)
    sessions = turn.state.sessions.of_agent(agent)
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
        turn.put(AGENTS, agent, _encode(value), entry, kind="transient")
    elif entry is not None:
        turn.remove(entry, reason="session_ended")


def restore(turn: Transaction, record: SessionRecord, connected: bool) -> Session:
    """A session comes back as it was kept, with a fresh grace if its agent is not connected, or a fresh rest."""
    session = Session(
        Fresh(session=record.id, secret=record.secret, agent=record.agent),
        record.agent,
        chosen=record.chosen,
        ns=record.ns,
        meta=bytes(record.meta),
        at=record.since,
        serial=record.serial,
        caller=record.caller,
    )
    session.status = bytes(record.status)
    session.last = turn.at if record.last is None else record.last
    turn.state.sessions.add(session)
    if session.caller:
        turn.state.use(session, turn.now)
        return session
    session.connected = connected
    if not connected:
        turn.state.timers.set(session, deadline_after(turn.now, turn.state.limits.grace))
    if connected != (record.last is None):
        turn.state.changed.mark(session)
    return session


def _forget(turn: Transaction, session: Session) -> None:
    """Nothing of it has to survive any more."""
    changed = turn.state.changed
    changed.gone(session)
    for kept in session.outcomes.values():
        changed.gone(kept)
    for unsaid in session.unsaid:
        changed.gone(unsaid)


def _remember(turn: Transaction, session: Session) -> None:
    if session.chosen and turn.state.refusing is None:
        prev = turn.state.keyspace.get(SEEN, session.agent)
        expires_at = deadline_after(turn.now, turn.state.limits.seen)
        turn.put(SEEN, session.agent, _encode({"last": session.last}), prev, expires_at=expires_at)
