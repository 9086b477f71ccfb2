"""The rules of `subscribe`, `unsubscribe` and `publish`, and of where a cursor goes on (protocol 5).

1. The machine knows of each subscription what was asked for and where its cursor started. How far the agent has read is
   known to delivery while it is connected, and afterwards only to the agent, which sends its `cursors` with a takeover.
2. A cursor goes on where its agent says, if the log still has everything after that revision. If not, it restarts with
   a snapshot, and the agent is told why.
"""

from __future__ import annotations

from waggle.wire import messages as m
from waggle.wire.errors import BadRequest, LimitReached, NotFound
from waggle.wire.names import check_key, check_ns
from waggle.wire.patterns import Pattern, compile_pattern
from waggle_hub.state.effects import CloseCursor, Effect, OpenCursor
from waggle_hub.state.interests import EVERYWHERE, Interest, Scope
from waggle_hub.state.log import Event
from waggle_hub.state.namespaces import written_ns
from waggle_hub.state.persistence.records import SubscriptionRecord
from waggle_hub.state.sessions import Session, Subscription
from waggle_hub.state.transaction import Transaction

COMPACTED = "compacted"
"""Why a cursor restarts: the log no longer reaches back to it."""
RESTART = "restart"
"""Why a cursor restarts: the hub did, and the journal does not have everything that the cursor may have missed."""
_VOLATILE_TYPES = m.ENTRY_TYPES | {"message"}
"""The types of events that the journal does not always persist."""


def subscribe(transaction: Transaction, session: Session, command: m.Subscribe) -> m.Subscribed:
    """Start a subscription: at the current revision, after `since`, or with a snapshot.

    If not everything after `since` can be told, it starts with a snapshot, and `reason` says why.
    """
    scope, patterns = _checked_scope(transaction, session, command)
    reason = None if command.since is None else _why_no_resume(transaction, command.since, scope)
    _check_subscription_count(transaction, session, scope)
    interest = transaction.state.interests.add_session(scope, patterns, session.id)
    resumed = command.since is not None and reason is None
    snapshot = (command.snapshot and not resumed) or reason is not None
    start = command.since.rev if command.since is not None and resumed else transaction.rev
    subscription = Subscription(session.id, interest, command.echo, start, snapshot)
    session.subscriptions[interest.sub] = subscription
    transaction.state.dirty.mark(subscription)
    transaction.effects_after_reply.append(_open_cursor(transaction, session, interest.sub, replay=resumed))
    return m.Subscribed(
        interest.sub,
        transaction.state.epoch,
        transaction.rev,
        resumed=None if command.since is None else resumed,
        reason=reason,
    )


def unsubscribe(transaction: Transaction, session: Session, command: m.Unsubscribe) -> m.Empty:
    """End a subscription of this session."""
    if command.sub not in session.subscriptions:
        raise NotFound(f"this session has no subscription {command.sub}")
    end(transaction, session, command.sub)
    transaction.effects_after_reply.append(CloseCursor(session.id, command.sub))
    return m.Empty()


def publish(transaction: Transaction, session: Session, command: m.Publish) -> m.Published:
    """Publish a message. The reply has the number of sessions that are subscribed to it."""
    ns = written_ns(command.ns, session)
    check_key(command.channel, "channel")
    data = transaction.encode_value(command.data, "data")
    receivers: dict[str, None] = {}
    for interest in transaction.state.interests.find(ns, command.channel, "message"):
        receivers.update(interest.sessions)
    transaction.publish(ns, command.channel, data)
    return m.Published(transaction.rev, len(receivers))


def end(transaction: Transaction, session: Session, sub: int) -> None:
    """Remove a subscription from its session. The caller closes the cursor."""
    subscription = session.subscriptions.pop(sub)
    transaction.state.dirty.mark_removed(subscription)
    transaction.state.interests.remove_session(subscription.interest, session.id)


def check_cursors(transaction: Transaction, cursors: dict[int, int]) -> None:
    """Raise BadRequest if a cursor is ahead of the hub."""
    for sub, rev in cursors.items():
        if rev > transaction.rev or rev < 0:
            raise BadRequest(
                f"the cursor of sub {sub} is at rev {rev}, the hub is at {transaction.rev}", field="cursors"
            )


def take_over(transaction: Transaction, session: Session, cursors: dict[int, int]) -> list[Effect]:
    """Return the effects that open each cursor where its agent says, or restart it where it cannot go on (rule 2)."""
    effects: list[Effect] = []
    for sub, subscription in session.subscriptions.items():
        rev, lost = _resume_point(transaction, subscription, cursors.get(sub))
        if rev is None:
            effects.append(_open_cursor(transaction, session, sub, restart=True, lost=lost))
        else:
            effects.append(OpenCursor(session.id, subscription.interest, subscription.echo, rev, replay=True))
    return effects


def _resume_point(
    transaction: Transaction, subscription: Subscription, cursor: int | None
) -> tuple[int | None, str | None]:
    """Return the revision after which a cursor goes on; or None if it restarts, and the reason to tell its agent."""
    if subscription.snapshot and (cursor is None or not subscription.synced):
        # The snapshot was not sent to its end, as far as the hub knows. An agent that has a cursor may have received it
        # all the same, before the restart of the hub: only then is there a reason to tell.
        reason = RESTART if subscription.restored and cursor is not None else None
        return None, subscription.lost or reason
    rev = subscription.start if cursor is None else cursor
    if subscription.lost is not None and rev < subscription.start:
        return None, subscription.lost
    if rev < _gap(transaction, subscription.interest.scope):
        return None, RESTART
    return (None, COMPACTED) if rev < transaction.state.log.floor else (rev, None)


def restart(transaction: Transaction, session: Session, sub: int) -> None:
    """Restart a cursor with a snapshot, because the log no longer reaches back to it."""
    transaction.effects_after_reply.append(_open_cursor(transaction, session, sub, restart=True, lost=COMPACTED))


def _open_cursor(
    transaction: Transaction,
    session: Session,
    sub: int,
    *,
    replay: bool = False,
    restart: bool = False,
    lost: str | None = None,
) -> OpenCursor:
    subscription = session.subscriptions[sub]
    if restart:
        subscription.start = transaction.rev
        subscription.snapshot = True
        subscription.synced = False
        subscription.lost = lost
        transaction.state.dirty.mark(subscription)
    interest = subscription.interest
    snapshot = None
    if subscription.snapshot:
        snapshot = transaction.state.snapshots.open(
            interest, transaction.state.log.rev, _held_locks(transaction, interest)
        )
    return OpenCursor(session.id, interest, subscription.echo, subscription.start, replay, snapshot, lost)


def _held_locks(transaction: Transaction, interest: Interest) -> list[Event]:
    """Return the held locks of an interest as `lock` events, for a snapshot."""
    if "lock" not in interest.scope.types:
        return []
    return [
        Event(
            type="lock",
            rev=request.token or 0,
            ns=request.ns,
            key=key,
            at=request.granted_at,
            by=request.agent,
            origin=request.session.id,
            lock=request.info(),
        )
        for request in transaction.state.lock_table.held.values()
        if interest.covers(request.ns)
        for key in request.keys
        if interest.first_match(key) is not None
    ]


def _checked_scope(
    transaction: Transaction, session: Session, command: m.Subscribe
) -> tuple[Scope, tuple[Pattern, ...]]:
    ns = session.ns if command.ns is None else command.ns
    if ns != EVERYWHERE:
        check_ns(ns, hub=True)
    limit = transaction.state.limits.patterns
    if len(command.patterns) > limit:
        raise LimitReached(f"a subscription has at most {limit} patterns: make several", limit=limit)
    if not command.patterns:
        raise BadRequest("patterns is empty: '*' matches everything", field="patterns")
    if command.types is not None and not command.types:
        raise BadRequest("types is empty: leave it out for the default types", field="types")
    longest = transaction.state.limits.conflate
    if command.conflate is not None and not 0 < command.conflate <= longest:
        raise BadRequest(f"conflate must be above 0 and at most {longest:g} seconds", field="conflate")
    unique = dict.fromkeys(compile_pattern(text, "patterns") for text in sorted(set(command.patterns)))
    patterns = tuple(unique)
    types = m.DEFAULT_TYPES if command.types is None else frozenset(command.types)
    texts = tuple(pattern.text for pattern in patterns)
    return Scope(ns, texts, types, command.values, command.prev, command.conflate), patterns


def _check_subscription_count(transaction: Transaction, session: Session, scope: Scope) -> None:
    limit = transaction.state.limits.subscriptions
    known = transaction.state.interests.get(scope)
    if len(session.subscriptions) >= limit and (known is None or known.sub not in session.subscriptions):
        raise LimitReached(f"this session has {limit} subscriptions: combine patterns in one", limit=limit)


def restore(transaction: Transaction, session: Session, record: SubscriptionRecord, lost: str | None) -> None:
    """Add a stored subscription again. With `lost`, the reason why no cursor can go on, it restarts with a snapshot."""
    patterns = tuple(compile_pattern(text) for text in record.patterns)
    scope = Scope(
        record.ns, tuple(record.patterns), frozenset(record.types), record.values, record.prev, record.conflate
    )
    interest = transaction.state.interests.restore(record.sub, scope, patterns, session.id)
    subscription = Subscription(
        session.id, interest, record.echo, record.start, record.snapshot, record.synced, record.lost, restored=True
    )
    session.subscriptions[record.sub] = subscription
    if lost is not None:
        subscription.start = transaction.state.log.rev
        subscription.snapshot = True
        subscription.synced = False
        subscription.lost = lost
        transaction.state.dirty.mark(subscription)


def _gap(transaction: Transaction, scope: Scope) -> int:
    """Return the revision up to which the log may lack events of this scope, because they were not persisted."""
    if scope.types.isdisjoint(_VOLATILE_TYPES):
        return 0
    return transaction.state.keyspace.version_floors.gap(None if scope.ns == EVERYWHERE else [scope.ns])


def _why_no_resume(transaction: Transaction, since: m.Since, scope: Scope) -> str | None:
    """Return the reason why a cursor cannot start after `since`; None if it can."""
    if since.epoch != transaction.state.epoch:
        return "epoch"
    if since.rev > transaction.rev or since.rev < 0:
        raise BadRequest(f"since is at rev {since.rev}, the hub is at {transaction.rev}", field="since")
    if not since.gaps and since.rev < _gap(transaction, scope):
        return RESTART
    return COMPACTED if since.rev < transaction.state.log.floor else None
