"""The person in front of a demo: how a question reaches them, and their answer the demo."""

from __future__ import annotations

import asyncio
import sys

from waggle.cli.output.format import visible
from waggle.examples.roles import Ask

__all__ = ["make_ask"]


def make_ask(yes: bool, set_: str) -> Ask:
    """What asks: says yes to all; or asks at the terminal; or, where there is none, says how to answer from another.

    ``set_`` is the command that writes an entry, up to its key.
    """

    async def agree(key: str, question: str) -> str:
        print(f"{visible(question)}: yes", flush=True)
        return "yes"

    async def elsewhere(key: str, question: str) -> str:
        print(
            f"{visible(question)}, from any terminal:\n"
            f"""    {set_} {key} '{{"status": "approved"}}'\n"""
            f"""    {set_} {key} '{{"status": "rejected", "reason": "not on a Friday"}}'""",
            flush=True,
        )
        return await _never()

    return agree if yes else _at_terminal if sys.stdin.isatty() else elsewhere


async def _at_terminal(key: str, question: str) -> str:
    """Ask until something is said; who ends the input says nothing any more."""
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str] = asyncio.Queue()
    loop.add_reader(sys.stdin, lambda: lines.put_nowait(sys.stdin.readline()))
    try:
        said = "\n"
        while said and not said.strip():
            print(f"{visible(question)}: ", end="", flush=True)
            said = await lines.get()
    finally:
        loop.remove_reader(sys.stdin)
    return said.strip() or await _never()


async def _never() -> str:
    """Nothing is said here."""
    nothing: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    return await nothing
