"""The tool that waits for conditions, and the wait that other tools use.

It is a wait of the hub, bounded by what the client allows. The end of that time is a normal reply, with a cursor
where the next call goes on, so that no two calls are the same and no change in between is missed.

A cursor is ``SINCE@REV``: at REV the conditions did not hold; and only what was written after SINCE counts, where a
wait goes on after what an earlier one has found (0: everything counts).
"""

from __future__ import annotations

import re
from typing import Any

from msgspec import UNSET, UnsetType

from waggle.mcp import schemas as a
from waggle.mcp.call import Call
from waggle.mcp.render import entry_shown, fitting, marked
from waggle.wire.errors import BadRequest, TimedOut
from waggle.wire.file_locks import Place, lock_name, lock_pattern

__all__ = ["until", "wait"]

Reply = dict[str, Any]

_cursor = re.compile(r"([0-9]{1,16})@([0-9]{1,16})").fullmatch


async def wait(call: Call, said: a.Wait) -> Reply:
    """Return the entries that met the conditions, or that the time is over; a cursor in either case."""
    since = _since(said)
    conditions = _conditions(said, since, call.place)
    what = ", ".join([*said.keys, *([] if isinstance(said.pattern, UnsetType) else [said.pattern])])
    seconds = call.time_limit.cap(said.timeout)
    try:
        met = await until(call, conditions, seconds, what)
    except TimedOut as late:
        rev = late.details.get("rev")
        if rev is None:
            raise
        return _not_yet(late, since, rev)
    rev = met["rev"]
    matched = met["matched"]
    shown = fitting([entry_shown(entry) for entry in matched])
    reply: Reply = {"met": True, "entries": shown, "cursor": f"{rev}@{rev}"}
    if len(shown) < len(matched):
        reply["left_out"] = f"{len(matched) - len(shown)} more entries: list reads them"
    if said.until == "there":
        reply["next"] = "the same wait with this cursor returns at what is written after this"
    elif said.until == "unlocked":
        reply["next"] = "lock it now if you need it: somebody else may be faster"
    return marked(reply, call.caller.agent, [one["by"] for one in shown])


def _since(said: a.Wait) -> int:
    if isinstance(said.cursor, UnsetType):
        return 0
    found = _cursor(said.cursor)
    if found is None:
        raise BadRequest("That is no cursor: pass one that wait has returned, or none.", field="cursor")
    return int(found[1])


def _not_yet(late: TimedOut, since: int, rev: int) -> Reply:
    cursor = f"{since}@{rev}"
    return {
        "met": False,
        "timed_out": True,
        "code": late.code,
        "conditions_met": late.details.get("met", []),
        "cursor": cursor,
        "next": f"call wait again with cursor='{cursor}' to go on waiting; nothing in between is missed",
    }


def _conditions(said: a.Wait, since: int, place: Place) -> list[dict[str, Any]]:
    """Return the conditions as on the wire. Raises BadRequest."""
    if not said.keys and isinstance(said.pattern, UnsetType):
        raise BadRequest("Say what to wait for: keys, or a pattern.", field="keys")
    free = said.until == "unlocked"
    keys = [{"key": lock_name(key, place) if free else key} for key in said.keys]
    patterns: list[dict[str, Any]] = []
    if not isinstance(said.pattern, UnsetType):
        patterns = [{"pattern": lock_pattern(said.pattern, place) if free else said.pattern}]
        if said.until == "there":
            patterns[0]["count"] = said.count
    more: dict[str, Any] = {}
    if said.until != "there":
        more["absent" if said.until == "gone" else "unlocked"] = True
    elif since:
        more["since"] = since
    if said.equals is not UNSET:
        more["where"] = {"pointer": said.pointer, "op": "eq", "value": said.equals}
    return [{**one, **more} for one in (*keys, *patterns)]


async def until(call: Call, conditions: list[dict[str, Any]], seconds: float, what: str) -> dict[str, Any]:
    """Wait until all conditions hold, with progress messages, and return the reply of op `wait`. Raises TimedOut."""

    async def say() -> str:
        return f"waiting for {what}"

    work = call.caller.call("wait", {"all": conditions, "timeout": seconds})
    ok: dict[str, Any] = (await call.time_limit.wait_for(work, seconds, say)).result()
    return ok
