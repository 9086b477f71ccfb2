"""The rules of the commands on entries: set, get, delete, touch, update, list, history (protocol 4).

1. A rule first checks everything, then changes, then returns its reply. So a refused command has changed nothing.
2. If a command names the key of an entry that is due, that entry expires before the rule looks at it. For a command
   that scans many keys, a due entry is absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from msgspec import UNSET, Raw, UnsetType, structs

from waggle.wire import messages as m
from waggle.wire.errors import BadRequest, Conflict, LimitReached, NotFound
from waggle.wire.json import decode
from waggle.wire.names import check_key
from waggle.wire.patterns import compile_pattern
from waggle_hub.settings import EVERY, Quota
from waggle_hub.state import json_update
from waggle_hub.state.json_pointer import ABSENT
from waggle_hub.state.namespaces import emptied_ns, read_ns, written_ns
from waggle_hub.state.persistence.records import EntryId
from waggle_hub.state.sessions import Session
from waggle_hub.state.store.entry import ENTRY_OVERHEAD_BYTES, PERSISTED_KINDS, Entry
from waggle_hub.state.store.expiry import deadline_after
from waggle_hub.state.transaction import Transaction

from . import http_sessions, locks

T = TypeVar("T")


class StoreFull(LimitReached):
    """The hub has no room for an entry. The engine may evict so many `keys` and `bytes`, and try again."""

    def __init__(self, reason: str, limit: int, ns: str, key: str, *, keys: int, bytes: int) -> None:
        super().__init__(f"{reason}, and nothing can be evicted: delete some, or give them a ttl", limit=limit)
        self.ns = ns
        self.key = key
        self.keys = keys
        self.bytes = bytes


def set_(transaction: Transaction, session: Session, command: m.Set) -> m.Written:
    """Write an entry, or refuse."""
    ns = written_ns(command.ns, session)
    check_key(command.key)
    expires_at = _deadline(transaction, _default_ttl(transaction, ns) if command.ttl is None else command.ttl)
    if command.keep_ttl and command.ttl is not None:
        raise BadRequest("pass only one of ttl and keep_ttl", field="keep_ttl")
    value = transaction.encode_value(command.value, "value")
    meta = (
        None if command.meta is None else transaction.encode_value(command.meta, "meta", transaction.state.limits.meta)
    )
    prev = transaction.get_live(ns, command.key)
    locks.check_write(transaction, session, ns, command.key, command.guard)
    _check_if_rev(command.if_rev, prev)
    if command.keep_ttl and prev is not None:
        expires_at = prev.expires_at
    _check_can_write(transaction, ns, command.key, command.kind, prev)
    _check_room(transaction, ns, command.key, value, meta, prev)
    if command.ephemeral:
        _check_ephemeral(transaction, session, ns, command.key, expires_at)
    entry = transaction.put(
        ns,
        command.key,
        value,
        prev,
        expires_at=expires_at,
        kind=command.kind,
        meta=meta,
        owner=session.id if command.ephemeral else None,
        earlier=_earlier(transaction, command.kind, prev),
    )
    return m.Written(entry.rev, entry.version, entry.expires_at)


def get(transaction: Transaction, session: Session, command: m.Get) -> m.Got:
    """Return an entry, or None if there is none."""
    ns = read_ns(command.ns, session)
    check_key(command.key)
    entry = transaction.get_live(ns, command.key)
    return m.Got(None if entry is None else entry.to_wire(), transaction.rev)


def delete(transaction: Transaction, session: Session, command: m.Delete) -> m.Deleted:
    """Delete an entry, if there is one."""
    ns = emptied_ns(command.ns, session)
    check_key(command.key)
    entry = transaction.get_live(ns, command.key)
    locks.check_write(transaction, session, ns, command.key, command.guard)
    _check_if_rev(command.if_rev, entry)
    if entry is not None:
        _check_can_change(transaction, entry)
        transaction.remove(entry)
    return m.Deleted(entry is not None, transaction.rev)


def touch(transaction: Transaction, session: Session, command: m.Touch) -> m.Touched:
    """Give an entry a new deadline, or none. Its revision and version stay."""
    ns = written_ns(command.ns, session)
    check_key(command.key)
    expires_at = _deadline(transaction, command.ttl)
    entry = transaction.get_live(ns, command.key)
    locks.check_write(transaction, session, ns, command.key, command.guard)
    if entry is None:
        raise NotFound(f"there is no entry {command.key!r} in namespace {ns}: set it")
    _check_can_change(transaction, entry)
    owner = None if entry.owner is None else transaction.state.sessions.get(entry.owner)
    if owner is not None:
        http_sessions.check_ephemeral(owner, expires_at)
    transaction.touch(entry, expires_at)
    return m.Touched(expires_at, transaction.rev)


def update(transaction: Transaction, session: Session, command: m.Update) -> m.Updated:
    """Change a part of a value. Kind, meta and owner of the entry stay; so does its deadline, unless there is a ttl."""
    ns = written_ns(command.ns, session)
    check_key(command.key)
    expires_at = _deadline(transaction, command.ttl)
    _check_update(transaction, command)
    prev = transaction.get_live(ns, command.key)
    locks.check_write(transaction, session, ns, command.key, command.guard)
    _check_if_rev(command.if_rev, prev)
    try:
        value = transaction.encode_value(_updated(transaction, command, prev), "value")
    except json_update.PatchTestFailed as failed:
        raise Conflict(f"{failed}: decide again from current", current=prev.to_wire() if prev else None) from None
    meta = prev.meta if prev is not None else None
    kind = prev.kind if prev is not None else "persistent"
    _check_can_write(transaction, ns, command.key, kind, prev)
    _check_room(transaction, ns, command.key, value, meta, prev)
    if command.ttl is None:
        expires_at = prev.expires_at if prev is not None else _deadline(transaction, _default_ttl(transaction, ns))
    entry = transaction.put(
        ns,
        command.key,
        value,
        prev,
        expires_at=expires_at,
        kind=kind,
        meta=meta,
        owner=prev.owner if prev is not None else None,
        earlier=_earlier(transaction, kind, prev),
    )
    return m.Updated(entry.rev, entry.version, Raw(value), entry.expires_at)


def history(transaction: Transaction, session: Session, command: m.History) -> m.Histories:
    """Return the versions of an entry, the newest first: at least one, and no more than a page takes."""
    ns = read_ns(command.ns, session)
    check_key(command.key)
    if command.limit is not None and command.limit < 1:
        raise BadRequest("limit must be at least 1", field="limit")
    entry = transaction.get_live(ns, command.key)
    entries: list[m.Entry] = []
    size = 0
    for version in () if entry is None else (entry, *entry.earlier)[: command.limit]:
        size += ENTRY_OVERHEAD_BYTES + len(version.value)
        if entries and size > transaction.state.limits.page_bytes:
            break
        entries.append(version.to_wire())
    return m.Histories(entries)


def list_(transaction: Transaction, session: Session, command: m.List) -> m.Listed:
    """Return one page of the entries that match. A page ends after `limits.scan` keys, even if it is empty."""
    limits = transaction.state.limits
    ns = read_ns(command.ns, session)
    pattern = compile_pattern(command.pattern)
    if not 1 <= command.limit <= limits.page:
        raise BadRequest(f"limit must be 1 to {limits.page}: send after for the next page", field="limit")
    entries: list[m.Entry] = []
    size = 0
    last_key = None
    for scanned, entry in enumerate(transaction.state.keyspace.scan(ns, pattern, command.after)):
        if scanned == limits.scan or len(entries) == command.limit or size >= limits.page_bytes:
            return m.Listed(entries, last_key, transaction.rev)
        last_key = entry.key
        if not entry.is_due(transaction.now) and pattern.match(entry.key):
            entries.append(entry.to_wire(command.values))
            size += ENTRY_OVERHEAD_BYTES + (entry.size if command.values else len(entry.key))
    return m.Listed(entries, None, transaction.rev)


def namespaces(transaction: Transaction) -> m.NamespaceCounts:
    """Return the namespaces that have entries, with their numbers and bytes."""
    return m.NamespaceCounts(transaction.state.keyspace.counts())


def evict(transaction: Transaction, entry_ids: list[EntryId]) -> None:
    """Evict these entries in one revision, to make room. Only cached entries are."""
    transaction.attribute_to_hub()
    for ns, key in entry_ids:
        entry = transaction.state.keyspace.get(ns, key)
        if entry is not None and entry.kind == "cached":
            transaction.remove(entry, "evict")


def _earlier(transaction: Transaction, kind: str, prev: Entry | None) -> tuple[Entry, ...]:
    """Return the earlier versions that a versioned entry written in place of `prev` keeps, the newest first."""
    if kind != "versioned" or prev is None:
        return ()
    # Without its own earlier versions: they follow it in the same tuple.
    newest = structs.replace(prev, earlier=()) if prev.earlier else prev
    return (newest, *prev.earlier)[: transaction.state.limits.history]


def _check_update(transaction: Transaction, command: m.Update) -> None:
    operands = {"merge": command.merge, "patch": command.patch, "incr": command.incr, "append": command.append}
    given = [name for name, operand in operands.items() if operand is not UNSET]
    if len(given) != 1:
        field = given[1] if given else "merge"
        raise BadRequest("an update has exactly one of merge, patch, incr and append", field=field)
    if command.pointer is not None and given[0] in ("merge", "patch"):
        raise BadRequest(f"pointer goes with incr and append; a {given[0]} has its own paths", field="pointer")
    if given[0] != "patch":  # a patch may nest deeper than the value that it makes, which is checked afterwards
        transaction.encode_value(operands[given[0]], given[0])


def _updated(transaction: Transaction, command: m.Update, prev: Entry | None) -> Any:
    value = ABSENT if prev is None else decode(prev.value)
    pointer = command.pointer or ""
    if command.merge is not UNSET:
        return json_update.merge(value, command.merge)
    if not isinstance(command.incr, UnsetType):
        return json_update.increment(value, command.incr, pointer)
    if command.append is not UNSET:
        return json_update.append(value, command.append, pointer)
    assert not isinstance(command.patch, UnsetType)
    limits = transaction.state.limits
    return json_update.Patch(value, limits.value, limits.moved).apply(command.patch)


def _deadline(transaction: Transaction, ttl: float | None) -> float | None:
    if ttl is None:
        return None
    longest = transaction.state.limits.ttl
    if not 0 < ttl <= longest:
        raise BadRequest(f"ttl must be above 0 and at most {longest:.0f} seconds; leave it out for none", field="ttl")
    return deadline_after(transaction.now, ttl)


def _default_ttl(transaction: Transaction, ns: str) -> float | None:
    """Return the ttl of entries that are set in this namespace without one."""
    return _of_namespace(transaction.state.limits.default_ttls, ns)


def _of_namespace(settings: Mapping[str, T], ns: str) -> T | None:
    """Return the setting for this namespace, or else for all. A namespace of the hub has none."""
    return settings.get(ns, settings.get(EVERY)) if settings and not ns.startswith("$") else None


def _check_if_rev(if_rev: int | None, entry: Entry | None) -> None:
    if if_rev is None:
        return
    if if_rev < 0:
        raise BadRequest("if_rev must be 0 (only if absent) or the revision of the entry", field="if_rev")
    if if_rev != (0 if entry is None else entry.rev):
        actual = "is absent" if entry is None else f"has rev {entry.rev}"
        raise Conflict(
            f"expected rev {if_rev}, but the entry {actual}: decide again from current",
            current=None if entry is None else entry.to_wire(),
        )


def _check_can_change(transaction: Transaction, entry: Entry) -> None:
    """Raise Unavailable if the journal would have to persist a change of this entry, and cannot."""
    if entry.persisted:
        transaction.check_can_persist()


def _check_can_write(transaction: Transaction, ns: str, key: str, kind: str, prev: Entry | None) -> None:
    """Raise Unavailable if the journal would have to persist this write, and cannot.

    It would have to if the new entry is persisted, or the one that it replaces. If there is none to replace, but a
    persisted tombstone, a restart may not know of the deletion, and would give the same versions again.
    """
    if transaction.state.refusing is None:
        return
    replaces_persisted = (
        transaction.state.keyspace.tombstones.has_persisted(ns, key) if prev is None else prev.persisted
    )
    if kind in PERSISTED_KINDS or replaces_persisted:
        transaction.check_can_persist()


def _check_room(
    transaction: Transaction, ns: str, key: str, value: bytes, meta: bytes | None, prev: Entry | None
) -> None:
    limits, keyspace = transaction.state.limits, transaction.state.keyspace
    added_bytes = len(key) + len(value) + len(meta or b"") - (prev.size if prev is not None else 0)
    quota = _of_namespace(limits.quotas, ns)
    if quota is not None:
        _check_quota(quota, ns, *keyspace.usage(ns), is_new=prev is None, added_bytes=added_bytes)
    excess_keys = keyspace.keys + (prev is None) - limits.keys
    excess_bytes = keyspace.bytes + added_bytes - limits.bytes
    if prev is None and excess_keys > 0:
        reason = f"the hub holds {limits.keys} entries"
        raise StoreFull(reason, limits.keys, ns, key, keys=excess_keys, bytes=max(excess_bytes, 0))
    if added_bytes > 0 and excess_bytes > 0:
        reason = f"the hub holds {keyspace.bytes} bytes of values"
        raise StoreFull(reason, limits.bytes, ns, key, keys=0, bytes=excess_bytes)


def _check_quota(quota: Quota, ns: str, keys: int, size: int, *, is_new: bool, added_bytes: int) -> None:
    if is_new and quota.keys is not None and keys >= quota.keys:
        raise LimitReached(
            f"namespace {ns} has {keys} of at most {quota.keys} entries: delete some, or give them a ttl",
            limit=quota.keys,
        )
    if added_bytes > 0 and quota.bytes is not None and size + added_bytes > quota.bytes:
        raise LimitReached(
            f"namespace {ns} has {size} of at most {quota.bytes} bytes: delete some entries, or give them a ttl",
            limit=quota.bytes,
        )


def _check_ephemeral(transaction: Transaction, session: Session, ns: str, key: str, expires_at: float | None) -> None:
    http_sessions.check_ephemeral(session, expires_at)
    limit = transaction.state.limits.ephemeral
    if len(session.ephemeral) >= limit and (ns, key) not in session.ephemeral:
        raise LimitReached(f"this session has {limit} ephemeral entries: use a ttl instead", limit=limit)
