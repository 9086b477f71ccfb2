"""Tools that are granted something: lock and take.

Both wait in a queue of the hub, for as long as the client allows. The end of that time is a normal reply, with a
cursor; the next call with that cursor keeps its place in the queue (`waggle.mcp.parked_waits`).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, NamedTuple

from msgspec import UnsetType

from waggle.mcp import schemas as a
from waggle.mcp.call import Call
from waggle.mcp.parked_waits import Parked
from waggle.mcp.render import PART_CHARS, at, entry_shown, holders_shown, marked, names_shown, to_json
from waggle.mcp.time_limits import Say
from waggle.ops import Caller
from waggle.wire.errors import BadRequest, Forbidden, Locked, TimedOut
from waggle.wire.file_locks import lock_name, lock_pattern
from waggle.wire.patterns import compile_pattern, quoted

__all__ = ["lock", "take"]

Reply = dict[str, Any]


# --- locks -------------------------------------------------------------------------------------------------------


async def lock(call: Call, said: a.Lock) -> Reply:
    """Return the token of a lock, or the holders in its way; with a token, renew the lock."""
    if not isinstance(said.token, UnsetType):
        renewed = await call.caller.call("renew", {"token": said.token, "ttl": said.ttl})
        return {"token": said.token, "renewed": True, "until": at(renewed["expires_at"])}
    parked = _parked(call, said.cursor)
    if parked is None and not said.names:
        raise BadRequest("Say what to lock, such as names=['src/auth.py'].", field="names")
    names = [lock_pattern(one, call.place) if said.glob else lock_name(one, call.place) for one in said.names]
    names = names if parked is None else list(parked.what)
    fields = {
        "patterns" if said.glob else "names": names,
        "mode": "shared" if said.shared else "exclusive",
        "ttl": said.ttl,
    }
    standing = Standing(call.caller, names)
    try:
        granted = await _waited(call, parked or Asked("lock", fields, "wait", names), said.timeout, standing)
    except (Locked, TimedOut) as refusal:
        if refusal.details.get("unanswered"):
            raise
        return _refused(refusal.code, names, holders_shown(refusal.details.get("holders", [])))
    if isinstance(granted, str):
        return {**_refused(TimedOut.code, names, await standing.holders()), **_cursor_to(call, "lock", granted)}
    token = granted["token"]
    return {
        "granted": True,
        "token": token,
        **names_shown(granted.get("names") or granted.get("patterns") or names),
        "until": at(granted["expires_at"]),
        "next": f"when you are done: unlock(token={token}). Writes to a locked key need token={token}",
    }


def _refused(code: str, names: list[str], holders: list[Reply]) -> Reply:
    mine = any(one.get("yours") for one in holders)
    own = "somebody of your own session holds it: if that was you, renew it by lock(token=...). "
    again = "lock again with a timeout, or do something else first"
    return {
        "granted": False,
        "code": code,
        **names_shown(names),
        "held_by": holders,
        "next": own + again if mine else again,
    }


class Standing:
    """The progress message of a lock that is waited for: its holders now."""

    def __init__(self, caller: Caller, names: list[str]) -> None:
        self._caller, self._names = caller, names

    async def __call__(self) -> str:
        """Return a sentence: ``waiting for src/a.py (held by impl-2, 41 s left)``."""
        what = ", ".join(self._names[:3]) + (" and more" if len(self._names) > 3 else "")
        held = await self._held()
        if not held:
            return f"waiting for {what}"
        left = max(0, round(held[0]["expires_at"] - float((await self._caller.call("ping", {}))["at"])))
        return f"waiting for {what} (held by {held[0]['agent']}, {left} s left)"

    async def holders(self) -> list[Reply]:
        """Return the holders as a `locked` error has them."""
        return holders_shown(await self._held())

    async def _held(self) -> list[dict[str, Any]]:
        """Return the locks on one of the names, or on a pattern over them, as far as that is easily seen."""
        with suppress(Forbidden):
            for name in self._names:
                locks: list[dict[str, Any]] = (await self._caller.call("locks", {"pattern": quoted(name)}))["locks"]
                if locks:
                    return [self._marked(one) for one in locks]
            every = (await self._caller.call("locks", {}))["locks"]
            return [self._marked(one) for one in every if any(_over(one, name) for name in self._names)]
        return []

    def _marked(self, lock: dict[str, Any]) -> dict[str, Any]:
        """Return a lock with whether it is the caller's own, as a `locked` error has it."""
        return {**lock, "self": lock["agent"] == self._caller.agent}


def _over(lock: dict[str, Any], name: str) -> bool:
    """Return whether a lock is on a pattern that matches the name, or on a name that the name matches as a pattern."""
    held = any(compile_pattern(text).match(name) for text in lock.get("patterns") or ())
    try:
        asked = compile_pattern(name)
    except BadRequest:
        return held
    return held or any(asked.match(one) for one in lock.get("names") or ())


# --- work --------------------------------------------------------------------------------------------------------


async def take(call: Call, said: a.Take) -> Reply:
    """Return a job and its token, or that there is none."""
    parked = _parked(call, said.cursor)
    if parked is not None:
        what = list(parked.what)
    elif not isinstance(said.pattern, UnsetType):
        what = [said.pattern]
    else:
        raise BadRequest("Say what to take: a pattern such as job:*.", field="pattern")

    async def say() -> str:
        return f"waiting for a job that matches {what[0]}"

    fields = {"patterns": what, "lease": said.lease}
    try:
        taken = await _waited(call, parked or Asked("take", fields, "timeout", what), said.timeout, say)
    except TimedOut as late:
        if late.details.get("unanswered"):
            raise
        return {**_NO_JOB, "next": "nothing to take now: take again with a timeout, or do something else"}
    if isinstance(taken, str):
        return {**_NO_JOB, **_cursor_to(call, "take", taken)}
    entry, token = taken["entry"], taken["token"]
    key = to_json(entry["key"])
    reply = {
        "taken": True,
        **entry_shown(entry, PART_CHARS - 500),
        "token": token,
        "delivery": taken["delivery"],
        "lease_until": at(taken["expires_at"]),
        "next": f"done: delete(key={key}, token={token}); give it back: unlock(token={token}); more time:"
        f" lock(token={token})",
    }
    return marked(reply, call.caller.agent, [entry["by"]])


_NO_JOB = {"taken": False, "timed_out": True, "code": TimedOut.code}


# --- in the queue ------------------------------------------------------------------------------------------------


class Asked(NamedTuple):
    """A command that may wait: the op, its fields, and the name of the field with the time to wait."""

    op: str
    fields: dict[str, Any]
    timeout_field: str
    what: list[str]

    @property
    def words(self) -> str:
        """The command without its time to wait, to compare with a parked wait."""
        return to_json([self.op, self.fields])


def _parked(call: Call, cursor: str | UnsetType) -> Parked | None:
    """Return the wait that an earlier call parked; None without a cursor, or if that wait is over."""
    return None if isinstance(cursor, UnsetType) else call.parking.resume(call.owner, cursor)


async def _waited(call: Call, asked: Asked | Parked, timeout: float, say: Say) -> dict[str, Any] | str:
    """Return the grant, or a cursor when the time of this call is over; the wait goes on
    (`waggle.mcp.parked_waits`)."""
    seconds = call.time_limit.cap(timeout)

    async def undo(ok: dict[str, Any]) -> object:
        return await call.caller.call("unlock", {"token": ok["token"]})

    if isinstance(asked, Asked):
        asked = call.parking.find(call.owner, asked.words) or asked
    if isinstance(asked, Asked):
        if seconds == 0:
            once = call.caller.call(asked.op, {**asked.fields, asked.timeout_field: 0})
            return dict((await call.time_limit.wait_for(once, 0.0, say, undo)).result())
        work = asyncio.ensure_future(call.caller.call(asked.op, {**asked.fields, asked.timeout_field: None}))
    else:
        work = asked.work
    await call.time_limit.wait_for(work, seconds, say, undo, leave=True)
    return (
        dict(work.result())
        if work.done()
        else call.parking.park(call.owner, Parked(tuple(asked.what), asked.words, work, undo))
    )


def _cursor_to(call: Call, tool: str, cursor: str) -> Reply:
    linger = f"{call.parking.linger:.0f}"
    return {
        "timed_out": True,
        "cursor": cursor,
        "next": f"{tool} again with cursor='{cursor}' within {linger} s keeps your place in the queue",
    }
