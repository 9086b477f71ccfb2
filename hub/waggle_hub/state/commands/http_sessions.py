"""The rules of connectionless sessions: agents that send single HTTP or MCP calls and hold no connection (protocol 10).

1. All calls under one agent name share one session. It does not end with a connection: it lives while it holds anything
   (locks, pending commands, ephemeral entries), and `limits.http_idle` seconds after its last use. So one call can
   release a lock that another call took, even if the hub restarted in between.
2. Whatever it holds ends by itself: locks have a ttl, a client waits for each pending command, and an ephemeral entry
   needs a ttl.
3. A call whose client disconnects is cancelled, and a lock that was granted to it is released. A restart of the hub
   disconnects all calls.
4. Anonymous calls share a session that `$agents` does not show. They may not use anything that needs an owner: locks,
   takes, ephemeral entries, a status, cancel, and rids, which unrelated clients might choose alike.

`State.touch_session` and `State.release_session` set the deadline of such a session. If the deadline passes while the
session holds something, it has none until it holds nothing.
"""

from __future__ import annotations

from waggle.wire import messages as m
from waggle.wire.errors import BadRequest
from waggle.wire.names import check_agent, check_ns
from waggle_hub.state.locks import lifecycle
from waggle_hub.state.sessions import Session, SessionIds
from waggle_hub.state.transaction import Transaction

from . import cancel, session_lifecycle


def open_session(transaction: Transaction, agent: str | None, ns: str | None, fresh: SessionIds) -> Session:
    """Return the session of this agent name, opened if there is none. `ns` is its namespace from now on."""
    if agent is not None:
        check_agent(agent)
    ns = "default" if ns is None else ns
    check_ns(ns)
    name = session_lifecycle.ANONYMOUS if agent is None else agent
    session = transaction.state.sessions.connectionless_of(name)
    if session is None:
        session = _open(transaction, agent, ns, fresh)
    elif session.ns != ns:
        session.ns = ns
        transaction.state.dirty.mark(session)
    transaction.state.touch_session(session, transaction.now)
    return session


def check_allowed(session: Session, command: m.AnyCommand) -> None:
    """Raise BadRequest if a connectionless session cannot send this command."""
    if isinstance(command, m.Hello | m.Bye | m.Subscribe | m.Unsubscribe):
        raise BadRequest("single calls have no connection: connect by WebSocket for this op", field="op")
    if session.agent != session_lifecycle.ANONYMOUS:
        return
    if isinstance(command, m.Lock | m.Take | m.Status | m.Cancel):
        op = command.__struct_config__.tag
        raise BadRequest(f"anonymous calls cannot use {op}: send X-Waggle-Agent", field="agent")
    if isinstance(command, m.Change) and command.rid is not None:
        raise BadRequest("anonymous calls cannot send a rid: send X-Waggle-Agent", field="rid")


def check_ephemeral(session: Session, expires_at: float | None) -> None:
    """Raise BadRequest if an entry with this deadline cannot be tied to the session."""
    if not session.connectionless:
        return
    if session.agent == session_lifecycle.ANONYMOUS:
        raise BadRequest("anonymous calls cannot have ephemeral entries: send X-Waggle-Agent", field="agent")
    if expires_at is None:
        raise BadRequest("ephemeral entries over HTTP need a ttl", field="ttl")


def drop_call(transaction: Transaction, session: Session, id: m.Id, rid: str | None, token: int | None) -> None:
    """Handle that the client of call `id` has disconnected.

    Cancel the call if it waits. If it has just been granted the lock `token`, release that and forget its rid, so that
    the client can lock again under the same rid.
    """
    transaction.attribute_to(session)
    if cancel.cancel_command(transaction, session, id, "the call was dropped") or token is None:
        return
    request = transaction.state.lock_table.held.get(token)
    if request is None or request.session is not session:
        return
    lifecycle.release(transaction, request, "released")
    outcome = None if rid is None else session.outcomes.pop(rid, None)
    if outcome is not None:
        transaction.state.dirty.mark_removed(outcome)


def drop_all_calls(transaction: Transaction) -> None:
    """End all pending commands of connectionless sessions: their clients were disconnected when the hub stopped."""
    for session in transaction.state.sessions:
        if session.connectionless:
            transaction.attribute_to(session)
            cancel.drop_all(transaction, session)
    transaction.commit()


def _open(transaction: Transaction, agent: str | None, ns: str, fresh: SessionIds) -> Session:
    # The one anonymous session does not count: the hub always has room for it.
    if agent is not None:
        session_lifecycle.check_capacity(transaction)
    session = Session(
        fresh,
        session_lifecycle.ANONYMOUS if agent is None else agent,
        chosen=agent is not None,
        ns=ns,
        meta=b"{}",
        at=transaction.at,
        serial=transaction.state.timers.next_serial(),
        caller=True,
    )
    session_lifecycle.add(transaction, session)
    return session
