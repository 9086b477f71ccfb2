"""The rules of the commands on entries: set, get, delete, touch, list, clear, namespaces (protocol 4).

Each rule checks everything first, then changes, then answers. A key that the command names and that is due expires
before the rule looks at it; to commands that look at many keys a due entry is simply absent.
"""

from __future__ import annotations

from waggle import messages as m
from waggle.errors import BadRequest, Conflict, LimitReached, NotFound
from waggle.keys import check_key, check_ns, compile_pattern

from .deadlines import deadline_after
from .keyspace import Entry
from .sessions import Session
from .turn import Turn, refuse_hub_namespace

_VIEW_BYTES = 250
"""What the fields of an entry take in a reply, beside its key, value and meta."""


def set_(turn: Turn, session: Session, command: m.Set) -> m.Written:
    ns = _written_ns(command.ns, session)
    check_key(command.key)
    expires_at = _deadline(turn, command.ttl)
    if command.keep_ttl and command.ttl is not None:
        raise BadRequest("ttl and keep_ttl exclude each other: give one", field="keep_ttl")
    value = turn.value(command.value, "value")
    meta = None if command.meta is None else turn.value(command.meta, "meta", turn.state.limits.meta)
    prev = turn.live(ns, command.key)
    _check_if_rev(command.if_rev, prev)
    if command.keep_ttl and prev is not None:
        expires_at = prev.expires_at
    _check_room(turn, command.key, value, meta, prev)
    if command.ephemeral:
        _check_ephemeral(turn, session, ns, command.key)
    entry = turn.put(
        ns,
        command.key,
        value,
        prev,
        expires_at=expires_at,
        kind=command.kind,
        meta=meta,
        owner=session if command.ephemeral else None,
    )
    return m.Written(entry.rev, entry.version, entry.expires_at)


def get(turn: Turn, session: Session, command: m.Get) -> m.Got:
    ns = _read_ns(command.ns, session)
    check_key(command.key)
    entry = turn.live(ns, command.key)
    return m.Got(None if entry is None else entry.view(), turn.rev)


def delete(turn: Turn, session: Session, command: m.Delete) -> m.Deleted:
    ns = _written_ns(command.ns, session)
    check_key(command.key)
    entry = turn.live(ns, command.key)
    _check_if_rev(command.if_rev, entry)
    if entry is not None:
        turn.remove(entry)
    return m.Deleted(entry is not None, turn.rev)


def touch(turn: Turn, session: Session, command: m.Touch) -> m.Touched:
    ns = _written_ns(command.ns, session)
    check_key(command.key)
    expires_at = _deadline(turn, command.ttl)
    entry = turn.live(ns, command.key)
    if entry is None:
        raise NotFound(f"there is no entry {command.key!r} in namespace {ns}: set it")
    turn.touch(entry, expires_at)
    return m.Touched(expires_at, turn.rev)


def list_(turn: Turn, session: Session, command: m.List) -> m.Listed:
    limits = turn.state.limits
    ns = _read_ns(command.ns, session)
    pattern = compile_pattern(command.pattern)
    if not 1 <= command.limit <= limits.page:
        raise BadRequest(f"limit is 1 to {limits.page}: take more pages with after", field="limit")
    entries: list[m.Entry] = []
    size = 0
    last = None
    for looked, entry in enumerate(turn.state.keyspace.scan(ns, pattern, command.after)):
        if looked == limits.scan or len(entries) == command.limit or size >= limits.page_bytes:
            return m.Listed(entries, last, turn.rev)
        last = entry.key
        if not entry.due(turn.now) and pattern.match(entry.key):
            entries.append(entry.view(command.values))
            size += _VIEW_BYTES + (entry.size if command.values else len(entry.key))
    return m.Listed(entries, None, turn.rev)


def clear(turn: Turn, session: Session, command: m.Clear) -> m.Cleared:
    """At most `limits.clear` deletions and `limits.scan` keys looked at a call: the next call goes on from there."""
    limits = turn.state.limits
    ns = _written_ns(command.ns, session)
    pattern = compile_pattern(command.pattern)
    if not command.confirm:
        raise BadRequest("clear deletes every entry that matches: say so with confirm: true", field="confirm")
    after = None
    if session.clearing is not None and session.clearing[:2] == (ns, pattern.text):
        after = session.clearing[2]
    session.clearing = None
    doomed: list[Entry] = []
    last: str | None = None
    for looked, entry in enumerate(turn.state.keyspace.scan(ns, pattern, after)):
        if looked == limits.scan or len(doomed) == limits.clear:
            break
        last = entry.key
        if not entry.due(turn.now) and pattern.match(entry.key):
            doomed.append(entry)
    else:
        last = None
    if last is not None:
        session.clearing = (ns, pattern.text, last)
    for entry in doomed:
        turn.remove(entry)
    return m.Cleared(len(doomed), last is not None, turn.rev)


def namespaces(turn: Turn) -> m.NamespaceCounts:
    return m.NamespaceCounts(turn.state.keyspace.counts())


def _read_ns(ns: str | None, session: Session) -> str:
    if ns is None:
        return session.ns
    check_ns(ns, hub=True)
    return ns


def _written_ns(ns: str | None, session: Session) -> str:
    if ns is None:
        return session.ns
    check_ns(ns, hub=True)
    refuse_hub_namespace(ns)
    return ns


def _deadline(turn: Turn, ttl: float | None) -> float | None:
    if ttl is None:
        return None
    longest = turn.state.limits.ttl
    if not 0 < ttl <= longest:
        raise BadRequest(f"ttl is above 0 and at most {longest:.0f} seconds; leave it out for no deadline", field="ttl")
    return deadline_after(turn.now, ttl)


def _check_if_rev(if_rev: int | None, entry: Entry | None) -> None:
    if if_rev is None:
        return
    if if_rev < 0:
        raise BadRequest("if_rev is 0 (only if absent) or the revision of the entry", field="if_rev")
    if if_rev != (0 if entry is None else entry.rev):
        found = "is absent" if entry is None else f"has rev {entry.rev}"
        raise Conflict(
            f"expected rev {if_rev}, but the entry {found}: decide again from current",
            current=None if entry is None else entry.view(),
        )


def _check_room(turn: Turn, key: str, value: bytes, meta: bytes | None, prev: Entry | None) -> None:
    limits, keyspace = turn.state.limits, turn.state.keyspace
    if prev is None and keyspace.keys >= limits.keys:
        raise LimitReached(f"the hub holds {limits.keys} entries: delete some, or give them a ttl", limit=limits.keys)
    added = len(key) + len(value) + len(meta or b"") - (prev.size if prev is not None else 0)
    if added > 0 and keyspace.bytes + added > limits.bytes:
        raise LimitReached(
            f"the hub holds {limits.bytes} bytes of values: delete some, or give them a ttl",
            limit=limits.bytes,
        )


def _check_ephemeral(turn: Turn, session: Session, ns: str, key: str) -> None:
    limit = turn.state.limits.ephemeral
    if len(session.ephemeral) >= limit and (ns, key) not in session.ephemeral:
        raise LimitReached(f"this session has {limit} ephemeral entries: use a ttl instead", limit=limit)
