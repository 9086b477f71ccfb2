"""Completion of keys, namespaces, locks and agents: what the hub has that begins like that.

A person has pressed a key and waits for the line to move on, so:

1. **It is quick or nothing:** no more than `TIMEOUT_S` seconds and `MAX_NAMES` names.
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

__all__ = ["agents", "join_colon_words", "keys", "locks", "namespaces"]

TIMEOUT_S = 0.5
"""Seconds for the hub to answer, the connection included."""
MAX_NAMES = 50
"""Names: more nobody reads."""
COLON_PREFIX = "_WAGGLE_GLUED"
"""The variable with what stands before the word that bash completes: see `join_colon_words`."""

_plain = re.compile(r"(?!-)[\w./:@%+,=-]+").fullmatch
_special = re.compile(r"([*?\[\\])")


def keys(ctx: typer.Context, incomplete: str) -> list[str]:
    """The keys that begin with what was typed."""
    before = os.environ.get(COLON_PREFIX, "")

    async def ask(hub: Hub) -> list[str]:
        entries = await hub.list(
            _prefix_pattern(before + incomplete), ns=ctx.params.get("ns"), limit=MAX_NAMES, values=False
        )
        return [entry.key.removeprefix(before) for entry in entries]

    return _ask_hub(ctx, ask)


def namespaces(ctx: typer.Context, incomplete: str) -> list[str]:
    """The namespaces that have keys."""

    async def ask(hub: Hub) -> list[str]:
        return [one.ns for one in await hub.namespaces() if one.ns.startswith(incomplete)][:MAX_NAMES]

    return _ask_hub(ctx, ask)


def agents(ctx: typer.Context, incomplete: str) -> list[str]:
    """The agents that are here."""

    async def ask(hub: Hub) -> list[str]:
        return [
            one.key for one in await hub.list(_prefix_pattern(incomplete), ns="$agents", limit=MAX_NAMES, values=False)
        ]

    return _ask_hub(ctx, ask)


def locks(ctx: typer.Context, incomplete: str) -> list[str]:
    """The names that are locked."""
    before = os.environ.get(COLON_PREFIX, "")

    async def ask(hub: Hub) -> list[str]:
        held = await hub.locks(_prefix_pattern(before + incomplete), ns=ctx.params.get("ns"))
        keys = [key for lock in held for key in lock.names or lock.patterns or ()]
        return [key.removeprefix(before) for key in keys if key.startswith(before + incomplete)][:MAX_NAMES]

    return _ask_hub(ctx, ask)


def _prefix_pattern(text: str) -> str:
    return _special.sub(r"\\\1", text) + "*"


def _ask_hub(ctx: typer.Context, ask: Callable[[Hub], Awaitable[list[str]]]) -> list[str]:
    """What the hub says, within all bounds; nothing if it says nothing."""
    import asyncio

    from waggle import WaggleError, connect

    async def visit() -> list[str]:
        async with asyncio.timeout(TIMEOUT_S):
            url, token = ctx.params.get("url"), ctx.params.get("token")
            async with connect(url, ns="default", token=token, meta={"role": "cli"}, connect_timeout=TIMEOUT_S) as hub:
                return await ask(hub)

    try:
        return [name for name in asyncio.run(visit()) if _plain(name)]
    except (WaggleError, OSError, TimeoutError):
        return []


def join_colon_words(env: MutableMapping[str, str]) -> None:
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
    words, last = _split_last_word(env.get("COMP_WORDS", "").split("\n")[: place + 1])
    before, colon, rest = last.rpartition(":")
    env.update({"COMP_WORDS": "\n".join([*words, rest]), "COMP_CWORD": str(len(words)), COLON_PREFIX: before + colon})


def _split_last_word(parts: list[str]) -> tuple[list[str], str]:
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
