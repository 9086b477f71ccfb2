"""What `lock` and `take` have in common: a program runs for as long as something is held.

The rules:

1. **Let go after the program has ended,** and never before, whatever ends this.
2. **Lost, the program is told to end,** since others may have it by now, and then the person is told why: the program
   may have had the screen. Or it goes on without, if that was asked for, and the person is told at once.
3. **The exit code is the program's.** But 0 means that it was held to the end: ended because of a loss, a program that
   says 0 gives 2.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeVar

from waggle import Hub, LockLost
from waggle.cli.shared.connect import ERROR, notify
from waggle.cli.shared.options import OnLoss, Options

__all__ = ["lock_environment", "run_while_held"]


class Holding(Protocol):
    """A lock or a job."""

    @property
    def lost(self) -> LockLost | None:
        """Why it was lost, or None if it was not."""


H = TypeVar("H", bound=Holding)
Run = Callable[[H, asyncio.Event], Awaitable[int]]
"""Runs the program until it has ended, or until it is told to end, and gives its exit code."""


def lock_environment(options: Options, hub: Hub, token: int) -> dict[str, str]:
    """The variables with which `waggle` within the program means the same hub, and writes only while this is held."""
    said = {"NS": options.ns, "AGENT": options.agent, "TOKEN": options.token}
    known = {"URL": options.url, "LOCK_TOKEN": f"{token}", **{name: text for name, text in said.items() if text}}
    return {f"WAGGLE_{name}": text for name, text in known.items()}


async def run_while_held(
    block: AbstractAsyncContextManager[H], run: Run[H], on_loss: OnLoss, *, harmless: str | None = None
) -> int:
    """Enter the block, run the program in it, and give its exit code. Raises what entering raises.

    ``harmless`` is a reason for which it may be lost that is nothing to tell, nor to end a program for.
    """
    stop = asyncio.Event()
    running: asyncio.Future[int] | None = None
    try:
        async with block as held:
            running = asyncio.ensure_future(run(held, stop))
            try:
                return await asyncio.shield(running)
            finally:
                if held.lost is None:
                    await _cancel_and_wait(running)
    except LockLost as lost:
        if running is None:
            raise
        if lost.reason == harmless:
            return await running
        if on_loss is OnLoss.warn:
            notify(f"{lost.message} The command goes on without it.")
            return await running
        stop.set()
        code = await running
        notify(f"{lost.message} So the command was told to end.")
        return code or ERROR
    finally:
        if running is not None:
            await _cancel_and_wait(running)


async def _cancel_and_wait(running: asyncio.Future[int]) -> None:
    if not running.done():
        running.cancel()
        await asyncio.wait([running])
