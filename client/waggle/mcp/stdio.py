"""MCP over standard input and output: the tools for one editor's window, by one session with the hub.

Rules:

1. **One window, one session.** It begins when the window first needs it, so that it can be named after the program;
   it goes on over a restart of the hub, and ends with the window: its locks are free at once.
2. **A missing hub is started,** if that is allowed: before the first connection, and when the hub has been gone for
   long.
3. **Standard output is the protocol's.** Messages for people go to standard error.
4. **On SIGTERM or SIGINT the session ends,** and then the process: a read of standard input cannot be interrupted.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from mcp.server.stdio import stdio_server

from waggle.core.session import State
from waggle.mcp.profiles import make_profile
from waggle.mcp.project import agent_name
from waggle.mcp.server import Calling, Context, make_server, program_of
from waggle.ops import Calls
from waggle.wire.errors import WaggleError
from waggle.wire.file_locks import Place

__all__ = ["Window", "serve"]

FIRST_CONNECT_TIMEOUT_S = 5.0
"""Seconds to find a hub that should be there."""
RESTART_AFTER_S = 15.0
"""Seconds after which a hub that went away is started again: one that somebody restarts is back before."""


class Wanted(NamedTuple):
    """The configuration: the hub, the agent, and the profile, one of `PROFILES`. ``start`` starts a hub and returns
    when it answers."""

    url: str
    ns: str
    agent: str | None
    token: str | None
    limit: float | None
    profile: str
    start: Callable[[], None] | None


class Window:
    """A window of an editor, and its session with the hub."""

    def __init__(self, wanted: Wanted, place: Place) -> None:
        self._wanted, self._place = wanted, place
        self._calls: Calls | None = None
        self._opening = asyncio.Lock()
        self._away = asyncio.Event()
        self._state: State = "connecting"
        self._tasks: set[asyncio.Task[None]] = set()

    async def identify(self, context: Context) -> Calling:
        """Return the caller, always this window. Raises WaggleError if there is no hub."""
        calls = await self._connected(program_of(context))
        return Calling(calls, self._place, self._wanted.limit)

    def heard(self, context: Context) -> None:
        """Open the session as soon as a client is there, so that other agents see it."""
        self._spawn(self._greet(program_of(context)))

    async def close(self) -> None:
        """End the session: the window is closed."""
        for task in self._tasks:
            task.cancel()
        if self._calls is not None:
            await self._calls.close()

    def end(self, number: signal.Signals) -> None:
        """Exit on a signal after ending the session."""
        self._spawn(self._end(number))

    async def _end(self, number: signal.Signals) -> None:
        if self._calls is not None:
            await self._calls.close()
        os._exit(128 + number)

    async def _greet(self, program: str | None) -> None:
        with suppress(WaggleError):  # the first tool that is called says it to the model
            await self._connected(program)

    async def _connected(self, program: str | None) -> Calls:
        async with self._opening:
            if self._calls is None:
                self._calls = await self._open(program)
            return self._calls

    async def _open(self, program: str | None) -> Calls:
        wanted = self._wanted
        if wanted.start is not None:
            await asyncio.to_thread(wanted.start)
        calls = await Calls.connect(
            wanted.url,
            agent=wanted.agent or agent_name(program),
            ns=wanted.ns,
            token=wanted.token,
            meta={"role": "mcp", "ns": wanted.ns, **({"client": program[:100]} if program else {})},
            connect_timeout=FIRST_CONNECT_TIMEOUT_S,
            on_state=self._told,
        )
        print(f"waggle: {calls.agent} in {wanted.ns} at {wanted.url}", file=sys.stderr, flush=True)
        if wanted.start is not None:
            self._spawn(self._restart(wanted.start))
        return calls

    def _told(self, state: State) -> None:
        self._state = state
        if state == "reconnecting":
            self._away.set()

    async def _restart(self, start: Callable[[], None]) -> None:
        """Start a hub again that has been gone for a while."""
        while True:
            await self._away.wait()
            self._away.clear()
            while self._state == "reconnecting":
                await asyncio.sleep(RESTART_AFTER_S)
                if self._state == "reconnecting":
                    with suppress(WaggleError, OSError):  # the next attempt may do better
                        await asyncio.to_thread(start)

    def _spawn(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def serve(wanted: Wanted, place: Place) -> None:
    """Serve the client at standard input until standard input is closed."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    window = Window(wanted, place)
    server = make_server(make_profile(wanted.profile), window.identify, window.heard)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, window.end, number)
    try:
        async with stdio_server() as (reading, writing):
            await server.run(reading, writing, server.create_initialization_options())
    finally:
        await window.close()
