"""The table of tools: each with its arguments, its function, and honest annotations."""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, structs

from waggle.mcp import key_tools, lock_tools, wait_tool
from waggle.mcp import schemas as arguments
from waggle.mcp.call import Call
from waggle.mcp.render import error_shown, losses_shown
from waggle.mcp.schemas import Arguments
from waggle.wire import plain_json
from waggle.wire.errors import BadRequest, WaggleError

__all__ = ["TOOLS", "Tool", "run"]

Reply = dict[str, Any]

_FIELD = re.compile(r"`\$\.(\w+)|field `(\w+)`")


class Tool(NamedTuple):
    """A tool. ``reads``: it changes nothing. ``destroys``: it may remove what others have written. ``again``: doing
    it twice is the same as once."""

    arguments: type[Arguments]
    does: Callable[[Call, Any], Awaitable[Reply]]
    reads: bool = False
    destroys: bool = False
    again: bool = False

    @property
    def description(self) -> str:
        """The description for the model."""
        return " ".join((self.arguments.__doc__ or "").split())


TOOLS: dict[str, Tool] = {
    "get": Tool(arguments.Get, key_tools.get, reads=True, again=True),
    "set": Tool(arguments.Set, key_tools.set_, destroys=True, again=True),
    "list": Tool(arguments.List, key_tools.list_, reads=True, again=True),
    "search": Tool(arguments.Search, key_tools.search, reads=True, again=True),
    "delete": Tool(arguments.Delete, key_tools.delete, destroys=True, again=True),
    "lock": Tool(arguments.Lock, lock_tools.lock),
    "unlock": Tool(arguments.Unlock, key_tools.unlock),
    "wait": Tool(arguments.Wait, wait_tool.wait, reads=True, again=True),
    "take": Tool(arguments.Take, lock_tools.take),
    "send": Tool(arguments.Send, key_tools.send),
    "inbox": Tool(arguments.Inbox, key_tools.inbox, destroys=True, again=True),
    "who": Tool(arguments.Who, key_tools.who, reads=True, again=True),
}
"""In the order in which they are listed. What they touch is the hub's own: none of them reaches into the open world."""


async def run(name: str, said: dict[str, Any], call: Call) -> tuple[Reply, bool]:
    """Call a tool and return its reply and whether that is an error. Raises KeyError if there is no such tool."""
    tool = TOOLS[name]
    try:
        reply = await tool.does(call, _read(name, said))
        failed = False
    except WaggleError as error:
        reply, failed = error_shown(error, call.caller.agent), True
    losses = call.caller.losses()
    if losses:
        reply = {**reply, "lost": losses_shown(losses)}
    return reply, failed


def _read(tool: str, said: dict[str, Any]) -> Arguments:
    """Return the arguments as the tool takes them; a number may be given as text, as some models do. Raises
    BadRequest."""
    try:
        read = msgspec.convert(said, TOOLS[tool].arguments, strict=False)
    except msgspec.ValidationError as fault:
        raise BadRequest(f"{fault}: {tool} takes {_taken(tool)}", field=_field(f"{fault}")) from None
    for name in read.__struct_fields__:
        value = getattr(read, name)
        if isinstance(value, float) and not math.isfinite(value):
            raise BadRequest(f"{name} is a finite number, not {value}.", field=name)
        if value is not UNSET:
            plain_json.check_large(value, name)
    return read


def _taken(tool: str) -> str:
    """Return the names of a tool's arguments, the optional ones with a question mark."""
    fields = structs.fields(TOOLS[tool].arguments)
    return ", ".join(one.name if one.required else f"{one.name}?" for one in fields) or "no arguments"


def _field(fault: str) -> str:
    """Return the argument that a fault is about, if its message names it."""
    found = _FIELD.search(fault)
    return "arguments" if found is None else found[1] or found[2]
