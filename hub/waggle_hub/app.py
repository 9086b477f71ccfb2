"""The composition root: builds everything once, and knows no rule.

`build` gives a `Hub`: the engine with its machine and fan-out, and the ASGI application with its routes.
"""

from __future__ import annotations

import gc
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict

from starlette.applications import Starlette
from starlette.routing import Mount, Route, WebSocketRoute

from waggle import messages as m
from waggle.keys import MAX_AGENT, MAX_KEY
from waggle.version import __version__

from .delivery.fanout import Fanout
from .edge.guard import Guard
from .edge.page import Guarded, healthz, static_files
from .edge.websocket import WebSocketDoor
from .engine import Clock, Engine
from .journal.null import NullJournal
from .journal.port import Journal
from .settings import Settings
from .state.machine import Machine

_LIMITS_SHOWN = (
    "value", "depth", "status", "meta", "ttl", "patterns", "subscriptions", "ephemeral", "page", "scan", "clear",
    "history", "steps", "keys", "bytes", "names", "lock_patterns", "pattern_locks", "claims", "waiting",
)  # fmt: skip


class Hub:
    """A hub, built but not yet listening."""

    def __init__(self, settings: Settings, journal: Journal, clock: Callable[[], float]) -> None:
        limits = settings.limits
        self.settings = settings
        self.machine = Machine(limits, secrets.token_hex(6), _first_rev(clock()))
        fanout = Fanout(settings.bounds, self.machine.state.log, clock)
        self.engine = Engine(self.machine, journal, fanout, settings.bounds, clock, _info(settings, journal))
        guard = Guard((settings.host, *settings.allowed_hosts), settings.allowed_origins)
        self.door = WebSocketDoor(self.engine, guard)
        routes = [
            WebSocketRoute("/ws", self.door),
            Route("/healthz", healthz),
            Route("/readyz", healthz),
            Mount("/", static_files()),
        ]
        self.app = Guarded(Starlette(routes=routes, lifespan=self._lifespan), guard)

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)  # by default one value of a million lists is looked through again and again
        self.engine.start()
        try:
            yield
        finally:
            self.engine.stop()

    async def drain(self) -> None:
        """Ask every agent to come back later, and wait until they have been told."""
        bounds = self.settings.bounds
        await self.door.drain(bounds.drain, bounds.drain_wait)


def build(settings: Settings, journal: Journal | None = None, clock: Callable[[], float] | None = None) -> Hub:
    """A hub with these settings; in memory unless it is given a journal."""
    return Hub(settings, journal or NullJournal(), clock or Clock())


def _first_rev(now: float) -> int:
    """A hub without memory cannot know the highest revision ever given: it begins at the time in microseconds (G2)."""
    return int(now * 1e6)


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
