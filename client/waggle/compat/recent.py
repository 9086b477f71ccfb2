"""The newest entries of a namespace, as many as a reply has room for.

The hub lists in the order of keys, and knows no other order. So all matching entries are listed, a page at a time
and without their values, and only those that are shown are read. An entry that is written meanwhile may be shown as
it is by then, or not at all, as if it had been written later.

One page at a time, however many callers: the hub, of whose loop all this may be a part, serves others between two
pages.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from typing import Any

from waggle.mcp.call import Call
from waggle.mcp.render import to_json
from waggle.ops import Caller

__all__ = ["RecentEntries"]

PAGE_ENTRIES = 1_000
"""Keys that are asked for at a time, as many as the hub gives."""
REPLY_ROOM_CHARS = 25_000
"""Characters of what is told."""

Shown = dict[str, Any]


class RecentEntries:
    """A finder of the newest entries."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def find(
        self, call: Call, ns: str, pattern: str, most: int, show: Callable[[Shown], Shown]
    ) -> tuple[list[Shown], int]:
        """Return the newest matching entries that fit into a reply, as ``show`` makes them, and the number of all
        matches. Raises WaggleError."""

        async def say() -> str:
            return f"looking through {ns}"

        looking = self._look(call.caller, ns, pattern, most)
        keys, total = (await call.time_limit.wait_for(looking, call.time_limit.limit, say)).result()
        shown_entries: list[Shown] = []
        chars_left = REPLY_ROOM_CHARS
        for key in keys:
            entry = (await call.caller.call("get", {"key": key, "ns": ns}))["entry"]
            if entry is None:  # it has gone meanwhile
                total -= 1
                continue
            shown = show(entry)
            chars_left -= len(to_json(shown)) + 1
            if chars_left < 0:
                break
            shown_entries.append(shown)
        return shown_entries, total

    async def _look(self, caller: Caller, ns: str, pattern: str, most: int) -> tuple[list[str], int]:
        """Their keys, the newest first; and how many match in all."""
        found: list[tuple[int, str]] = []
        total, after = 0, None
        while True:
            async with self._turn:
                fields = {"pattern": pattern, "ns": ns, "after": after, "limit": PAGE_ENTRIES, "values": False}
                page = await caller.call("list", fields)
                total += len(page["entries"])
                found = heapq.nlargest(most, [*found, *((entry["rev"], entry["key"]) for entry in page["entries"])])
            after = page["next"]
            if after is None:
                return [key for _, key in found], total
