"""Changes of memories: each is a command of the hub that takes effect only on what was read.

Rules:
1. An acknowledged change is kept. To add is to write where nothing is; to change or delete is to name the revision
   that was read, and to read again if another caller was faster.
2. Rotation: after an add, a caller that finds more memories than the limit deletes the oldest beyond it. Which they
   are is a condition of the txn that deletes them, so callers that find it at the same time do it once. A message on
   channel `ROTATION`, at the same revision, names them.
"""

from __future__ import annotations

import uuid
from typing import Any, Final, NamedTuple

import msgspec

from waggle.compat.mapping import MEMORY, Memory, memory_of
from waggle.compat.shared_memory.memories import Memories, told
from waggle.compat.shared_memory.memory_index import Index
from waggle.compat.shared_memory.memory_schemas import Add, Refused, Update
from waggle.ops import Caller
from waggle.wire import plain_json
from waggle.wire.errors import Conflict, Unavailable, WaggleError

__all__ = ["ROTATION", "Added", "add", "delete", "get", "update"]

ROTATION: Final = "rotation"
"""The channel, in the namespace of the memories, that tells which were dropped."""
STEPS_PER_TXN: Final = 127
"""Memories that one txn drops, its message being one step more."""
MAX_SURPLUS: Final = 40 * STEPS_PER_TXN
"""Memories that are looked up at a time to be dropped: some are gone when their turn comes."""
MAX_TRIES: Final = 100
"""Times that a change is tried when others are faster."""


class Added(NamedTuple):
    """A memory that was added: its number in the order of time, and the memories dropped for it. ``unsure`` says
    why the number is unknown."""

    memory: Memory
    number: int | None
    dropped: list[str]
    unsure: str | None


async def get(caller: Caller, id: str) -> tuple[Memory, int]:
    """Return a memory and its revision. Raises Refused."""
    entry = (await caller.call("get", {"ns": MEMORY, "key": id}))["entry"]
    memory = None if entry is None else memory_of(id, msgspec.json.encode(entry["value"]))
    if memory is None:
        raise Refused(f"Entry not found with ID: {id}")
    return memory, entry["rev"]


async def update(memories: Memories, caller: Caller, said: Update) -> tuple[list[str], str]:
    """Change fields of a memory; return their names and the time. Raises Refused or the hub's error."""
    plain_json.check(said.metadata, "metadata")
    new: dict[str, Any] = {name: getattr(said, name) for name in ("content", "tags", "priority", "metadata")}
    new = {name: value for name, value in new.items() if value is not None}
    names = list(new)
    if "content" in new:
        new["word_count"] = len(new["content"].split())
    for _ in range(MAX_TRIES):
        _, rev = await get(caller, said.entry_id)
        at = told(await memories.instant(caller))
        patch = [{"op": "add", "path": f"/{name}", "value": one} for name, one in {**new, "updated_at": at}.items()]
        try:
            await caller.call("update", {"ns": MEMORY, "key": said.entry_id, "patch": patch, "if_rev": rev})
        except Conflict:
            continue
        return names, at
    raise _busy(said.entry_id)


async def delete(memories: Memories, caller: Caller, id: str) -> tuple[Memory, str]:
    """Delete a memory; return it and the time. Raises Refused or the hub's error."""
    for _ in range(MAX_TRIES):
        memory, rev = await get(caller, id)
        try:
            deleted = (await caller.call("delete", {"ns": MEMORY, "key": id, "if_rev": rev}))["deleted"]
        except Conflict:
            continue
        if deleted:
            return memory, told(await memories.instant(caller))
    raise _busy(id)


async def add(memories: Memories, caller: Caller, said: Add) -> Added:
    """Add a memory, and drop the oldest if there are too many. Raises the hub's error."""
    plain_json.check(said.metadata, "metadata")
    memory = Memory(
        entry_id=str(uuid.uuid4()),
        timestamp=told(await memories.instant(caller)),
        agent_name=said.agent_name,
        content=said.content,
        word_count=len(said.content.split()),
        tags=said.tags or [],
        priority=said.priority,
        metadata=said.metadata or {},
    )
    value = msgspec.to_builtins(memory)
    await caller.call("set", {"ns": MEMORY, "key": memory.entry_id, "value": value, "if_rev": 0})
    number: int | None = None
    dropped: list[str] = []
    try:
        number, surplus = await memories.ask(
            caller, lambda index: (index.number(memory.entry_id), _surplus(index, memory.entry_id))
        )
        while surplus.oldest:
            await _rotate(caller, surplus, dropped)
            surplus = await memories.ask(caller, lambda index: _surplus(index, memory.entry_id))
    except WaggleError as error:  # it is there all the same
        return Added(memory, number, dropped, error.message)
    return Added(memory, number, dropped, None)


class _Surplus(NamedTuple):
    """The count of memories, their limit, and those to delete: the oldest, but never the one that is being added,
    even if others carry a later time."""

    total: int
    most: int
    oldest: list[tuple[str, int]]


def _surplus(index: Index, added: str) -> _Surplus:
    total, most = index.total(), index.most[0]
    if total <= most:
        return _Surplus(total, most, [])
    count = min(total - most, MAX_SURPLUS)
    oldest = [one for one in index.oldest(count + 1) if one[0] != added]
    return _Surplus(total, most, oldest[:count])


async def _rotate(caller: Caller, surplus: _Surplus, dropped: list[str]) -> None:
    """Delete the surplus, unless another caller is faster; ``dropped`` is told which were deleted here."""
    kept = surplus.total
    for first in range(0, len(surplus.oldest), STEPS_PER_TXN):
        some = surplus.oldest[first : first + STEPS_PER_TXN]
        kept -= len(some)
        if not await _drop(caller, some, kept, surplus.most):
            break
        dropped += [id for id, _ in some]


async def _drop(caller: Caller, some: list[tuple[str, int]], kept: int, most: int) -> bool:
    """Delete these if all are there as they were read, and publish that; return whether they were."""
    done = await caller.call(
        "txn",
        {
            "if": [{"ns": MEMORY, "key": id, "rev": rev} for id, rev in some],
            "then": [
                *({"op": "delete", "ns": MEMORY, "key": id} for id, _ in some),
                {
                    "op": "publish",
                    "ns": MEMORY,
                    "channel": ROTATION,
                    "data": {"dropped": [id for id, _ in some], "kept": kept, "limit": most},
                },
            ],
        },
    )
    return bool(done["done"] == "then")


def _busy(id: str) -> WaggleError:
    return Unavailable(f"Others change {id} all the time: try again.", retry_after=1.0)
