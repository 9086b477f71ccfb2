"""Clearing: all memories are copied into a backup namespace first, and then exactly what was copied is deleted.

Rules:
1. A backup is a namespace, `memory.backup.YYYYMMDD-HHMMSS-ffffff-xxxx`, with the entries under their keys: any door
   can read it, export it, and import it again.
2. Nothing is deleted before all of it is copied. If there is no room for that, the copy is removed again.
3. A memory written since it was copied stays: each deletion names the revision of the copy. So does a locked memory.
4. The newest `MAX_BACKUPS` backups are kept, and the own one in any case: other callers may be as fast.
"""

from __future__ import annotations

import secrets
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import msgspec

from waggle.compat.mapping import MEMORY, memory_of
from waggle.ops import Caller
from waggle.wire.errors import Conflict, Locked, WaggleError
from waggle.wire.limits import MAX_TXN_STEPS

__all__ = ["BACKUP_PREFIX", "MAX_BACKUPS", "Cleared", "backups", "clear"]

BACKUP_PREFIX: Final = f"{MEMORY}.backup."
"""How the names of the backups begin."""
MAX_BACKUPS: Final = 10
BATCH_BYTES: Final = 2**20
"""Bytes of what one txn copies, unless one value alone is larger: a message may have 16 MiB."""
PAGE_ENTRIES: Final = MAX_TXN_STEPS
"""Entries that are read at a time."""


class Cleared(NamedTuple):
    """How many memories were deleted, and how many were not, since they were changed meanwhile or are locked; the
    backup that holds them all, None if there was nothing to clear."""

    cleared: int
    left: int
    backup: str | None


Entry = dict[str, Any]
Copied = tuple[str, int]
"""A key, and the revision that was copied."""


def backups(namespaces: list[dict[str, Any]]) -> list[str]:
    """Return the names of the backup namespaces, the oldest first."""
    return sorted(one["ns"] for one in namespaces if one["ns"].startswith(BACKUP_PREFIX))


async def clear(caller: Caller, at: int) -> Cleared:
    """Copy all memories, then delete them; ``at`` is the instant, in microseconds. Raises WaggleError if they cannot
    be copied: then nothing is deleted."""
    when = datetime.fromtimestamp(at // 1_000_000, UTC)
    backup = f"{BACKUP_PREFIX}{when:%Y%m%d-%H%M%S}-{at % 1_000_000:06}-{secrets.token_hex(2)}"
    try:
        copied = await _copy(caller, backup, at / 1e6)
    except BaseException:
        with suppress(WaggleError):
            await _empty(caller, backup)
        raise
    if not copied:
        return Cleared(0, 0, None)
    count = 0
    try:
        for first in range(0, len(copied), MAX_TXN_STEPS):
            count += await _delete(caller, copied[first : first + MAX_TXN_STEPS])
        there = (await caller.call("namespaces", {}))["namespaces"]
        others = [one for one in backups(there) if one != backup]
        for older in others[: 1 - MAX_BACKUPS]:
            await _empty(caller, older)
    except WaggleError as error:
        error.message = f"{error.message.rstrip('.')}. Up to there {count} were cleared; all are in {backup}."
        raise
    return Cleared(count, len(copied) - count, backup)


async def _copy(caller: Caller, backup: str, at: float) -> list[Copied]:
    """Copy all memories into a namespace, with what is left of their time."""
    copied: list[Copied] = []
    ahead = at - time.monotonic()
    after: str | None = None
    while True:
        page = await caller.call("list", {"ns": MEMORY, "pattern": "*", "limit": PAGE_ENTRIES, "after": after})
        batch: list[tuple[Entry, int]] = []
        size = 0
        for entry in page["entries"]:
            value = msgspec.json.encode(entry["value"])
            if memory_of(entry["key"], value) is None:
                continue
            if batch and (len(batch) == MAX_TXN_STEPS or size + len(value) > BATCH_BYTES):
                copied += await _write(caller, backup, batch, ahead)
                batch, size = [], 0
            batch.append((entry, len(value)))
            size += len(value)
        if batch:
            copied += await _write(caller, backup, batch, ahead)
        after = page["next"]
        if after is None:
            return copied


async def _write(caller: Caller, backup: str, batch: list[tuple[Entry, int]], ahead: float) -> list[Copied]:
    now = time.monotonic() + ahead
    entries = [entry for entry, _ in batch if entry["expires_at"] is None or entry["expires_at"] > now]
    if entries:
        await caller.call("txn", {"if": [], "then": [_step(entry, backup, now) for entry in entries]})
    return [(entry["key"], entry["rev"]) for entry in entries]


def _step(entry: Entry, backup: str, now: float) -> Entry:
    step: Entry = {"op": "set", "ns": backup, "key": entry["key"], "value": entry["value"], "kind": entry["kind"]}
    if entry.get("meta") is not None:
        step["meta"] = entry["meta"]
    if entry["expires_at"] is not None:
        step["ttl"] = entry["expires_at"] - now
    return step


async def _delete(caller: Caller, copied: list[Copied]) -> int:
    """Delete these as they were copied, those that have changed left aside; how many that were."""
    steps = [{"op": "delete", "ns": MEMORY, "key": key} for key, _ in copied]
    unchanged = [{"ns": MEMORY, "key": key, "rev": rev} for key, rev in copied]
    with suppress(Conflict, Locked):  # then one by one
        if (await caller.call("txn", {"if": unchanged, "then": steps}))["done"] == "then":
            return len(copied)
    count = 0
    for key, rev in copied:
        with suppress(Conflict, Locked):
            count += (await caller.call("delete", {"ns": MEMORY, "key": key, "if_rev": rev}))["deleted"]
    return count


async def _empty(caller: Caller, ns: str) -> None:
    while (await caller.call("clear", {"ns": ns, "pattern": "*", "confirm": True}))["more"]:
        pass
