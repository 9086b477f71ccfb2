"""The nine tools: the effect of each, and the text of its reply."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

from mcp import types

from waggle.compat.shared_memory import memory_changes
from waggle.compat.shared_memory import memory_schemas as a
from waggle.compat.shared_memory.clear_memory import clear
from waggle.compat.shared_memory.health_check import health
from waggle.compat.shared_memory.memories import Memories, told
from waggle.compat.shared_memory.memory_index import Found, Index, Query
from waggle.compat.shared_memory.memory_render import (
    MAX_REPLY_CHARS,
    Asked,
    asked,
    entry_markdown,
    on_a_line,
    page_json,
    page_markdown,
    stats_markdown,
    stats_shown,
)
from waggle.mcp.render import to_json
from waggle.ops import Caller

__all__ = ["TOOLS", "Tool", "listed"]

MAX_COUNTED: Final = 300
"""Agents, and tags, that are counted one by one, the most frequent."""
MAX_DROPPED_SHOWN: Final = 100
"""Memories that were dropped for a new one, told by their ids."""

Does = Callable[[Memories, Caller, Any], Awaitable[str]]


class Tool(NamedTuple):
    """A tool. ``reads``: it changes nothing. ``destroys``: what it removes is gone. ``again``: doing it twice is
    the same as once. ``attempt`` is what was tried, for errors of the hub."""

    arguments: type[a.Arguments]
    does: Does
    title: str
    description: str
    attempt: str
    reads: bool = False
    destroys: bool = False
    again: bool = True


def listed(name: str, tool: Tool) -> types.Tool:
    """Describe a tool as it is listed."""
    annotations = types.ToolAnnotations(
        title=tool.title,
        read_only_hint=tool.reads,
        destructive_hint=tool.destroys,
        idempotent_hint=tool.again,
        open_world_hint=False,
    )
    schema = a.schema(tool.arguments)
    return types.Tool(
        name=name, title=tool.title, description=tool.description, input_schema=schema, annotations=annotations
    )


# --- changes -----------------------------------------------------------------------------------------------------


async def _add(memories: Memories, caller: Caller, said: a.Add) -> str:
    added = await memory_changes.add(memories, caller, said)
    memory = added.memory
    which = "" if added.number is None else f" #{added.number}"
    reply: dict[str, Any] = {
        "success": True,
        "entry_id": memory.entry_id,
        "entry_number": added.number,
        "timestamp": memory.timestamp,
        "agent_name": memory.agent_name,
        "word_count": memory.word_count,
        "tags": memory.tags,
        "priority": memory.priority,
        "message": f"Memory entry{which} added successfully by {memory.agent_name}",
    }
    if added.dropped:
        reply["rotated"] = {"count": len(added.dropped), "entry_ids": added.dropped[:MAX_DROPPED_SHOWN]}
        reply["message"] += f"; {len(added.dropped)} of the oldest dropped, since there were too many"
    if added.unsure is not None:
        reply["warning"] = f"It was added; whether there are too many is not known: {added.unsure}"
    return to_json(reply)


async def _update(memories: Memories, caller: Caller, said: a.Update) -> str:
    names, at = await memory_changes.update(memories, caller, said)
    return to_json(
        {
            "success": True,
            "entry_id": said.entry_id,
            "updated_fields": names,
            "updated_at": at,
            "message": f"Entry {said.entry_id} updated successfully",
        }
    )


async def _delete(memories: Memories, caller: Caller, said: a.Delete) -> str:
    memory, at = await memory_changes.delete(memories, caller, said.entry_id)
    return to_json(
        {
            "success": True,
            "entry_id": said.entry_id,
            "agent_name": memory.agent_name,
            "deleted_at": at,
            "remaining_entries": await memories.ask(caller, Index.total),
            "message": f"Entry {said.entry_id} deleted successfully",
        }
    )


async def _clear(memories: Memories, caller: Caller, said: a.Clear) -> str:
    if not said.confirm:
        raise a.Refused("Confirmation required. Set 'confirm' parameter to true.")
    at = await memories.instant(caller)
    cleared = await clear(caller, at)
    made = "There was nothing to back up." if cleared.backup is None else "Backup created."
    reply: dict[str, Any] = {
        "success": True,
        "entries_cleared": cleared.cleared,
        "cleared_at": told(at),
        "backup": cleared.backup,
        "message": f"Successfully cleared {cleared.cleared} memory entries. {made}",
    }
    if cleared.left:
        reply["entries_not_cleared"] = cleared.left
        reply["message"] += f" {cleared.left} were not: they were changed or deleted meanwhile, or are locked."
    return to_json(reply)


# --- reads -------------------------------------------------------------------------------------------------------


async def _found(memories: Memories, caller: Caller, asked: Asked) -> Found:
    def find(index: Index) -> Found:
        return index.find(asked.query, asked.order, asked.limit, MAX_REPLY_CHARS, after=asked.after, until=asked.until)

    return await memories.ask(caller, find)


async def _read(memories: Memories, caller: Caller, said: a.Read) -> str:
    query = Query(agent=said.agent_filter or None, tags=tuple(said.tags or ()), priority=said.priority)
    page = asked(query, said.sort_order, said.limit, said.cursor)
    found = await _found(memories, caller, page)
    if said.response_format == "json":
        return page_json({"success": True, "total_entries": found.total}, page, found)
    return page_markdown(f"# Shared Memory\n\nTotal entries: {found.total}", "read_memory", page, found)


async def _search(memories: Memories, caller: Caller, said: a.Search) -> str:
    page = asked(Query(text=said.query, case=said.case_sensitive), "chronological", said.limit, said.cursor)
    found = await _found(memories, caller, page)
    if said.response_format == "json":
        return page_json({"success": True, "query": said.query, "total_results": found.total}, page, found)
    title = f"# Search Results\n\nQuery: {said.query}\nTotal results: {found.total}"
    return page_markdown(title, "search_memory", page, found)


async def _get(memories: Memories, caller: Caller, said: a.Get) -> str:
    memory, _ = await memory_changes.get(caller, said.entry_id)
    if said.response_format == "json":
        return to_json({"success": True, "entry": memory})
    return entry_markdown(f"# Memory Entry: {on_a_line(memory.agent_name)}", memory)


async def _stats(memories: Memories, caller: Caller, said: a.Stats) -> str:
    stats, most = await memories.ask(caller, lambda index: (index.stats(MAX_COUNTED), index.most[0]))
    shown = stats_shown(stats, most)
    return to_json(shown) if said.response_format == "json" else stats_markdown(shown)


async def _health(memories: Memories, caller: Caller, said: a.Health) -> str:
    return to_json(await health(memories, caller))


TOOLS: Final[dict[str, Tool]] = {
    "add_memory": Tool(
        a.Add,
        _add,
        "Add Memory Entry",
        "Add a memory that all agents share: what was found, decided or done, in at most 200 words.",
        "add memory",
        again=False,
    ),
    "read_memory": Tool(
        a.Read,
        _read,
        "Read Memory Entries",
        "Read the shared memories, filtered by agent, tags or priority, in the order of time or of priority.",
        "read memory",
        reads=True,
    ),
    "update_memory": Tool(
        a.Update,
        _update,
        "Update Memory Entry",
        "Update a memory: only what is given changes.",
        "update memory",
    ),
    "delete_memory": Tool(
        a.Delete,
        _delete,
        "Delete Memory Entry",
        "Delete a memory by its entry_id, for good.",
        "delete memory",
        destroys=True,
    ),
    "get_memory": Tool(
        a.Get,
        _get,
        "Get Memory Entry",
        "Get one memory, whole, by its entry_id.",
        "get memory",
        reads=True,
    ),
    "search_memory": Tool(
        a.Search,
        _search,
        "Search Memory Entries",
        "Search the shared memories for a text in their contents, their agents' names and their tags.",
        "search memory",
        reads=True,
    ),
    "get_memory_stats": Tool(
        a.Stats,
        _stats,
        "Get Memory Statistics",
        "Count the shared memories: by agent, tag and priority, their words and sizes, and how many may still come.",
        "get statistics",
        reads=True,
    ),
    "clear_memory": Tool(
        a.Clear,
        _clear,
        "Clear All Memory",
        "Delete all memories; a backup is made first.",
        "clear memory",
        destroys=True,
    ),
    "health_check": Tool(
        a.Health,
        _health,
        "Health Check",
        "Check the state of the shared memory: storage, entries, backups, settings.",
        "check health",
        reads=True,
    ),
}
"""In the order of the original's document."""
