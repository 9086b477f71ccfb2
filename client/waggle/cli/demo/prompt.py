"""The questions of a demo to the person in front of it."""

from __future__ import annotations

import asyncio
import sys

from waggle.cli.output.format import visible
from waggle.examples.roles import Ask

__all__ = ["make_ask"]


def make_ask(yes: bool, set_command: str) -> Ask:
    """Return a function that asks the person: always yes; at the terminal; or by telling how to answer from
    another.

    ``set_command`` is the command that writes an entry, up to its key.
    """

    async def say_yes(key: str, question: str) -> str:
        print(f"{visible(question)}: yes", flush=True)
        return "yes"

    async def print_how_to_answer(key: str, question: str) -> str:
        print(
            f"{visible(question)}, from any terminal:\n"
            f"""    {set_command} {key} '{{"status": "approved"}}'\n"""
            f"""    {set_command} {key} '{{"status": "rejected", "reason": "not on a Friday"}}'""",
            flush=True,
        )
        return await _never()

    return say_yes if yes else _at_terminal if sys.stdin.isatty() else print_how_to_answer


async def _at_terminal(key: str, question: str) -> str:
    """Ask until there is an answer. After the end of the input there is none: wait for ever."""
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str] = asyncio.Queue()
    loop.add_reader(sys.stdin, lambda: lines.put_nowait(sys.stdin.readline()))
    try:
        answer = "\n"
        while answer and not answer.strip():
            print(f"{visible(question)}: ", end="", flush=True)
            answer = await lines.get()
    finally:
        loop.remove_reader(sys.stdin)
    return answer.strip() or await _never()


async def _never() -> str:
    """Wait for ever: there is no answer from here."""
    never: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    return await never
