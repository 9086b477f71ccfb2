"""The rule of the command clear: what matches goes, a bounded part of it a call (protocol 4).

A call that has looked at many keys ends there, and the next of the session for the same pattern goes on from there.
But it leaves nothing behind: if a key that matches was written meanwhile where calls have been, or so much has happened
that it would take long to know, it begins anew.
"""

from __future__ import annotations

from typing import NamedTuple

from waggle.wire import messages as m
from waggle.wire.errors import BadRequest
from waggle.wire.names import Pattern, compile_pattern
from waggle_hub.state.namespaces import emptied_ns
from waggle_hub.state.sessions import Session
from waggle_hub.state.store.keyspace import Entry
from waggle_hub.state.transaction import Transaction

from . import locks


class Clearing(NamedTuple):
    """Where a clear goes on: its namespace and pattern, the last key that was looked at, and when that was."""

    ns: str
    pattern: str
    last: str
    rev: int


def clear(transaction: Transaction, session: Session, command: m.Clear) -> m.Cleared:
    """At most `limits.clear` deletions a call, and `limits.scan` keys looked at."""
    limits = transaction.state.limits
    ns = emptied_ns(command.ns, session)
    pattern = compile_pattern(command.pattern)
    if not command.confirm:
        raise BadRequest("clear deletes every entry that matches: say so with confirm: true", field="confirm")
    locks.check_clear(transaction, session, ns, pattern)
    doomed: list[Entry] = []
    last: str | None = None
    stopped = False
    for looked, entry in enumerate(
        transaction.state.keyspace.scan(ns, pattern, _begin(transaction, session.clear_cursor, ns, pattern))
    ):
        stopped = looked == limits.scan and last is not None
        if looked == limits.scan or len(doomed) == limits.clear:
            break
        last = entry.key
        if not entry.is_due(transaction.now) and pattern.match(entry.key):
            doomed.append(entry)
    else:
        last = None
    if any(entry.persisted for entry in doomed):
        transaction.check_can_persist()
    for entry in doomed:
        transaction.remove(entry)
    session.clear_cursor = Clearing(ns, pattern.text, last, transaction.rev) if stopped and last is not None else None
    return m.Cleared(len(doomed), last is not None, transaction.rev)


def _begin(transaction: Transaction, clearing: Clearing | None, ns: str, pattern: Pattern) -> str | None:
    """The key after which a clear begins; None for the first."""
    if clearing is None or (clearing.ns, clearing.pattern) != (ns, pattern.text):
        return None
    log, last = transaction.state.log, clearing.last
    if clearing.rev < log.floor or log.rev - clearing.rev > transaction.state.limits.clear:
        return None
    events = (event for commit in log.commits_after(clearing.rev) for event in commit.events)
    missed = any(
        event.type == "set" and event.ns == ns and event.key <= last and pattern.match(event.key) for event in events
    )
    return None if missed else last
