"""A machine with a finder at its side, as the engine has them, and no engine."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import msgspec

from tests.unit.state.machine_harness import MachineHarness
from waggle.wire import messages as m
from waggle_hub.fulltext.service import Finder
from waggle_hub.settings import Bounds, Limits
from waggle_hub.state.effects import StartSearch


class Desk(MachineHarness):
    """A machine whose changes are passed on to the search service."""

    def __init__(self, limits: Limits | None = None, bounds: Bounds | None = None, data: Path | None = None) -> None:
        super().__init__(limits)
        self.finder = Finder(self.machine.state, bounds or Bounds(), lambda: self.now, data)
        self.open_session("a")

    def do(self, session: str, op: str, **fields: Any) -> Any:
        """The `ok` of a command; raises its error."""
        try:
            return super().do(session, op, **fields)
        finally:
            self.tell()

    def tell(self) -> None:
        """Let the finder know what the last command has changed."""
        for commit in self.commits():
            self.finder.committed(commit)

    async def search(self, text: str, session: str = "a", **fields: Any) -> m.Found:
        """The answer to a search. Raises its error."""
        command = msgspec.convert({"op": "search", "id": 1, "text": text, **fields}, m.Search)
        (wanted,) = self.machine.apply(command, session, self.now)
        assert isinstance(wanted, StartSearch)
        return await self.finder.find(wanted)

    async def found(self, text: str, session: str = "a", **fields: Any) -> list[str]:
        """The keys that a search finds, in order."""
        return sorted(hit.key for hit in (await self.search(text, session, **fields)).entries)

    def hold(self) -> threading.Event:
        """Let the thread of the index do nothing until this is set."""
        held = threading.Event()
        assert self.finder._thread is not None
        self.finder._thread.submit(held.wait, 60)
        return held

    async def begun(self, text: str, session: str = "a", **fields: Any) -> asyncio.Task[m.Found]:
        """A search that has asked the index."""
        task = asyncio.create_task(self.search(text, session, **fields))
        for _ in range(10):
            await asyncio.sleep(0)
        return task
