"""The keys as resources, ``waggle://NS/KEY``, and their change notifications: ``subscriptions/listen``.

Rules:

1. **A resource is an entry as JSON,** with its revision and author; one that is too long for a reply is told with
   its length, and how to read it.
2. **Listening is waiting.** For each resource that a client listens to, a wait of the hub ends when the entry is
   written or gone; then the client is told to read again. A change between two such waits is seen by the second.
3. **Nothing is missed at the start:** the revisions are read before the client is told that listening has begun.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from waggle.mcp.render import entry_shown, marked, to_json
from waggle.ops import Caller
from waggle.wire.errors import BadRequest, TimedOut

__all__ = ["MAX_LISTED", "TEMPLATE", "Listening", "read", "uri_of"]

TEMPLATE = "waggle://{ns}/{key}"
SCHEME = "waggle://"
MAX_VALUE_CHARS = 100_000
"""Characters of a value that is told as a resource: a client reads one because its person has chosen it."""
MAX_LISTED = 50
"""Resources that one stream listens to: two conditions of one wait for each."""
WAIT_TURN_S = 3_600.0
"""Seconds of one wait, the longest there is: then the next."""

Tell = Callable[[str], Awaitable[object]]


class Place(NamedTuple):
    """Where an entry is: namespace and key."""

    ns: str
    key: str


def uri_of(ns: str, key: str) -> str:
    """Return the URI of an entry."""
    return f"{SCHEME}{ns}/{quote(key, safe='/:@!$,;=~*()')}"


def place_of(uri: str) -> Place:
    """Return the place of a URI's entry. Raises BadRequest."""
    ns, slash, key = uri.removeprefix(SCHEME).partition("/")
    if not uri.startswith(SCHEME) or not slash or not ns or not key:
        raise BadRequest(f"{uri!r} is no resource here: they are called {TEMPLATE}.", field="uri")
    return Place(unquote(ns), unquote(key))


async def read(caller: Caller, uri: str) -> str | None:
    """Return the entry as JSON text, or None. Raises WaggleError."""
    place = place_of(uri)
    entry = (await caller.call("get", {"key": place.key, "ns": place.ns}))["entry"]
    return None if entry is None else to_json(marked(entry_shown(entry, MAX_VALUE_CHARS), caller.agent, [entry["by"]]))


class Listening:
    """The resources that one client listens to."""

    def __init__(self, caller: Caller, uris: list[str]) -> None:
        if len(uris) > MAX_LISTED:
            raise BadRequest(
                f"A stream listens to at most {MAX_LISTED} resources: open another one.", field="resources"
            )
        self._caller = caller
        self._places = {uri: place_of(uri) for uri in uris}
        self._seen: dict[str, tuple[int, bool]] = {}
        """For each resource, a revision up to which all is known, and whether the entry was there."""

    async def begin(self) -> None:
        """Read the revisions of the entries. Raises WaggleError."""
        for uri, place in self._places.items():
            ok = await self._caller.call("get", {"key": place.key, "ns": place.ns})
            self._seen[uri] = (ok["rev"], ok["entry"] is not None)

    async def go_on(self, tell: Tell) -> None:
        """Notify of each resource that changes, for ever. Raises WaggleError."""
        while self._places:
            conditions = [(uri, one) for uri in self._places for one in self._changes(uri)]
            try:
                fields = {"any": [one for _, one in conditions], "timeout": WAIT_TURN_S}
                met = (await self._caller.call("wait", fields))["met"]
            except TimedOut as late:
                if late.details.get("unanswered"):
                    await asyncio.sleep(1.0)
                continue
            for uri in dict.fromkeys(conditions[index][0] for index in met):
                ok = await self._caller.call("get", self._fields(uri))
                self._seen[uri] = (ok["rev"], ok["entry"] is not None)
                await tell(uri)

    def _changes(self, uri: str) -> list[dict[str, Any]]:
        """Return the conditions of a change: the entry is written after the seen revision, or gone if it was there."""
        rev, there = self._seen[uri]
        written = {**self._fields(uri), "since": rev}
        return [written, {**self._fields(uri), "absent": True}] if there else [written]

    def _fields(self, uri: str) -> dict[str, Any]:
        place = self._places[uri]
        return {"key": place.key, "ns": place.ns}
