"""The command `top`: the hub, live. What it asks for is here; what that looks like is in `board`.

What it asks for is bounded, however much happens at the hub: the figures, the first agents, and of the log the last
few events since the look before, without their values.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, NamedTuple

import typer

from waggle import Entry, Event, Hub, Lost, Statistics
from waggle.cli.commands.agents import without_self
from waggle.cli.output.format import to_json
from waggle.cli.process.stay_connected import HubStatus
from waggle.cli.shared.connect import exit_error, run_with_hub
from waggle.cli.shared.event_options import events_up_to
from waggle.cli.shared.options import Options, shared

__all__ = ["Sample", "top"]

REFRESH_EVERY_S = 1.0
"""Seconds from one look to the next."""
ANSWER_TIMEOUT_S = 2.0
"""Seconds for the hub to answer, before the person is told that it does not."""
MAX_SAMPLE_ITEMS = 100
"""Agents, and events, of one look."""


class Sample(NamedTuple):
    """What there was to see: the figures, the first agents in the order of their names, the events since before."""

    stats: Statistics
    agents: list[Entry]
    events: list[Event]


Show = Callable[[Sample | None], None]


@shared(ns=False)
def top(
    options: Options,
    once: Annotated[bool, typer.Option("--once", help="Look once, print it, and end.")] = False,
) -> None:
    """Show the hub live: rates, keys, connections, commands, agents, and the latest events. It ends on q or Ctrl-C.

    With --json: a line each second. Where the output is no terminal, it needs --once or --json.
    """
    if not (once or options.json or sys.stdout.isatty()):
        exit_error("the output is no terminal, where this could be live: say --once, or --json for a line each second.")

    async def work(hub: Hub) -> None:
        if once:
            look = await _Poller(hub).look()
            _print(look) if options.json else _print_once(options.url, look)
        elif options.json:
            await _poll(hub, _print)
        else:
            await _live(hub, options.url)

    run_with_hub(options, work, on_state=HubStatus() if options.json else None)


def _print(look: Sample | None) -> None:
    if look is not None:
        print(to_json(look._asdict()), flush=True)


def _print_once(url: str, look: Sample) -> None:
    from rich.console import Console

    from waggle.cli.top.screen import TopScreen

    console = Console(highlight=False)
    board = TopScreen(url)
    board.take(look)
    console.print(board.drawn(console.width, console.height))


async def _live(hub: Hub, url: str) -> None:
    """Keep a board on the screen until the person has seen enough."""
    from rich.console import Console
    from rich.live import Live

    from waggle.cli.top.screen import TopScreen

    console = Console(highlight=False)
    board = TopScreen(url)
    with _quit_on_q() as enough, Live(console=console, screen=True, auto_refresh=False) as screen:

        def show(look: Sample | None) -> None:
            board.take(look)
            screen.update(board.drawn(console.width, console.height), refresh=True)

        looking = asyncio.ensure_future(_poll(hub, show))
        await asyncio.wait([looking, enough], return_when=asyncio.FIRST_COMPLETED)
        if looking.done():
            looking.result()
        looking.cancel()


async def _poll(hub: Hub, show: Show) -> None:
    """Show each look, and None where the hub does not answer in time."""
    eyes = _Poller(hub)
    while True:
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                look = await eyes.look()
        except TimeoutError:
            show(None)
        else:
            show(look)
            await asyncio.sleep(REFRESH_EVERY_S)


class _Poller:
    """Looks at the hub, and remembers how far it has seen."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._seen = ("", 0)

    async def look(self) -> Sample:
        """Look once."""
        stats = await self._hub.stats()
        agents = await self._hub.list(ns="$agents", limit=MAX_SAMPLE_ITEMS)
        return Sample(stats, without_self(self._hub, agents), await self._news(stats))

    async def _news(self, stats: Statistics) -> list[Event]:
        """The last events since the look before; none if they have left the log already."""
        epoch, (seen_epoch, seen) = self._hub.epoch, self._seen
        begin = max(stats.log.floor, stats.rev - MAX_SAMPLE_ITEMS, seen if epoch == seen_epoch else 0)
        self._seen = epoch, stats.rev
        if begin >= stats.rev:
            return []
        try:
            async with self._hub.watch(ns="*", values=False, since=(epoch, begin)) as events:
                return [event async for event in events_up_to(events, stats.rev)]
        except Lost:
            return []


@contextmanager
def _quit_on_q() -> Iterator[asyncio.Future[None]]:
    """A future that is done once the person has pressed q; what is typed meanwhile does not show."""
    loop = asyncio.get_running_loop()
    enough: asyncio.Future[None] = loop.create_future()
    if not sys.stdin.isatty():
        yield enough
        return
    import termios
    import tty

    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)

    def read() -> None:
        typed = os.read(keyboard, 64)
        if (b"q" in typed or not typed) and not enough.done():
            enough.set_result(None)

    tty.setcbreak(keyboard)
    loop.add_reader(keyboard, read)
    try:
        yield enough
    finally:
        loop.remove_reader(keyboard)
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)
