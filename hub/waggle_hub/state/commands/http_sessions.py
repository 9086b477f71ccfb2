"""The rules of callers: agents that reach the hub by single calls and hold no connection (protocol 10).

1. All who call under one name share one session. No lost connection ends it: it lives while it holds anything (locks,
   waiting commands, ephemeral entries), and `limits.http_idle` seconds after its last use. So a lock that was taken by one
   call can be let go by another, a restart of the hub in between or not.
2. Nothing that it holds is without end: locks have a ttl, what waits has somebody at the other end, and an ephemeral
   entry needs a deadline.
3. A call that is dropped is cancelled, and a grant that it never heard of is given back. A restart drops all calls.
4. Those who give no name share a session, too, that nobody sees. What would have to be one agent's own they cannot
   have: locks, takes, ephemeral entries, a status, calls to cancel, and rids, which strangers might choose alike.

Its books are kept where those of all sessions are. `State.use` and `State.let_go` set its deadline, and when that comes
while it holds something, it has none until it lets go.
"""

from __future__ import annotations

from waggle.wire import messages as m
from waggle.wire.errors import BadRequest
from waggle.wire.names import check_agent, check_ns
from waggle_hub.state.locks import lifecycle
from waggle_hub.state.sessions import Session, SessionIds
from waggle_hub.state.transaction import Transaction

from . import cancel, session_lifecycle


def visit(transaction: Transaction, agent: str | None, ns: str | None, fresh: SessionIds) -> Session:
    """The session of those who call under this name, begun if there is none; it is used, and `ns` is its namespace."""
    if agent is not None:
        check_agent(agent)
    space = "default" if ns is None else ns
    check_ns(space)
    session = transaction.state.sessions.connectionless_of(session_lifecycle.NAMELESS if agent is None else agent)
    if session is None:
        session = _begin(transaction, agent, space, fresh)
    elif session.ns != space:
        session.ns = space
        transaction.state.dirty.mark(session)
    transaction.state.touch_session(session, transaction.now)
    return session


def _begin(transaction: Transaction, agent: str | None, ns: str, fresh: SessionIds) -> Session:
    if agent is not None:
        session_lifecycle.check_room(transaction)
    session = Session(
        fresh,
        session_lifecycle.NAMELESS if agent is None else agent,
        chosen=agent is not None,
        ns=ns,
        meta=b"{}",
        at=transaction.at,
        serial=transaction.state.timers.next_serial(),
        caller=True,
    )
    session_lifecycle.begin(transaction, session)
    return session


def check(session: Session, command: m.AnyCommand) -> None:
    """BadRequest if this is nothing that a caller can ask."""
    if isinstance(command, m.Hello | m.Bye | m.Subscribe | m.Unsubscribe):
        raise BadRequest("a caller has no connection to say hello on, or to hear events on", field="op")
    if session.agent != session_lifecycle.NAMELESS:
        return
    if isinstance(command, m.Lock | m.Take | m.Status | m.Cancel):
        raise BadRequest("who has no name can hold nothing: say who you are (X-Waggle-Agent)", field="agent")
    if isinstance(command, m.Change) and command.rid is not None:
        raise BadRequest("a rid is one agent's own: say who you are (X-Waggle-Agent)", field="rid")


def check_ephemeral(session: Session, expires_at: float | None) -> None:
    """BadRequest if an entry with this deadline cannot be tied to the session."""
    if not session.connectionless:
        return
    if session.agent == session_lifecycle.NAMELESS:
        raise BadRequest("who has no name can hold nothing: say who you are (X-Waggle-Agent)", field="agent")
    if expires_at is None:
        raise BadRequest("an ephemeral entry of a caller needs a ttl: no lost connection would end it", field="ttl")


def hang_up(transaction: Transaction, session: Session, id: m.Id, rid: str | None, token: int | None) -> None:
    """Who asked under this id is gone. If it was granted a lock, with this token, that is given back, and the same rid
    may ask again."""
    transaction.attribute_to(session)
    if cancel.cancel_command(transaction, session, id, "the call was dropped") or token is None:
        return
    claim = transaction.state.lock_table.held.get(token)
    if claim is None or claim.session is not session:
        return
    lifecycle.release(transaction, claim, "released")
    kept = None if rid is None else session.outcomes.pop(rid, None)
    if kept is not None:
        transaction.state.dirty.mark_removed(kept)


def hang_up_all(transaction: Transaction) -> None:
    """The hub has started: whoever called before is gone."""
    for session in transaction.state.sessions:
        if session.connectionless:
            transaction.attribute_to(session)
            cancel.drop_all(transaction, session)
    transaction.commit()
