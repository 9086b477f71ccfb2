"""Lines: what the machine gives off, as JSON text of the wire (protocol 2 and 5).

The body of an event is the same for every subscription that wants the same of (values, prev); what differs (``sub``,
``rev``, ``after``, ``more``) is put in front. Values are spliced in as they are stored, never encoded again.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Raw, Struct

from waggle.wire import messages as m
from waggle_hub.state.effects import DeferredReply, Reply
from waggle_hub.state.interests import Interest
from waggle_hub.state.log import Event, LockInfo
from waggle_hub.state.store.keyspace import Entry

from .frame import Payload

_encode = msgspec.json.Encoder().encode

Bodies = dict[tuple[int, bool, bool], bytes]
"""Bodies that have been encoded, by the id of the event, values and prev."""


class EncodedEvent(Struct, frozen=True, eq=False, gc=False):
    """A line of a subscription, with its revision and the session that did it."""

    origin: str | None
    rev: int
    text: bytes


def reply_line(reply: Reply | DeferredReply) -> Payload:
    """The line of a reply; a repeated outcome says so beside and inside of `ok`, for doors that show only `ok`."""
    head = b'{"id":' + _encode(reply.id)
    outcome = reply.outcome
    if outcome.error is not None:
        body = b',"error":' + _encode(outcome.error.to_wire())
    else:
        body = b',"ok":' + _encode(outcome.ok)
    if isinstance(reply, Reply) and reply.dup:
        body = body[:-1] + (b'"dup":true}' if body.endswith(b"{}") else b',"dup":true}') + b',"dup":true'
    return Payload(head + body + b"}")


def error_line(id: m.Id | None, error: dict[str, object]) -> Payload:
    """The line of a refusal; `id` is None where the line had no usable id."""
    return Payload(_encode({"id": id, "error": error}))


def event_body(event: Event, values: bool, prev: bool) -> bytes:
    """What is the same for all subscriptions that want (values, prev), without its opening brace."""
    entry = event.entry
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
    if event.lock is not None:
        _add_grip(line, event.lock)
    return _encode(line)[1:]


def event_line(sub: int, rev: int, after: int, more: bool, body: bytes) -> bytes:
    """An event for one interest; `more` says that the same revision goes on."""
    more_text = b'"more":true,' if more else b""
    return b'{"sub":%d,"rev":%d,"after":%d,%b%b' % (sub, rev, after, more_text, body)


def chain(interest: Interest, events: list[Event], after: int, bodies: Bodies) -> list[EncodedEvent]:
    """The lines of events in order of revisions, each with the revision told before its own; `after` is the first's."""
    scope = interest.scope
    lines = []
    last = len(events) - 1
    for number, event in enumerate(events):
        more = number < last and events[number + 1].rev == event.rev
        want = (id(event), scope.values, scope.prev)
        body = bodies.get(want)
        if body is None:
            body = bodies[want] = event_body(event, scope.values, scope.prev)
        lines.append(EncodedEvent(event.origin, event.rev, event_line(interest.sub, event.rev, after, more, body)))
        if not more:
            after = event.rev
    return lines


def snapshot_line(sub: int, entry: Entry, values: bool) -> bytes:
    """An entry of a snapshot. Its `after` is 0: it stands outside of the chain."""
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
    return _encode(line)


def lock_snapshot_line(sub: int, event: Event) -> bytes:
    """A lock of a snapshot. Its `after` is 0: it stands outside of the chain."""
    return event_line(sub, event.rev, 0, False, b'"snapshot":true,' + event_body(event, values=False, prev=False))


def _add_grip(line: m.Event, grip: LockInfo) -> None:
    line.token = grip.token
    line.mode = grip.mode
    line.session = grip.session
    line.expires_at = grip.expires_at
    line.names = grip.names
    line.patterns = grip.patterns
    line.waiting = grip.waiting


def lock_lost_line(lock: m.LostLock) -> Payload:
    """What the holder of a lock hears that it has lost."""
    return Payload(_encode({"lost": lock}))


class _Mark(Struct, omit_defaults=True):
    type: str
    rev: int
    sub: int | None = None


class _Lost(Struct):
    sub: int
    reason: str
    type: str = "lost"


def mark_line(rev: int, sub: int | None = None) -> bytes:
    """Everything up to `rev` has been sent: to this subscription, or to all of the connection."""
    return _encode(_Mark("mark", rev, sub))


def synced_line(sub: int, rev: int) -> bytes:
    """The snapshot at `rev` is complete."""
    return _encode(_Mark("synced", rev, sub))


def lost_line(sub: int, reason: str) -> bytes:
    """The log no longer reaches back; a fresh snapshot follows and replaces what was had."""
    return _encode(_Lost(sub, reason))


def _raw(text: bytes) -> Raw:
    return Raw(text)


def _version(event: Event) -> int | msgspec.UnsetType:
    if event.type == "set" and event.entry is not None:
        return event.entry.version
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
