"""Background tasks: backups and searches, which the machine orders and which answer later.

A command of these kinds is pending from the moment it is decided. Its task runs beside the engine, and its reply goes
through the engine like any other effect: to the connection that the session has by then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from waggle.wire import messages as m
from waggle.wire.errors import BadRequest, WaggleError
from waggle_hub.faults import report_fault
from waggle_hub.state.effects import DeferredReply, StartBackup, StartSearch
from waggle_hub.state.sessions import Outcome

Settled = Callable[[], Awaitable[int]]
"""Waits until everything decided so far is on disk, and gives its revision."""
BackUp = Callable[[Settled], Awaitable[m.BackedUp]]
"""Makes a backup of all that is decided when it is called. Raises a WaggleError."""


async def refuse_backup(settled: Settled) -> m.BackedUp:
    """Refuse a backup: the hub has no data directory."""
    raise BadRequest("this hub keeps everything in memory: there is nothing to back up; waggle export can", field="op")


class BackgroundTasks:
    """The tasks that are under way. `reply` is called with the outcome of each that was not cancelled."""

    def __init__(
        self,
        search: Callable[[StartSearch], Awaitable[m.Found]],
        back_up: Callable[[], Awaitable[m.BackedUp]],
        reply: Callable[[DeferredReply], None],
    ) -> None:
        self._search = search
        self._back_up = back_up
        self._reply = reply
        self.tasks: set[asyncio.Task[None]] = set()
        """Kept here until they are done: the loop itself holds tasks weakly."""

    def start(self, order: StartBackup | StartSearch) -> asyncio.Task[None]:
        """Start the task of an order, on the running loop. Cancel it to have no reply."""
        # The machine never waits. What takes long, or needs the disk, becomes a task.
        task = asyncio.get_running_loop().create_task(self._run(order))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def _run(self, order: StartBackup | StartSearch) -> None:
        try:
            if isinstance(order, StartSearch):
                outcome = Outcome(ok=await self._search(order))
            else:
                outcome = Outcome(ok=await self._back_up())
        except WaggleError as error:
            outcome = Outcome(error=error)
        # Any other exception must become a reply too, or the client would wait for ever.
        except Exception:
            outcome = Outcome(error=report_fault(type(order).__name__))
        # A cancelled task does not come here: its command has been answered with an error.
        self._reply(DeferredReply(order.session, order.id, outcome))
