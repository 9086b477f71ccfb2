"""The health check: the state of this hub, under the names of the original."""

from __future__ import annotations

from typing import Any

from waggle.compat.mapping import MEMORY, MOST_MEMORIES, SETTINGS
from waggle.compat.shared_memory.clear_memory import BACKUP_PREFIX, backups
from waggle.compat.shared_memory.memories import Memories, told
from waggle.ops import Caller

__all__ = ["health"]


async def health(memories: Memories, caller: Caller) -> dict[str, Any]:
    """Return the state of the hub under the original's names. Raises WaggleError if the hub does not answer."""
    at = told(await memories.instant(caller))
    hub = await caller.call("stats", {})
    namespaces = (await caller.call("namespaces", {}))["namespaces"]
    size = next((one["bytes"] for one in namespaces if one["ns"] == MEMORY), None)
    total, others, (most, wrong) = await memories.ask(caller, lambda index: (index.total(), index.others, index.most))
    kept = backups(namespaces)
    refusing = hub["refusing"]
    checks: dict[str, dict[str, Any]] = {
        "storage_file": {
            "status": "ok" if refusing is None else "error",
            "path": f"namespace {MEMORY} of the hub",
            "exists": size is not None,
            "size_bytes": size or 0,
            "durability": hub["durability"],
            "rev": hub["rev"],
        },
        "file_locking": {
            "status": "ok",
            "message": "Nothing is locked: each change names the revision that it was made of",
            "locks_held": hub["locks"],
        },
        "json_parsing": {"status": "warning" if others else "ok", "entry_count": total, "others": others},
        "backup_system": {
            "status": "ok",
            "backup_dir": f"namespaces {BACKUP_PREFIX}*",
            "backup_count": len(kept),
            "newest": kept[-1] if kept else None,
        },
        "settings": {"status": "warning" if wrong else "ok", "max_entries": most},
    }
    notes = []
    if others:
        notes.append(f"{others} values in namespace {MEMORY} are no memories and are left out")
    if wrong:
        notes.append(
            f"{wrong[:300]}; {MOST_MEMORIES} is used: waggle set {SETTINGS} '{{\"max_entries\": N}}' --ns {MEMORY}"
        )
    operational = "All systems operational" if refusing is None else f"Nothing can be added for now: {refusing[:300]}"
    message = "; ".join([operational, *notes])
    return {"success": refusing is None, "timestamp": at, "checks": checks, "message": message}
