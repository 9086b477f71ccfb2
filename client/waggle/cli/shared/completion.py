"""Completion of keys, namespaces, locks and agents: what the hub has that begins like that.

A person has pressed a key and waits for the line to move on, so:

1. **It is quick or nothing:** no more than `PATIENCE` seconds and `MOST` names.
2. **It is silent.** Whatever goes wrong, the line just stays as it is.
3. **Names are the hostile words of others:** those that a shell would not take as one plain word are left out.
"""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from waggle import Hub

__all__ = ["agents", "glue", "keys", "locks", "namespaces"]

PATIENCE = 0.5
"""Seconds for the hub to answer, the connection included."""
MOST = 50
"""Names: more nobody reads."""
GLUED = "_WAGGLE_GLUED"
"""The variable with what stands before the word that bash completes: see `glue`."""

_plain = re.compile(r"(?!-)[\w./:@%+,=-]+").fullmatch
_special = re.compile(r"([*?\[\\])")


def keys(ctx: typer.Context, incomplete: str) -> list[str]:
    """The keys that begin with what was typed."""
    before = os.environ.get(GLUED, "")

    async def ask(hub: Hub) -> list[str]:
        entries = await hub.list(
            _beginning_with(before + incomplete), ns=ctx.params.get("ns"), limit=MOST, values=False
        )
        return [entry.key.removeprefix(before) for entry in entries]

    return _asked(ctx, ask)


def namespaces(ctx: typer.Context, incomplete: str) -> list[str]:
    """The namespaces that have keys."""

    async def ask(hub: Hub) -> list[str]:
        return [one.ns for one in await hub.namespaces() if one.ns.startswith(incomplete)][:MOST]

    return _asked(ctx, ask)


def agents(ctx: typer.Context, incomplete: str) -> list[str]:
    """The agents that are here."""

    async def ask(hub: Hub) -> list[str]:
        return [one.key for one in await hub.list(_beginning_with(incomplete), ns="$agents", limit=MOST, values=False)]

    return _asked(ctx, ask)


def locks(ctx: typer.Context, incomplete: str) -> list[str]:
    """The names that are locked."""
    before = os.environ.get(GLUED, "")

    async def ask(hub: Hub) -> list[str]:
        held = await hub.locks(_beginning_with(before + incomplete), ns=ctx.params.get("ns"))
        keys = [key for lock in held for key in lock.names or lock.patterns or ()]
        return [key.removeprefix(before) for key in keys if key.startswith(before + incomplete)][:MOST]

    return _asked(ctx, ask)


def _beginning_with(text: str) -> str:
    return _special.sub(r"\\\1", text) + "*"


def _asked(ctx: typer.Context, ask: Callable[[Hub], Awaitable[list[str]]]) -> list[str]:
    """What the hub says, within all bounds; nothing if it says nothing."""
    import asyncio

    from waggle import WaggleError, connect

    async def visit() -> list[str]:
        async with asyncio.timeout(PATIENCE):
            url, token = ctx.params.get("url"), ctx.params.get("token")
            async with connect(url, ns="default", token=token, meta={"role": "cli"}, connect_timeout=PATIENCE) as hub:
                return await ask(hub)

    try:
        return [name for name in asyncio.run(visit()) if _plain(name)]
    except (WaggleError, OSError, TimeoutError):
        return []


def glue(env: MutableMapping[str, str]) -> None:
    """Make one word again of what bash takes apart at colons, which are frequent in keys.

    For ``waggle get task:1`` bash gives the words ``task``, ``:`` and ``1``, and replaces the last of them by a
    completion. So the first two are taken out of the line, and `keys` is told of them.
    """
    if env.get("_WAGGLE_COMPLETE") != "complete_bash":
        return
    try:
        place = int(env["COMP_CWORD"])
    except (KeyError, ValueError):
        return
    words, last = _glued(env.get("COMP_WORDS", "").split("\n")[: place + 1])
    before, colon, rest = last.rpartition(":")
    env.update({"COMP_WORDS": "\n".join([*words, rest]), "COMP_CWORD": str(len(words)), GLUED: before + colon})


def _glued(parts: list[str]) -> tuple[list[str], str]:
    """The words of which bash has made these parts; the last one apart."""
    words: list[str] = []
    open_end = False
    for part in parts:
        colons = bool(part) and not part.strip(":")
        if words and (open_end or colons):
            words[-1] += part
        else:
            words.append(part)
        open_end = colons
    return words[:-1], words[-1] if words else ""
