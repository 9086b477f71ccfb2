"""To be with the hub for longer than a command takes: until Ctrl-C, or while another program runs.

What belongs to a session (ephemeral entries, a status) is there as long as the session is. Should the hub forget the
session, by a restart for instance, it is put there again.
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
    """Tells the person when the hub goes away and when it is back; ``back`` is set then, too. An ``on_state``."""

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


async def stay(hub: Hub, told: HubStatus, again: Restore) -> None:
    """Stay for ever, and do ``again`` what has to be done anew in each new session."""
    session = hub.session
    while True:
        await told.back.wait()
        told.back.clear()
        if hub.session != session:
            session = hub.session
            await again(hub)


async def stay_while(hub: Hub, told: HubStatus, again: Restore, command: Sequence[str]) -> int:
    """As `stay`, while a program runs: gives its exit code."""
    program = asyncio.ensure_future(run_to_end(command))
    keeping = asyncio.ensure_future(stay(hub, told, again))
    try:
        await asyncio.wait([program, keeping], return_when=asyncio.FIRST_COMPLETED)
        if not program.done():
            await keeping  # it has failed
        return await program
    finally:
        for task in (program, keeping):
            task.cancel()
        await asyncio.gather(program, keeping, return_exceptions=True)
