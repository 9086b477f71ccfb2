"""The rules of subscriptions: subscribe, unsubscribe, publish, and where a cursor goes on (protocol 5).

The machine knows of each subscription what was asked and where it began. How far its agent has read is delivery's
to know while the agent is connected, and the agent's own (`cursors`) after that.
"""

from __future__ import annotations

from waggle.wire import messages as m
from waggle.wire.errors import BadRequest, LimitReached, NotFound
from waggle.wire.names import Pattern, check_key, check_ns, compile_pattern
from waggle_hub.state.effects import CloseCursor, Effect, OpenCursor
from waggle_hub.state.interests import EVERYWHERE, Interest, Scope
from waggle_hub.state.log import Event
from waggle_hub.state.namespaces import written_ns
from waggle_hub.state.persistence.records import SubscriptionRecord
from waggle_hub.state.sessions import Session, Subscription
from waggle_hub.state.transaction import Transaction

COMPACTED = "compacted"
RESTART = "restart"
_FLEETING = m.ENTRY_TYPES | {"message"}
"""The types of events that may not be kept."""


def subscribe(transaction: Transaction, session: Session, command: m.Subscribe) -> m.Subscribed:
    scope, patterns = _scope(transaction, session, command)
    reason = None if command.since is None else _cannot_resume(transaction, command.since, scope)
    _check_number(transaction, session, scope)
    interest = transaction.state.interests.add_session(scope, patterns, session.id)
    resumed = command.since is not None and reason is None
    snapshot = (command.snapshot and not resumed) or reason is not None
    start = command.since.rev if command.since is not None and resumed else transaction.rev
    subscription = Subscription(session.id, interest, command.echo, start, snapshot)
    session.subscriptions[interest.sub] = subscription
    transaction.state.dirty.mark(subscription)
    transaction.effects_after_reply.append(_attach(transaction, session, interest.sub, replay=resumed))
    return m.Subscribed(
        interest.sub,
        transaction.state.epoch,
        transaction.rev,
        resumed=None if command.since is None else resumed,
        reason=reason,
    )


def unsubscribe(transaction: Transaction, session: Session, command: m.Unsubscribe) -> m.Empty:
    if command.sub not in session.subscriptions:
        raise NotFound(f"this session has no subscription {command.sub}")
    end(transaction, session, command.sub)
    transaction.effects_after_reply.append(CloseCursor(session.id, command.sub))
    return m.Empty()


def publish(transaction: Transaction, session: Session, command: m.Publish) -> m.Published:
    ns = written_ns(command.ns, session)
    check_key(command.channel, "channel")
    data = transaction.encode_value(command.data, "data")
    receivers: dict[str, None] = {}
    for interest in transaction.state.interests.find(ns, command.channel, "message"):
        receivers.update(interest.sessions)
    transaction.publish(ns, command.channel, data)
    return m.Published(transaction.rev, len(receivers))


def end(transaction: Transaction, session: Session, sub: int) -> None:
    """The session has this subscription no longer."""
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
    """Let each cursor go on from where its agent says that it stands, or begin again where it cannot."""
    attached: list[Effect] = []
    for sub, subscription in session.subscriptions.items():
        rev, lost = _stands(transaction, subscription, cursors.get(sub))
        if rev is None:
            attached.append(_attach(transaction, session, sub, restart=True, lost=lost))
        else:
            attached.append(OpenCursor(session.id, subscription.interest, subscription.echo, rev, replay=True))
    return attached


def _stands(transaction: Transaction, subscription: Subscription, cursor: int | None) -> tuple[int | None, str | None]:
    """The revision where a cursor stands; or None, and what its agent is to be told of why it begins again."""
    if subscription.snapshot and (cursor is None or not subscription.synced):
        forgotten = RESTART if subscription.restored and cursor is not None else None
        return None, subscription.lost or forgotten
    rev = subscription.start if cursor is None else cursor
    if subscription.lost is not None and rev < subscription.start:
        return None, subscription.lost
    if rev < _gap(transaction, subscription.interest.scope):
        return None, RESTART
    return (None, COMPACTED) if rev < transaction.state.log.floor else (rev, None)


def restart(transaction: Transaction, session: Session, sub: int) -> None:
    """The log no longer reaches back to where this cursor stands: it begins again with a snapshot."""
    transaction.effects_after_reply.append(_attach(transaction, session, sub, restart=True, lost=COMPACTED))


def _attach(
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
        snapshot = transaction.state.snapshots.open(interest, transaction.state.log.rev, _held(transaction, interest))
    return OpenCursor(session.id, interest, subscription.echo, subscription.start, replay, snapshot, lost)


def _held(transaction: Transaction, interest: Interest) -> list[Event]:
    """The locks that are held and that an interest asks for, as the events of their grants would tell them now."""
    if "lock" not in interest.scope.types:
        return []
    return [
        Event(
            type="lock",
            rev=claim.token or 0,
            ns=claim.ns,
            key=key,
            at=claim.granted_at,
            by=claim.agent,
            origin=claim.session.id,
            lock=claim.info(),
        )
        for claim in transaction.state.lock_table.held.values()
        if interest.covers(claim.ns)
        for key in claim.keys
        if interest.first_match(key) is not None
    ]


def _scope(transaction: Transaction, session: Session, command: m.Subscribe) -> tuple[Scope, tuple[Pattern, ...]]:
    ns = session.ns if command.ns is None else command.ns
    if ns != EVERYWHERE:
        check_ns(ns, hub=True)
    limit = transaction.state.limits.patterns
    if len(command.patterns) > limit:
        raise LimitReached(f"a subscription has at most {limit} patterns: make several", limit=limit)
    if not command.patterns:
        raise BadRequest("patterns is empty: '*' asks for everything", field="patterns")
    if command.types is not None and not command.types:
        raise BadRequest("types is empty: leave it out for the usual ones", field="types")
    longest = transaction.state.limits.conflate
    if command.conflate is not None and not 0 < command.conflate <= longest:
        raise BadRequest(f"conflate is a number of seconds above 0 and at most {longest:g}", field="conflate")
    unique = dict.fromkeys(compile_pattern(text, "patterns") for text in sorted(set(command.patterns)))
    patterns = tuple(unique)
    types = m.DEFAULT_TYPES if command.types is None else frozenset(command.types)
    texts = tuple(pattern.text for pattern in patterns)
    return Scope(ns, texts, types, command.values, command.prev, command.conflate), patterns


def _check_number(transaction: Transaction, session: Session, scope: Scope) -> None:
    limit = transaction.state.limits.subscriptions
    known = transaction.state.interests.get(scope)
    if len(session.subscriptions) >= limit and (known is None or known.sub not in session.subscriptions):
        raise LimitReached(f"this session has {limit} subscriptions: put patterns together in one", limit=limit)


def restore(transaction: Transaction, session: Session, record: SubscriptionRecord, lost: str | None) -> None:
    """A cursor comes back as it was kept; `lost` says why no cursor can go on, if that is so."""
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
    """The revision up to which something that this scope asks for may be missing in the log."""
    if scope.types.isdisjoint(_FLEETING):
        return 0
    return transaction.state.keyspace.version_floors.gap(None if scope.ns == EVERYWHERE else [scope.ns])


def _cannot_resume(transaction: Transaction, since: m.Since, scope: Scope) -> str | None:
    """Why everything after `since` cannot be told, None if it can."""
    if since.epoch != transaction.state.epoch:
        return "epoch"
    if since.rev > transaction.rev or since.rev < 0:
        raise BadRequest(f"since is at rev {since.rev}, the hub is at {transaction.rev}", field="since")
    if not since.gaps and since.rev < _gap(transaction, scope):
        return RESTART
    return COMPACTED if since.rev < transaction.state.log.floor else None
