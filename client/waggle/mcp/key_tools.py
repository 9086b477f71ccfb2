"""Tools that answer at once: keys, messages, agents. Those that wait are in `lock_tools` and `wait_tool`.

Each is a function of the caller, the arguments and the time limit of the call, and returns a reply in plain data,
with the next step in it where there is one. No rule of the hub is repeated here: an error of the hub is raised as it
came.
"""

from __future__ import annotations

import uuid
from typing import Any

from msgspec import UNSET, UnsetType

from waggle.api.inbox import ANSWER_TTL_S, ID_CHARS, MESSAGE_TTL_S, answer_key, body_of
from waggle.mcp import schemas as a
from waggle.mcp.call import Call
from waggle.mcp.render import (
    MAX_REPLY_CHARS,
    PART_CHARS,
    SHORT_VALUE_CHARS,
    at,
    entry_shown,
    fitting,
    holders_shown,
    marked,
    to_json,
)
from waggle.mcp.wait_tool import until
from waggle.ops import Caller
from waggle.wire.errors import BadRequest, NotFound, TimedOut
from waggle.wire.names import check_agent
from waggle.wire.patterns import quoted

__all__ = ["delete", "get", "inbox", "list_", "search", "send", "set_", "unlock", "who"]

Reply = dict[str, Any]

PAGE_ENTRIES = 100
"""Entries asked for at a time: more hardly fit into a reply."""
MAX_PAGES = 50
"""Pages that are looked at for one reply: each may be 10,000 keys of which none matches."""
MAX_MESSAGES = 1_000
"""Entries that the hub gives in one page."""


def _given(**fields: Any) -> dict[str, Any]:
    """Return the fields of a command that were given, with the token as its guard."""
    token = fields.pop("token", UNSET)
    guard = {} if isinstance(token, UnsetType) else {"guard": {"token": token}}
    return {**{name: value for name, value in fields.items() if value is not UNSET}, **guard}


# --- keys --------------------------------------------------------------------------------------------------------


async def get(call: Call, said: a.Get) -> Reply:
    """Return an entry, or that there is none. A part of the value's text if the value is long."""
    entry = (await call.caller.call("get", {"key": said.key}))["entry"]
    if entry is None:
        return {"key": said.key, "found": False, "next": f"wait(keys=[{to_json(said.key)}]) returns when it is written"}
    shown = {"found": True, **entry_shown(entry, PART_CHARS)}
    if "left_out" in shown or said.offset:
        shown.pop("left_out", None)
        shown.pop("value", None)
        shown |= _part(entry, said.offset)
    return marked(shown, call.caller.agent, [entry["by"]])


def _part(entry: dict[str, Any], offset: int) -> Reply:
    """Return a part of a value's JSON text, and the offset of the next part."""
    text = to_json(entry["value"])
    part = text[offset : offset + PART_CHARS]
    while len(to_json(part)) > MAX_REPLY_CHARS - 1_000:  # what is full of quotes and line ends is longer as a string
        part = part[: len(part) * 2 // 3]
    end = offset + len(part)
    key = to_json(entry["key"])
    more = {"next": f"get(key={key}, offset={end}) for more, as long as rev stays the same"} if end < len(text) else {}
    return {"json_text": part, "offset": offset, "length": len(text), **more}


async def set_(call: Call, said: a.Set) -> Reply:
    """Write an entry and return the new revision."""
    fields = _given(key=said.key, value=said.value, ttl=said.ttl, if_rev=said.if_rev, token=said.token)
    written = await call.caller.call("set", fields)
    kept = {} if written["expires_at"] is None else {"expires_at": at(written["expires_at"])}
    return {"key": said.key, "rev": written["rev"], **kept}


async def list_(call: Call, said: a.List) -> Reply:
    """Return as many entries as a reply has room for, and a cursor if there are more."""
    shown: list[Reply] = []
    after = said.after
    full = False
    for _ in range(MAX_PAGES):
        fields = _given(pattern=said.pattern, after=after, limit=PAGE_ENTRIES)
        page = await call.caller.call("list", fields)
        fit = fitting([*shown, *(entry_shown(entry) for entry in page["entries"])])
        full = len(fit) < len(shown) + len(page["entries"])
        shown, after = fit, page["next"]
        if full or after is None or len(shown) >= PAGE_ENTRIES:
            break
    cursor = shown[-1]["key"] if full else after
    reply: Reply = {"entries": shown}
    if cursor is not None:
        reply |= {"cursor": cursor, "next": f"list(pattern={to_json(said.pattern)}, after=cursor) for more"}
    return marked(reply, call.caller.agent, [one["by"] for one in shown])


async def search(call: Call, said: a.Search) -> Reply:
    """Return as many of the best matches as a reply has room for, with scores, and whether there are more."""

    async def say() -> str:
        return f"searching for {said.text}"

    work = call.caller.call("search", {"text": said.text, "pattern": said.pattern, "limit": PAGE_ENTRIES})
    found = (await call.time_limit.wait_for(work, call.time_limit.limit, say)).result()
    shown = fitting([{**entry_shown(hit), "score": float(f"{hit['score']:.3g}")} for hit in found["entries"]])
    more = found["more"] or len(shown) < len(found["entries"])
    reply: Reply = {"entries": shown, "more": more}
    if more:
        reply["next"] = "say more words, or a narrower pattern: there is no next page"
    return marked(reply, call.caller.agent, [one["by"] for one in shown])


async def delete(call: Call, said: a.Delete) -> Reply:
    """Delete an entry and return whether there was one."""
    deleted = await call.caller.call("delete", _given(key=said.key, if_rev=said.if_rev, token=said.token))
    return {"key": said.key, "deleted": deleted["deleted"]}


async def unlock(call: Call, said: a.Unlock) -> Reply:
    """Release a lock or give a job back."""
    await call.caller.call("unlock", {"token": said.token})
    return {"released": True}


# --- messages ----------------------------------------------------------------------------------------------------


async def send(call: Call, said: a.Send) -> Reply:
    """Leave a message and return where it waits and whether the recipient is here (`waggle.api.inbox` has the
    rules)."""
    if not isinstance(said.answers, UnsetType):
        return await _answer(call.caller, said.answers, said.body)
    check_agent(said.to, "to")
    key = f"inbox:{said.to}/{uuid.uuid4().hex[:ID_CHARS]}"
    await call.caller.call("set", {"key": key, "value": {"body": said.body}, "ttl": MESSAGE_TTL_S, "if_rev": 0})
    present = (await call.caller.call("get", {"key": said.to, "ns": "$agents"}))["entry"]
    seen = (await call.caller.call("get", {"key": said.to, "ns": "$seen"}))["entry"]
    here = present is not None and bool(present["value"]["connected"])
    next_ = "inbox(timeout=...) waits for a reply" if here else "it is read when that agent comes; do not wait for it"
    last = {} if seen is None else {"last_seen": at(seen["value"]["last"])}
    return {"sent": True, "to": said.to, "here": here, **last, "next": next_}


async def _answer(caller: Caller, id: str, body: Any) -> Reply:
    """Answer a question and delete it from the inbox."""
    question = _message_key(caller, id)
    entry = (await caller.call("get", {"key": question}))["entry"]
    if entry is None:
        raise NotFound(f"There is no message {id!r} in your inbox: call inbox for those that there are.")
    key = answer_key(entry["value"])
    if key is None:
        raise BadRequest("Nobody waits for an answer to this: leave out answers.", field="answers")
    await caller.call("set", {"key": key, "value": body, "ttl": ANSWER_TTL_S})
    await caller.call("delete", {"key": question})
    return {"sent": True, "to": entry["by"], "acknowledged": [id]}


def _message_key(caller: Caller, id: str) -> str:
    """Return the key of a message for the caller. Raises BadRequest for an id that would lead to another inbox."""
    if len(id) != ID_CHARS or "/" in id:
        raise BadRequest(f"{id!r} is no id of a message: inbox tells them.", field="id")
    return _key(caller, id)


def _key(caller: Caller, id: str) -> str:
    """Return the prefix of the keys of the caller's messages. Raises BadRequest if the caller is anonymous."""
    if not caller.agent:
        raise BadRequest(
            "You have no name, so nobody can write to you: whoever configured this client adds ?agent=NAME to the"
            " hub's address, or the header X-Waggle-Agent.",
            field="agent",
        )
    return f"inbox:{caller.agent}/{id}"


async def inbox(call: Call, said: a.Inbox) -> Reply:
    """Return the oldest messages, after deleting those that are acknowledged."""
    for id in said.ack:
        await call.caller.call("delete", {"key": _message_key(call.caller, id)})
    pattern = quoted(_key(call.caller, "")) + "?" * ID_CHARS
    waiting = await _messages(call.caller, pattern)
    seconds = call.time_limit.cap(said.timeout)
    if not waiting and seconds > 0:
        await _first(call, pattern, seconds)
        waiting = await _messages(call.caller, pattern)
    shown = fitting([_message(one) for one in waiting])
    reply: Reply = {"messages": shown, "more": len(waiting) - len(shown)}
    if shown:
        reply["next"] = "when you have dealt with them: inbox(ack=[ids]). Answer a question by send(answers=id)"
    return marked(reply, call.caller.agent, [one["from"] for one in shown])


async def _messages(caller: Caller, pattern: str) -> list[dict[str, Any]]:
    page = await caller.call("list", {"pattern": pattern, "limit": MAX_MESSAGES})
    return sorted(page["entries"], key=lambda entry: int(entry["rev"]))


async def _first(call: Call, pattern: str, seconds: float) -> None:
    """Wait until there is a message, or until the time is over."""
    try:
        await until(call, [{"pattern": pattern}], seconds, "a message for you")
    except TimedOut as late:
        if late.details.get("unanswered"):
            raise


def _message(entry: dict[str, Any]) -> Reply:
    body = body_of(entry["value"])
    long = len(to_json(body)) > PART_CHARS
    return {
        "id": entry["key"].rpartition("/")[2],
        "from": entry["by"],
        "at": at(entry["created_at"]),
        **({"left_out": f"a long message: get(key={to_json(entry['key'])}) reads it"} if long else {"body": body}),
        **({} if answer_key(entry["value"]) is None else {"question": True}),
    }


# --- others ------------------------------------------------------------------------------------------------------


async def who(call: Call, said: a.Who) -> Reply:
    """Return the caller, the agents that are here, and the locks of this namespace with their waiters."""
    agents = (await call.caller.call("list", {"pattern": "*", "ns": "$agents", "limit": PAGE_ENTRIES}))["entries"]
    held = (await call.caller.call("locks", {}))["locks"]
    shown = fitting([_agent(one) for one in agents if one["key"] != call.caller.agent], MAX_REPLY_CHARS // 3)
    locks = fitting([_lock(one) for one in held], MAX_REPLY_CHARS // 3)
    left_out = len(agents) - len(shown) + len(held) - len(locks) > 1
    reply = {
        "you": {"agent": call.caller.agent or None, "namespace": call.caller.ns},
        "agents": shown,
        "locks": locks,
        **({"more": "there are more agents or locks than fit here"} if left_out else {}),
    }
    return marked(reply, call.caller.agent, [one["agent"] for one in shown if "status" in one or "meta" in one])


def _agent(entry: dict[str, Any]) -> Reply:
    value = entry["value"]
    known = {name: value[name] for name in ("status", "meta") if value.get(name)}
    small = {name: one for name, one in known.items() if len(to_json(one)) < 500}
    return {"agent": entry["key"], "connected": bool(value["connected"]), "since": at(value["since"]), **small}


def _lock(lock: dict[str, Any]) -> Reply:
    """Return a lock without its token, which only its holder should know."""
    queue = fitting([one["agent"] for one in lock["queue"][:10]], SHORT_VALUE_CHARS // 2)
    return {**holders_shown([lock])[0], **({"waiting": queue} if queue else {})}
