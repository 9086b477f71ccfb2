"""Listing and clearing in steps: the client's `list` and `clear`, for commands that show progress."""

from __future__ import annotations

from collections.abc import AsyncIterator

from waggle import Entry, Hub
from waggle.wire.limits import MAX_PAGE_ENTRIES
from waggle.wire.messages import Clear, Cleared, List, Listed

__all__ = ["clear_in_steps", "entry_pages"]


async def entry_pages(
    hub: Hub, pattern: str, *, ns: str | None, limit: int | None = None, values: bool = True
) -> AsyncIterator[list[Entry]]:
    """Yield the entries that match, a page at a time, in key order, up to ``limit``."""
    after: str | None = None
    while True:
        size = MAX_PAGE_ENTRIES if limit is None else min(MAX_PAGE_ENTRIES, limit)
        command = List(id=0, pattern=pattern, ns=ns, limit=size, after=after, values=values)
        listed = await hub._driver.request(command, Listed)
        yield listed.entries
        after = listed.next
        limit = None if limit is None else limit - len(listed.entries)
        if after is None or limit == 0:
            return


async def clear_in_steps(hub: Hub, pattern: str, *, ns: str | None) -> AsyncIterator[int]:
    """Delete the entries that match, and yield the number deleted after each step."""
    while True:
        step = await hub._driver.request(Clear(id=0, pattern=pattern, confirm=True, ns=ns), Cleared)
        yield step.deleted
        if not step.more:
            return
