"""The run of a program while a lock or a job is held, for `lock` and `take`.

1. **Release after the program has ended,** never before, whatever ends the command.
2. **If the lock or job is lost, the program is told to end,** since another agent may have it by now. The person is
   told why afterwards, because the program may use the whole screen. With ``--on-loss warn`` the program goes on,
   and the person is told at once.
3. **The exit code is the program's.** But 0 means that the lock or job was held to the end: a program that was ended
   because of a loss and returns 0 gives 2.
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
    """A lock or a job, as far as its loss is concerned."""

    @property
    def lost(self) -> LockLost | None:
        """The reason of the loss, or None while it is held."""


H = TypeVar("H", bound=Holding)
Run = Callable[[H, asyncio.Event], Awaitable[int]]
"""Runs the program until it ends, or until the event is set, and returns its exit code."""


def lock_environment(options: Options, hub: Hub, token: int) -> dict[str, str]:
    """Return the variables for a program: `waggle` in it uses the same hub, and writes only while the lock is held."""
    identity = {"NS": options.ns, "AGENT": options.agent, "TOKEN": options.token}
    values = {"URL": options.url, "LOCK_TOKEN": f"{token}", **{name: text for name, text in identity.items() if text}}
    return {f"WAGGLE_{name}": text for name, text in values.items()}


async def run_while_held(
    block: AbstractAsyncContextManager[H], run: Run[H], on_loss: OnLoss, *, ignored_loss: str | None = None
) -> int:
    """Enter the block, run the program in it, and return its exit code. Raises what entering raises.

    A loss with the reason ``ignored_loss`` is not reported, and does not end the program.
    """
    stop = asyncio.Event()
    program: asyncio.Future[int] | None = None
    try:
        async with block as held:
            program = asyncio.ensure_future(run(held, stop))
            try:
                return await asyncio.shield(program)
            finally:
                if held.lost is None:
                    await _cancel_and_wait(program)
    except LockLost as lost:
        if program is None:
            raise
        if lost.reason == ignored_loss:
            return await program
        if on_loss is OnLoss.warn:
            notify(f"{lost.message} The command goes on without it.")
            return await program
        stop.set()
        code = await program
        notify(f"{lost.message} The command was told to end.")
        return code or ERROR
    finally:
        if program is not None:
            await _cancel_and_wait(program)


async def _cancel_and_wait(program: asyncio.Future[int]) -> None:
    if not program.done():
        program.cancel()
        await asyncio.wait([program])
