"""Shell completion of keys, namespaces, locks and agents.

A person has pressed a key and waits, so:

1. **Completion is quick or empty:** at most `TIMEOUT_S` seconds and `MAX_NAMES` names.
2. **Completion is silent.** After any error the line just stays as it is.
3. **Names of agents may be hostile.** A name that a shell would not take as one plain word is left out.
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
"""Limit for the hub's answer, the connection included."""
MAX_NAMES = 50
"""Names in a completion: no person reads more."""
COLON_PREFIX = "_WAGGLE_GLUED"
"""The variable with the text before the word that bash completes: see `join_colon_words`."""

_plain = re.compile(r"(?!-)[\w./:@%+,=-]+").fullmatch
_special = re.compile(r"([*?\[\\])")


def keys(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the keys that begin with the typed text."""
    prefix = os.environ.get(COLON_PREFIX, "")

    async def ask(hub: Hub) -> list[str]:
        entries = await hub.list(
            _prefix_pattern(prefix + incomplete), ns=ctx.params.get("ns"), limit=MAX_NAMES, values=False
        )
        return [entry.key.removeprefix(prefix) for entry in entries]

    return _ask_hub(ctx, ask)


def namespaces(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the namespaces with keys that begin with the typed text."""

    async def ask(hub: Hub) -> list[str]:
        return [namespace.ns for namespace in await hub.namespaces() if namespace.ns.startswith(incomplete)][:MAX_NAMES]

    return _ask_hub(ctx, ask)


def agents(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the connected agents whose names begin with the typed text."""

    async def ask(hub: Hub) -> list[str]:
        return [
            entry.key
            for entry in await hub.list(_prefix_pattern(incomplete), ns="$agents", limit=MAX_NAMES, values=False)
        ]

    return _ask_hub(ctx, ask)


def locks(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the locked names and patterns that begin with the typed text."""
    prefix = os.environ.get(COLON_PREFIX, "")

    async def ask(hub: Hub) -> list[str]:
        held = await hub.locks(_prefix_pattern(prefix + incomplete), ns=ctx.params.get("ns"))
        keys = [key for lock in held for key in lock.names or lock.patterns or ()]
        return [key.removeprefix(prefix) for key in keys if key.startswith(prefix + incomplete)][:MAX_NAMES]

    return _ask_hub(ctx, ask)


def _prefix_pattern(text: str) -> str:
    return _special.sub(r"\\\1", text) + "*"


def _ask_hub(ctx: typer.Context, ask: Callable[[Hub], Awaitable[list[str]]]) -> list[str]:
    """Return the names that ``ask`` gets from the hub, within the time limit; none after any error."""
    import asyncio

    from waggle import WaggleError, connect

    async def ask_in_time() -> list[str]:
        async with asyncio.timeout(TIMEOUT_S):
            url, token = ctx.params.get("url"), ctx.params.get("token")
            async with connect(url, ns="default", token=token, meta={"role": "cli"}, connect_timeout=TIMEOUT_S) as hub:
                return await ask(hub)

    try:
        return [name for name in asyncio.run(ask_in_time()) if _plain(name)]
    except (WaggleError, OSError, TimeoutError):
        return []


def join_colon_words(env: MutableMapping[str, str]) -> None:
    """Rejoin the words of a bash completion that were split at colons, which are frequent in keys.

    For ``waggle get task:1`` bash gives the words ``task``, ``:`` and ``1``, and replaces only the last of them by a
    completion. So the first two are taken out of the line, and kept for `keys` in the variable `COLON_PREFIX`.
    """
    if env.get("_WAGGLE_COMPLETE") != "complete_bash":
        return
    try:
        place = int(env["COMP_CWORD"])
    except (KeyError, ValueError):
        return
    words, last = _split_last_word(env.get("COMP_WORDS", "").split("\n")[: place + 1])
    prefix, colon, rest = last.rpartition(":")
    env.update({"COMP_WORDS": "\n".join([*words, rest]), "COMP_CWORD": str(len(words)), COLON_PREFIX: prefix + colon})


def _split_last_word(parts: list[str]) -> tuple[list[str], str]:
    """Rejoin the words that bash split into these parts, and return the last word apart from the others."""
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
