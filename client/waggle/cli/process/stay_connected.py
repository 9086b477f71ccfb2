"""Commands that stay connected until Ctrl-C, or while another program runs.

Ephemeral entries and a status belong to a session, and end with it. If the hub forgets the session, after a restart
for example, they are written again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from waggle import Hub
from waggle.cli.process.processes import run_to_end
from waggle.cli.shared.connect import notify
from waggle.core.session import State

__all__ = ["HubStatus", "stay", "stay_while"]

Restore = Callable[[Hub], Awaitable[object]]


class HubStatus:
    """Messages for the person when the hub goes away and comes back (an ``on_state`` callback)."""

    def __init__(self) -> None:
        self.back = asyncio.Event()
        self._away = False

    def __call__(self, state: State) -> None:
        if state == "reconnecting":
            self._away = True
            notify("the hub is away; waiting for it to come back")
        elif state == "connected" and self._away:
            self._away = False
            notify("the hub is back")
            self.back.set()


async def stay(hub: Hub, status: HubStatus, restore: Restore) -> None:
    """Stay connected for ever, and call ``restore`` in each new session."""
    session = hub.session
    while True:
        await status.back.wait()
        status.back.clear()
        if hub.session != session:
            session = hub.session
            await restore(hub)


async def stay_while(hub: Hub, status: HubStatus, restore: Restore, command: Sequence[str]) -> int:
    """Stay connected while a program runs, as `stay` does, and return its exit code."""
    program = asyncio.ensure_future(run_to_end(command))
    keeping = asyncio.ensure_future(stay(hub, status, restore))
    try:
        await asyncio.wait([program, keeping], return_when=asyncio.FIRST_COMPLETED)
        if not program.done():
            await keeping  # `stay` only ends with an error: raise it
        return await program
    finally:
        for task in (program, keeping):
            task.cancel()
        await asyncio.gather(program, keeping, return_exceptions=True)
