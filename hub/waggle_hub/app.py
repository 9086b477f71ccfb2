"""The composition root: builds the parts of a hub and connects them, and contains no rule.

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
from waggle.wire.limits import MAX_AGENT_CHARS, MAX_KEY_CHARS

from .backups import Backups
from .edge.cors import Cors
from .edge.dashboard import static_files
from .edge.http.calls import CallRegistry
from .edge.http.exchange import refused
from .edge.http.routes import Handlers, routes
from .edge.http.stream import Streams
from .edge.mcp import McpEndpoint
from .edge.origin_check import OriginCheck, OriginCheckMiddleware
from .edge.websocket import WebSocketEndpoint
from .engine.background import refuse_backup
from .engine.engine import Engine
from .engine.environment import Clock
from .journal.data_directory import newest_backup
from .journal.interface import OpenJournal, StoreError
from .journal.memory import NullJournal
from .settings import Settings
from .state.machine import Machine
from .state.persistence.records import ContradictionError, HubRecord, StoredState

_LIMITS_SHOWN = (
    "value", "depth", "status", "meta", "ttl", "patterns", "subscriptions", "ephemeral", "page", "scan", "clear",
    "history", "text", "words", "steps", "keys", "bytes", "names", "lock_patterns", "pattern_locks", "claims",
    "waiting",
)  # fmt: skip


class Hub:
    """A hub that is built and does not listen yet. `build` says what the arguments are."""

    def __init__(
        self,
        settings: Settings,
        open_journal: OpenJournal,
        durability: str,
        stored: StoredState | None,
        clock: Callable[[], float],
        copy: Callable[[], Path] | None,
    ) -> None:
        self.settings = settings
        self.machine = make_machine(settings, durability, stored, clock())
        self.backups = None if copy is None else Backups(copy)
        self.engine = Engine(
            self.machine,
            open_journal,
            settings.bounds,
            clock,
            _info(settings, durability),
            loop=asyncio.get_running_loop(),
            back_up=refuse_backup if self.backups is None else self.backups.make,
            data=settings.data,
        )
        guard = OriginCheck((settings.host, *settings.allowed_hosts), settings.allowed_origins)
        self.door = WebSocketEndpoint(self.engine, guard)
        self.callers = CallRegistry(self.engine)
        self.mcp = McpEndpoint(self.callers, settings.bounds)
        self.streams = Streams(self.engine)
        handlers = Handlers(self.engine, self.callers, self.streams, settings)
        all_routes = [
            WebSocketRoute("/ws", self.door),
            Route("/mcp", self.mcp),
            *routes(handlers),
            Mount("/", static_files()),  # last: it takes every path that is left
        ]
        app = Starlette(routes=all_routes, lifespan=self._lifespan, exception_handlers={HTTPException: refused})
        self.app = OriginCheckMiddleware(Cors(app, settings.allowed_origins), guard)
        self._started = False

    async def start(self) -> None:
        """Start the engine. Raises StoreError if the journal cannot be written.

        The application does it at its own start, for servers that do not.
        """
        if self._started:
            return
        gc.collect()
        gc.freeze()
        # By default the collector would go through one value of a million lists again and again.
        gc.set_threshold(50_000, 20, 100)
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
        """Start the scheduled backups, if the settings ask for them."""
        every, data = self.settings.backup_every, self.settings.data
        if self.backups is None or every is None or data is None:
            return None
        return asyncio.create_task(self.backups.repeat(every, newest_backup(data), self.engine.settled))

    def occupied(self) -> bool:
        """Return whether any agent has a session, connected or not."""
        return len(self.machine.state.sessions) > 0

    async def drain(self) -> None:
        """Ask every agent to come back later, and wait until the lines that say so have left."""
        bounds = self.settings.bounds
        await self.engine.drain(bounds.drain)
        self.callers.drain(bounds.drain)
        await asyncio.gather(self.door.drain(bounds.drain, bounds.drain_wait), self.streams.drain(bounds.drain_wait))


def build(
    settings: Settings,
    open_journal: OpenJournal | None = None,
    stored: StoredState | None = None,
    clock: Callable[[], float] | None = None,
    copy: Callable[[], Path] | None = None,
) -> Hub:
    """Return a hub with these settings, on the running loop.

    Without `open_journal` it keeps everything in memory. `stored` is the state that the journal has kept. `copy` writes
    a backup of what is on disk and returns its path; it is called in a thread.
    """
    durability = "memory" if open_journal is None else settings.durability
    return Hub(settings, open_journal or NullJournal, durability, stored, clock or Clock(), copy)


def make_machine(settings: Settings, durability: str, stored: StoredState | None, now: float) -> Machine:
    """Return a machine with the stored state, or an empty one.

    Its epoch and first revision follow G2. Where the highest revision ever given is not known, revisions start at the
    time in microseconds. Where changes may be lost that were seen, a new epoch begins. Raises StoreError if the stored
    state contradicts itself.
    """
    hub = None if stored is None else _hub_record(stored, settings)
    if hub is None:
        # In memory, an earlier hub at this address may have given any revision below the time.
        machine = Machine(settings.limits, _epoch(), int(now * 1e6) if durability == "memory" else 0)
    elif not hub.epoch:  # a backup that was restored
        machine = Machine(settings.limits, _epoch(), max(int(now * 1e6), hub.rev))
    else:
        # A hub in `relaxed` that did not stop in good order may have shown changes that never reached the disk.
        machine = Machine(settings.limits, _epoch() if hub.running == "relaxed" else hub.epoch)
    if stored is not None:
        try:
            machine.load(stored, now)
        except Exception as error:
            raise _contradiction(settings, error) from error
    machine.set_durability(durability)
    return machine


def _hub_record(stored: StoredState, settings: Settings) -> HubRecord:
    for record in stored.records:
        if isinstance(record, HubRecord):
            return record
    raise _contradiction(settings, ContradictionError("the record of the hub itself is missing"))


def _contradiction(settings: Settings, error: Exception) -> StoreError:
    reason = str(error) if isinstance(error, ContradictionError) else f"{type(error).__name__}: {error}"
    return StoreError(
        f"the data in {settings.data} contradicts itself: {reason}. The hub has not changed it. Put a backup in its "
        "place with `waggle restore`"
    )


def _epoch() -> str:
    return secrets.token_hex(6)


def _info(settings: Settings, durability: str) -> m.Welcome:
    """Return the part of the reply to hello that describes the hub. The fields of the session are filled in later."""
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
        durability=durability,
        limits={"message": settings.bounds.message, "key": MAX_KEY_CHARS, "agent": MAX_AGENT_CHARS, **limits},
        subs={},
    )
