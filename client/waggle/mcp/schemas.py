"""The arguments of the tools: names, descriptions and types, each written once (their JSON schemas follow).

The first line of a description is what tool search sees. All arguments are flat. The agent's name and namespace are
configuration, never an argument. All of it together is kept under 2,000 tokens, which a test counts.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

__all__ = [
    "Arguments",
    "Delete",
    "Get",
    "Inbox",
    "List",
    "Lock",
    "Search",
    "Send",
    "Set",
    "Take",
    "Unlock",
    "Wait",
    "Who",
    "schema",
]

Token = Annotated[int, Meta(description="Token of a lock or job you hold: fails if it was lost.")]
IfRev = Annotated[int, Meta(description="Only if the rev is still this; 0: only if absent.")]
Place = Annotated[str, Meta(description="From the last try: keep your place.")]
Timeout = Annotated[float, Meta(description="Seconds to wait.", ge=0)]


class Arguments(Struct, forbid_unknown_fields=True, kw_only=True):
    """The arguments of a tool; the docstring of each is its description."""


class Get(Arguments):
    """Read a key that agents share: value, rev, who wrote it."""

    key: str
    offset: Annotated[int, Meta(description="Where to go on in a long value.", ge=0)] = 0


class Set(Arguments):
    """Write a key that all agents of this project see (plans, results, status). Anyone who waits for it goes on."""

    key: Annotated[str, Meta(description="Such as task:auth.")]
    value: Annotated[Any, Meta(description="Any JSON.")]
    ttl: Annotated[float, Meta(description="Seconds until it is gone; else it stays.")] | UnsetType = UNSET
    if_rev: IfRev | UnsetType = UNSET
    token: Token | UnsetType = UNSET


class List(Arguments):
    """List the keys that agents share, by pattern, with their values."""

    pattern: Annotated[str, Meta(description="Glob: task:*")] = "*"
    after: Annotated[str, Meta(description="The last page's cursor.")] | UnsetType = UNSET


class Search(Arguments):
    """Search what agents share by its words, the best first; list finds by keys."""

    text: Annotated[str, Meta(description="All of these words; auth*: any that begins so.")]
    pattern: Annotated[str, Meta(description="Glob for the keys.")] = "*"


class Delete(Arguments):
    """Delete a shared key. With the token of take: finish that job."""

    key: str
    if_rev: IfRev | UnsetType = UNSET
    token: Token | UnsetType = UNSET


class Lock(Arguments):
    """Lock files or anything else before you edit, so that no other agent does at the same time. With token: renew."""

    names: Annotated[
        list[str], Meta(description="All or none. Files: paths relative to the repository, such as src/auth.py.")
    ] = []
    glob: Annotated[bool, Meta(description="The names are globs: src/auth/*")] = False
    shared: Annotated[bool, Meta(description="Let other shared locks in, as readers do.")] = False
    timeout: Timeout = 0
    ttl: Annotated[float, Meta(description="Seconds until it ends unless renewed.", gt=0)] = 600
    token: Annotated[int, Meta(description="Renew this lock.")] | UnsetType = UNSET
    cursor: Place | UnsetType = UNSET


class Unlock(Arguments):
    """Release a lock, or give a taken job back."""

    token: Annotated[int, Meta(description="From lock or take.")]


class Wait(Arguments):
    """Wait until keys that other agents write are there, have a value, are gone or unlocked, instead of polling."""

    keys: Annotated[list[str], Meta(description="All of these.")] = []
    pattern: Annotated[str, Meta(description="Or a glob, for count keys that match.")] | UnsetType = UNSET
    count: Annotated[int, Meta(ge=1)] = 1
    until: Literal["there", "gone", "unlocked"] = "there"
    equals: Annotated[Any, Meta(description="The value, or the part of it at pointer, is this.")] = UNSET
    pointer: Annotated[str, Meta(description="JSON Pointer: /status")] = ""
    cursor: Annotated[str, Meta(description="From the last wait: go on after it.")] | UnsetType = UNSET
    timeout: Timeout = 50


class Take(Arguments):
    """Take the oldest job (a key that matches) from a queue; no other agent gets it meanwhile."""

    pattern: Annotated[str, Meta(description="Glob: job:*")] | UnsetType = UNSET
    timeout: Timeout = 0
    lease: Annotated[float, Meta(description="Seconds until others may have it, unless renewed with lock.", gt=0)] = 600
    cursor: Place | UnsetType = UNSET


class Send(Arguments):
    """Send a message to another agent; it waits in the inbox until read."""

    to: Annotated[str, Meta(description="Its name, as in who.")]
    body: Annotated[Any, Meta(description="Text or any JSON.")]
    answers: Annotated[str, Meta(description="Id of the question in your inbox that this answers.")] | UnsetType = UNSET


class Inbox(Arguments):
    """Read the messages that other agents sent you, oldest first; they stay until acknowledged."""

    ack: Annotated[list[str], Meta(description="Ids you have dealt with: these go.")] = []
    timeout: Timeout = 0


class Who(Arguments):
    """See who is here: your own name, the other agents, and who holds or waits for which lock."""


def schema(arguments: type[Arguments]) -> dict[str, Any]:
    """Return the JSON schema of a tool's arguments, without parts that a model does not need."""
    _, components = msgspec.json.schema_components([arguments], ref_template="{name}")
    found = components[arguments.__name__]
    properties = {name: _terse(one) for name, one in found["properties"].items()}
    required = found.get("required", [])
    return {
        "type": "object",
        "properties": properties,
        **({"required": required} if required else {}),
        "additionalProperties": False,
    }


def _terse(one: dict[str, Any]) -> dict[str, Any]:
    """Return a schema without what follows from the rest: a default of null, the type of an enumeration."""
    kept = {name: value for name, value in one.items() if name != "default" or value not in ([], "", False)}
    return {"type": "string", **kept} if "enum" in kept else kept
