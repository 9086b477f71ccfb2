"""The rule of `clear`: delete every entry that matches a pattern, a bounded number in each call (protocol 4).

A call looks at a bounded number of keys. If it stops for that reason, the session keeps a cursor, from which its next
clear of the same pattern goes on. A cursor is not used if a matching key at or before it was written since, or if so
much has happened since that this would take long to find out: then the clear starts again from the first key. So after
the last call, no entry is left that existed when it was made.
"""

from __future__ import annotations

from typing import NamedTuple

from waggle.wire import messages as m
from waggle.wire.errors import BadRequest
from waggle.wire.patterns import Pattern, compile_pattern
from waggle_hub.state.namespaces import emptied_ns
from waggle_hub.state.sessions import Session
from waggle_hub.state.store.entry import Entry
from waggle_hub.state.transaction import Transaction

from . import locks


class ClearCursor(NamedTuple):
    """The point from which the next clear of this pattern goes on."""

    ns: str
    pattern: str
    last_key: str
    """The last key that was looked at."""
    rev: int
    """The revision at which it was."""


def clear(transaction: Transaction, session: Session, command: m.Clear) -> m.Cleared:
    """Delete at most `limits.clear` entries, and look at no more than `limits.scan` keys."""
    limits = transaction.state.limits
    ns = emptied_ns(command.ns, session)
    pattern = compile_pattern(command.pattern)
    if not command.confirm:
        raise BadRequest("clear deletes every entry that matches: say so with confirm: true", field="confirm")
    locks.check_clear(transaction, session, ns, pattern)
    to_delete: list[Entry] = []
    last_key: str | None = None
    scan_limit_reached = False
    start_after = _start_after(transaction, session.clear_cursor, ns, pattern)
    for scanned, entry in enumerate(transaction.state.keyspace.scan(ns, pattern, start_after)):
        scan_limit_reached = scanned == limits.scan and last_key is not None
        if scanned == limits.scan or len(to_delete) == limits.clear:
            break
        last_key = entry.key
        if not entry.is_due(transaction.now) and pattern.match(entry.key):
            to_delete.append(entry)
    else:
        last_key = None
    if any(entry.persisted for entry in to_delete):
        transaction.check_can_persist()
    for entry in to_delete:
        transaction.remove(entry)
    # A call that stopped at `limits.clear` keeps no cursor: its deletions are the progress.
    session.clear_cursor = None
    if scan_limit_reached and last_key is not None:
        session.clear_cursor = ClearCursor(ns, pattern.text, last_key, transaction.rev)
    return m.Cleared(len(to_delete), last_key is not None, transaction.rev)


def _start_after(transaction: Transaction, cursor: ClearCursor | None, ns: str, pattern: Pattern) -> str | None:
    """Return the key after which a clear starts; None for the first key."""
    if cursor is None or (cursor.ns, cursor.pattern) != (ns, pattern.text):
        return None
    log = transaction.state.log
    if cursor.rev < log.floor or log.rev - cursor.rev > transaction.state.limits.clear:
        return None
    events = (event for commit in log.commits_after(cursor.rev) for event in commit.events)
    written_before_cursor = any(
        event.type == "set" and event.ns == ns and event.key <= cursor.last_key and pattern.match(event.key)
        for event in events
    )
    return None if written_before_cursor else cursor.last_key
