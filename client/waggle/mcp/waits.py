"""What the tools do that may take a while: lock, wait, take.

All three are the hub's waiting commands, bounded by what the client allows. That the time is over is a normal answer,
with a cursor where the next call goes on, so that no two calls are the same and nothing in between is missed.

A cursor is ``SINCE@REV``: what is waited for was not there at REV; and only what was written after SINCE counts, where
a wait goes on after what an earlier one has found (0: everything counts).
"""

from __future__ import annotations

import re
from typing import Any

from msgspec import UNSET, UnsetType

from waggle.calling import Caller
from waggle.errors import BadRequest, Forbidden, Locked, TimedOut, WaggleError
from waggle.keys import quoted
from waggle.mcp import arguments as a
from waggle.mcp.call import Call
from waggle.mcp.showing import at, entry_shown, fitting, holders_shown, marked, to_json
from waggle.paths import Place, lock_name, lock_pattern

__all__ = ["lock", "take", "until", "wait"]

Reply = dict[str, Any]


# --- locks -------------------------------------------------------------------------------------------------------


async def lock(call: Call, said: a.Lock) -> Reply:
    """The token, or who holds what stands in the way; with a token: that it is renewed."""
    if not isinstance(said.token, UnsetType):
        renewed = await call.caller.call("renew", {"token": said.token, "ttl": said.ttl})
        return {"token": said.token, "renewed": True, "until": at(renewed["expires_at"])}
    if not said.names:
        raise BadRequest("Say what to lock, such as names=['src/auth.py'].", field="names")
    names = [lock_pattern(one, call.place) if said.glob else lock_name(one, call.place) for one in said.names]
    fields = {
        "patterns" if said.glob else "names": names,
        "mode": "shared" if said.shared else "exclusive",
        "ttl": said.ttl,
    }
    seconds = call.patience.of(said.timeout)
    try:
        granted = await call.patience.through(
            _lock(call.caller, fields, seconds),
            seconds,
            Standing(call.caller, names),
            lambda ok: _give_back(call.caller, ok),
        )
    except (Locked, TimedOut) as refusal:
        if refusal.details.get("unanswered"):
            raise
        return _refused(refusal, names, said)
    token = granted["token"]
    return {
        "granted": True,
        "token": token,
        "names": names,
        "until": at(granted["expires_at"]),
        "next": f"when you are done: unlock(token={token}). Writes to a locked key need token={token}",
    }


async def _lock(caller: Caller, fields: dict[str, Any], seconds: float) -> dict[str, Any]:
    return await caller.call("lock", {**fields, "wait": seconds})


async def _give_back(caller: Caller, ok: dict[str, Any]) -> object:
    return await caller.call("unlock", {"token": ok["token"]})


def _refused(refusal: WaggleError, names: list[str], said: a.Lock) -> Reply:
    holders = holders_shown(refusal.details.get("holders", []))
    mine = any(one.get("yours") for one in holders)
    own = "somebody of your own session holds it: if that was you, renew it by lock(token=...). "
    again = "lock again with a timeout, or do something else first"
    return {
        "granted": False,
        "code": refusal.code,
        "names": names,
        "held_by": holders,
        "asked_before": refusal.details.get("queued", 0),
        "next": own + again if mine else again,
    }


class Standing:
    """What is said while a lock is waited for: who stands in the way now."""

    def __init__(self, caller: Caller, names: list[str]) -> None:
        self._caller, self._names = caller, names

    async def __call__(self) -> str:
        """``waiting for src/a.py (held by alice, 41 s left)``."""
        what = ", ".join(self._names[:3]) + (" and more" if len(self._names) > 3 else "")
        try:
            held = await self._holder()
        except Forbidden:
            held = None
        return f"waiting for {what}" + (f" ({held})" if held else "")

    async def _holder(self) -> str | None:
        """Whoever holds one of the names, or a lock on a pattern, as far as that is easily seen."""
        now = float((await self._caller.call("ping", {}))["at"])
        for name in self._names:
            locks = (await self._caller.call("locks", {"pattern": quoted(name)}))["locks"]
            if locks:
                left = max(0, round(locks[0]["expires_at"] - now))
                return f"held by {locks[0]['agent']}, {left} s left"
        return None


# --- conditions --------------------------------------------------------------------------------------------------

_cursor = re.compile(r"([0-9]{1,16})@([0-9]{1,16})").fullmatch


async def wait(call: Call, said: a.Wait) -> Reply:
    """The entries that met it, or that the time was over; a cursor in either case."""
    since = _since(said)
    conditions = _conditions(said, since, call.place)
    what = ", ".join([*said.keys, *([] if isinstance(said.pattern, UnsetType) else [said.pattern])])
    seconds = call.patience.of(said.timeout)
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
    """As the wire has them. Raises BadRequest for what cannot be meant."""
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
    """Wait until all of these hold, and tell of it; gives what the op `wait` does. Raises TimedOut."""

    async def say() -> str:
        return f"waiting for {what}"

    work = call.caller.call("wait", {"all": conditions, "timeout": seconds})
    ok: dict[str, Any] = await call.patience.through(work, seconds, say)
    return ok


# --- work --------------------------------------------------------------------------------------------------------


async def take(call: Call, said: a.Take) -> Reply:
    """The job and its token, or that there is none."""
    seconds = call.patience.of(said.timeout)

    async def say() -> str:
        return f"waiting for a job that matches {said.pattern}"

    fields = {"patterns": [said.pattern], "lease": said.lease, "timeout": seconds}
    try:
        taken = await call.patience.through(
            call.caller.call("take", fields), seconds, say, lambda ok: _give_back(call.caller, ok)
        )
    except TimedOut as late:
        if late.details.get("unanswered"):
            raise
        return {
            "taken": False,
            "timed_out": True,
            "code": late.code,
            "next": "nothing to take now: take again with a timeout, or do something else",
        }
    entry, token = taken["entry"], taken["token"]
    key = to_json(entry["key"])
    reply = {
        "taken": True,
        **entry_shown(entry, 8_000),
        "token": token,
        "delivery": taken["delivery"],
        "lease_until": at(taken["expires_at"]),
        "next": f"done: delete(key={key}, token={token}); give it back: unlock(token={token}); more time:"
        f" lock(token={token})",
    }
    return marked(reply, call.caller.agent, [entry["by"]])
