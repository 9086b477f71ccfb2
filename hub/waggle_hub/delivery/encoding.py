"""Encoding: replies, events and notices as lines, the JSON text of the wire (protocol 2 and 5).

Rules:
1. The body of an event is the same for every subscription with equal `values` and `prev`, so it is encoded once. The
   fields that differ (``sub``, ``rev``, ``after``, ``more``) are put in front of it.
2. Values are inserted as the text in which they are stored, never encoded again.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Raw, Struct

from waggle.wire import messages as m
from waggle.wire.json import encode
from waggle_hub.state.effects import DeferredReply, Reply
from waggle_hub.state.interests import Interest
from waggle_hub.state.log import Event, LockInfo
from waggle_hub.state.store.entry import Entry

from .frame import Payload

Bodies = dict[tuple[int, bool, bool], bytes]
"""Encoded bodies of one release, by the id of the event, `values` and `prev`."""


class EncodedEvent(Struct, frozen=True, eq=False, gc=False):
    """A line of a subscription, with its revision and the session that caused the event."""

    origin: str | None
    rev: int
    text: bytes


def reply_line(reply: Reply | DeferredReply) -> Payload:
    """Return the line of a reply. A repeated outcome has `dup` in the line, and in `ok`: HTTP shows only `ok`."""
    head = b'{"id":' + encode(reply.id)
    outcome = reply.outcome
    if outcome.error is not None:
        body = b',"error":' + encode(outcome.error.to_wire())
    else:
        body = b',"ok":' + encode(outcome.ok)
    if isinstance(reply, Reply) and reply.dup:
        # Spliced into the text: the outcome that is kept for retries is shared and must not change.
        body = body[:-1] + (b'"dup":true}' if body.endswith(b"{}") else b',"dup":true}') + b',"dup":true'
    return Payload(head + body + b"}")


def error_line(id: m.Id | None, error: dict[str, object]) -> Payload:
    """Return the line of an error reply; `id` is None if the command had no usable id."""
    return Payload(encode({"id": id, "error": error}))


def event_body(event: Event, values: bool, prev: bool) -> bytes:
    """Return the fields that all subscriptions with these `values` and `prev` share, without the opening brace."""
    entry = event.entry
    # A touch has an entry too, but carries only its new deadline.
    written = event.type == "set" and entry is not None
    line = m.Event(
        type=event.type,
        key=event.key,
        ns=event.ns,
        at=event.at,
        by=event.by,
        value=_raw(entry.value) if written and values and entry else UNSET,
        version=_version(event),
        kind=entry.kind if written and entry else UNSET,
        created_at=entry.created_at if written and entry else UNSET,
        expires_at=_deadline(event),
        meta=_raw(entry.meta) if written and entry and entry.meta is not None else UNSET,
        reason=UNSET if event.reason is None else event.reason,
        late=UNSET if event.late is None else event.late,
        data=UNSET if event.data is None else _raw(event.data),
        prev=_before(event.prev, values) if prev and event.type in m.ENTRY_TYPES else UNSET,
    )
    # Events about locks have no entry: these fields are theirs.
    if event.lock is not None:
        _add_lock(line, event.lock)
    return encode(line)[1:]


def event_line(sub: int, rev: int, after: int, more: bool, body: bytes) -> bytes:
    """Return the line of an event for one interest; `more` says that another event of this revision follows."""
    more_text = b'"more":true,' if more else b""
    return b'{"sub":%d,"rev":%d,"after":%d,%b%b' % (sub, rev, after, more_text, body)


def chain(interest: Interest, events: list[Event], after: int, bodies: Bodies) -> list[EncodedEvent]:
    """Return the lines of events in order of revisions, each with the revision of the line before it in `after`.

    `after` is the revision before the first line. Events of one revision share it.
    """
    scope = interest.scope
    lines = []
    last = len(events) - 1
    for number, event in enumerate(events):
        more = number < last and events[number + 1].rev == event.rev
        # By identity: the event lives as long as the dict, and hashing its fields would cost more than encoding.
        want = (id(event), scope.values, scope.prev)
        body = bodies.get(want)
        if body is None:
            body = bodies[want] = event_body(event, scope.values, scope.prev)
        lines.append(EncodedEvent(event.origin, event.rev, event_line(interest.sub, event.rev, after, more, body)))
        # All events of one revision name the same `after`, so the client can tell that they belong together.
        if not more:
            after = event.rev
    return lines


def snapshot_line(sub: int, entry: Entry, values: bool) -> bytes:
    """Return the line of an entry in a snapshot. Its `after` is 0: it is not part of the chain."""
    line = m.Event(
        type="set",
        rev=entry.rev,
        sub=sub,
        after=0,
        key=entry.key,
        ns=entry.ns,
        at=entry.updated_at,
        by=entry.by,
        snapshot=True,
        value=_raw(entry.value) if values else UNSET,
        version=entry.version,
        kind=entry.kind,
        created_at=entry.created_at,
        expires_at=entry.expires_at,
        meta=UNSET if entry.meta is None else _raw(entry.meta),
    )
    return encode(line)


def lock_snapshot_line(sub: int, event: Event) -> bytes:
    """Return the line of a lock in a snapshot. Its `after` is 0: it is not part of the chain."""
    return event_line(sub, event.rev, 0, False, b'"snapshot":true,' + event_body(event, values=False, prev=False))


def _add_lock(line: m.Event, lock: LockInfo) -> None:
    line.token = lock.token
    line.mode = lock.mode
    line.session = lock.session
    line.expires_at = lock.expires_at
    line.names = lock.names
    line.patterns = lock.patterns
    line.waiting = lock.waiting


def lock_lost_line(lock: m.LostLock) -> Payload:
    """Return the line that tells a session that it no longer holds a lock."""
    return Payload(encode({"lost": lock}))


class _Mark(Struct, omit_defaults=True):
    type: str
    rev: int
    sub: int | None = None


class _Lost(Struct):
    sub: int
    reason: str
    type: str = "lost"


def mark_line(rev: int, sub: int | None = None) -> bytes:
    """Return a mark: everything up to `rev` has been sent, for this subscription or for the whole connection."""
    return encode(_Mark("mark", rev, sub))


def synced_line(sub: int, rev: int) -> bytes:
    """Return the line that ends a snapshot at `rev`."""
    return encode(_Mark("synced", rev, sub))


def lost_line(sub: int, reason: str) -> bytes:
    """Return the line that says that the log does not reach back: a fresh snapshot follows and replaces the view."""
    return encode(_Lost(sub, reason))


def _raw(text: bytes) -> Raw:
    return Raw(text)


def _version(event: Event) -> int | msgspec.UnsetType:
    if event.type == "set" and event.entry is not None:
        return event.entry.version
    # The version that was removed: the entry that has gone no longer has one.
    if event.type in ("delete", "expire", "evict") and event.prev is not None:
        return event.prev.version
    return UNSET


def _deadline(event: Event) -> float | msgspec.UnsetType | None:
    """Return ``expires_at`` of an event: the entry's deadline, for `expire` the one that came."""
    if event.type == "expire" and event.prev is not None:
        return event.prev.expires_at or 0.0
    return UNSET if event.entry is None else event.entry.expires_at


def _before(entry: Entry | None, values: bool) -> m.Entry | None:
    return None if entry is None else entry.to_wire(values)
