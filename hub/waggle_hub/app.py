"""The composition root: builds everything once, and knows no rule.

`build` gives a `Hub`: the engine with its machine and fan-out, and the ASGI application with its routes.
"""

from __future__ import annotations

import asyncio
import gc
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Mount, Route, WebSocketRoute

from waggle.version import __version__
from waggle.wire import messages as m
from waggle.wire.names import MAX_AGENT, MAX_KEY

from .backups import Backups
from .delivery.fanout import Fanout
from .edge.cors import Cors
from .edge.dashboard import OriginCheckMiddleware, static_files
from .edge.http.calls import CallRegistry
from .edge.http.exchange import refused
from .edge.http.routes import Handlers, routes
from .edge.http.stream import Streams
from .edge.mcp import McpEndpoint
from .edge.origin_check import Guard
from .edge.websocket import WebSocketEndpoint
from .engine.engine import Clock, Engine
from .journal.data_directory import newest_backup
from .journal.interface import Journal
from .journal.memory import NullJournal
from .settings import Settings
from .state.machine import Machine
from .state.persistence.records import HubRecord, StoredState

_LIMITS_SHOWN = (
    "value", "depth", "status", "meta", "ttl", "patterns", "subscriptions", "ephemeral", "page", "scan", "clear",
    "history", "text", "words", "steps", "keys", "bytes", "names", "lock_patterns", "pattern_locks", "claims",
    "waiting",
)  # fmt: skip


class Hub:
    """A hub, built but not yet listening."""

    def __init__(
        self,
        settings: Settings,
        journal: Journal,
        kept: StoredState | None,
        clock: Callable[[], float],
        copy: Callable[[], Path] | None,
    ) -> None:
        self.settings = settings
        self.machine = _machine(settings, journal, kept, clock())
        fanout = Fanout(settings.bounds, self.machine.state.log, clock)
        self.engine = Engine(
            self.machine, journal, fanout, settings.bounds, clock, _info(settings, journal), data=settings.data
        )
        self.backups = None if copy is None else Backups(self.engine.settled, copy)
        if self.backups is not None:
            self.engine.back_up = self.backups.make
        guard = Guard((settings.host, *settings.allowed_hosts), settings.allowed_origins)
        self.door = WebSocketEndpoint(self.engine, guard)
        self.callers = CallRegistry(self.engine)
        self.mcp = McpEndpoint(self.callers, settings.bounds)
        self.streams = Streams(self.engine)
        doors = Handlers(self.engine, self.callers, self.streams, settings)
        own = [WebSocketRoute("/ws", self.door), Route("/mcp", self.mcp)]
        found = [*own, *routes(doors), Mount("/", static_files())]
        app = Starlette(routes=found, lifespan=self._lifespan, exception_handlers={HTTPException: refused})
        self.app = OriginCheckMiddleware(Cors(app, settings.allowed_origins), guard)
        self._started = False

    async def start(self) -> None:
        """Let the engine run, on the running loop. A StoreError if the journal cannot be written. The application does
        it where nobody did."""
        if self._started:
            return
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)  # by default one value of a million lists is looked through again and again
        await self.engine.start()
        self._started = True

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        await self.start()
        schedule = self._schedule()
        try:
            yield
        finally:
            if schedule is not None:
                schedule.cancel()
            if self.backups is not None:
                await self.backups.close()
            await self.mcp.close()
            await self.engine.close()

    def _schedule(self) -> asyncio.Task[None] | None:
        """Make backups as often as is wanted, from now on."""
        every, data = self.settings.backup_every, self.settings.data
        if self.backups is None or every is None or data is None:
            return None
        return asyncio.create_task(self.backups.repeat(every, newest_backup(data)))

    def occupied(self) -> bool:
        """Whether any agent has a session, connected or not."""
        return len(self.machine.state.sessions) > 0

    async def drain(self) -> None:
        """Ask every agent to come back later, and wait until they have been told."""
        bounds = self.settings.bounds
        await self.engine.drain(bounds.drain)
        self.callers.drain(bounds.drain)
        await asyncio.gather(self.door.drain(bounds.drain, bounds.drain_wait), self.streams.drain(bounds.drain_wait))


def build(
    settings: Settings,
    journal: Journal | None = None,
    kept: StoredState | None = None,
    clock: Callable[[], float] | None = None,
    copy: Callable[[], Path] | None = None,
) -> Hub:
    """A hub with these settings, and what the journal has kept; in memory unless it is given a journal. `copy` makes
    a backup of what is on disk, called in a thread of its own."""
    return Hub(settings, journal or NullJournal(), kept, clock or Clock(), copy)


def _machine(settings: Settings, journal: Journal, kept: StoredState | None, now: float) -> Machine:
    """The machine, as it was kept. Its epoch and its first revision are those of G2: where the highest revision ever
    given cannot be known it begins at the time in microseconds, and where something may be lost that was shown, what
    was shown belongs to another epoch."""
    hub = None if kept is None else next(record for record in kept.records if isinstance(record, HubRecord))
    if hub is None:
        machine = Machine(settings.limits, _epoch(), 0 if journal.keeps else int(now * 1e6))
    elif not hub.epoch:
        machine = Machine(settings.limits, _epoch(), max(int(now * 1e6), hub.rev))
    else:
        machine = Machine(settings.limits, _epoch() if hub.running == "relaxed" else hub.epoch)
    if kept is not None:
        machine.load(kept, now)
    machine.set_durability(journal.durability)
    return machine


def _epoch() -> str:
    return secrets.token_hex(6)


def _info(settings: Settings, journal: Journal) -> m.Welcome:
    """What hello tells of this hub; the rest of the reply is the session's."""
    limits = {name: value for name, value in asdict(settings.limits).items() if name in _LIMITS_SHOWN}
    return m.Welcome(
        session="",
        secret="",
        agent="",
        resumed=False,
        epoch="",
        rev=0,
        grace=settings.limits.grace,
        hub=m.HubInfo("waggle", __version__),
        features=sorted(m.OPS),
        durability=journal.durability,
        limits={"message": settings.bounds.message, "key": MAX_KEY, "agent": MAX_AGENT, **limits},
        subs={},
    )
