"""The command `top`: the hub, live. This module polls the hub; `screen` draws the samples.

Each poll is bounded, however much happens at the hub: the figures, the first agents, and the last few events of the
log since the poll before, without their values.
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
"""Time between two polls."""
ANSWER_TIMEOUT_S = 2.0
"""Limit for the hub's answer, before the screen says that there is none."""
MAX_SAMPLE_ITEMS = 100
"""Agents, and events, of one poll at most."""


class Sample(NamedTuple):
    """The result of one poll: the figures, the first agents by name, the events since the poll before."""

    stats: Statistics
    agents: list[Entry]
    events: list[Event]


Show = Callable[[Sample | None], None]


@shared(ns=False)
def top(
    options: Options,
    once: Annotated[bool, typer.Option("--once", help="Print one page, and end.")] = False,
) -> None:
    """Show the hub live: rates, keys, connections, commands, agents, and the latest events. It ends on q or Ctrl-C.

    With --json: one line each second. Where the output is no terminal, it needs --once or --json.
    """
    if not (once or options.json or sys.stdout.isatty()):
        exit_error("the output is no terminal: say --once, or --json for a line each second.")

    async def work(hub: Hub) -> None:
        if once:
            sample = await _Poller(hub).sample()
            _print(sample) if options.json else _print_once(options.url, sample)
        elif options.json:
            await _poll(hub, _print)
        else:
            await _live(hub, options.url)

    run_with_hub(options, work, on_state=HubStatus() if options.json else None)


def _print(sample: Sample | None) -> None:
    if sample is not None:
        print(to_json(sample._asdict()), flush=True)


def _print_once(url: str, sample: Sample) -> None:
    from rich.console import Console

    from waggle.cli.top.screen import TopScreen

    console = Console(highlight=False)
    top_screen = TopScreen(url)
    top_screen.update(sample)
    console.print(top_screen.render(console.width, console.height))


async def _live(hub: Hub, url: str) -> None:
    """Draw samples on the screen until the person presses q."""
    from rich.console import Console
    from rich.live import Live

    from waggle.cli.top.screen import TopScreen

    console = Console(highlight=False)
    top_screen = TopScreen(url)
    with _quit_on_q() as quit_pressed, Live(console=console, screen=True, auto_refresh=False) as screen:

        def show(sample: Sample | None) -> None:
            top_screen.update(sample)
            screen.update(top_screen.render(console.width, console.height), refresh=True)

        polling = asyncio.ensure_future(_poll(hub, show))
        await asyncio.wait([polling, quit_pressed], return_when=asyncio.FIRST_COMPLETED)
        if polling.done():
            polling.result()
        polling.cancel()


async def _poll(hub: Hub, show: Show) -> None:
    """Call ``show`` with each sample, and with None where the hub does not answer in time."""
    poller = _Poller(hub)
    while True:
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                sample = await poller.sample()
        except TimeoutError:
            show(None)
        else:
            show(sample)
            await asyncio.sleep(REFRESH_EVERY_S)


class _Poller:
    """Takes samples of the hub, and remembers the last revision of each."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._last_seen = ("", 0)

    async def sample(self) -> Sample:
        """Return a new sample."""
        stats = await self._hub.stats()
        agents = await self._hub.list(ns="$agents", limit=MAX_SAMPLE_ITEMS)
        return Sample(stats, without_self(self._hub, agents), await self._new_events(stats))

    async def _new_events(self, stats: Statistics) -> list[Event]:
        """Return the last events since the poll before; none if the log no longer has them."""
        epoch, (seen_epoch, seen) = self._hub.epoch, self._last_seen
        begin = max(stats.log.floor, stats.rev - MAX_SAMPLE_ITEMS, seen if epoch == seen_epoch else 0)
        self._last_seen = epoch, stats.rev
        if begin >= stats.rev:
            return []
        try:
            async with self._hub.watch(ns="*", values=False, since=(epoch, begin)) as events:
                return [event async for event in events_up_to(events, stats.rev)]
        except Lost:
            return []


@contextmanager
def _quit_on_q() -> Iterator[asyncio.Future[None]]:
    """Yield a future that is done when the person presses q. Typed keys are not shown."""
    loop = asyncio.get_running_loop()
    quit_pressed: asyncio.Future[None] = loop.create_future()
    if not sys.stdin.isatty():
        yield quit_pressed
        return
    import termios
    import tty

    keyboard = sys.stdin.fileno()
    saved = termios.tcgetattr(keyboard)

    def read() -> None:
        typed = os.read(keyboard, 64)
        if (b"q" in typed or not typed) and not quit_pressed.done():
            quit_pressed.set_result(None)

    tty.setcbreak(keyboard)
    loop.add_reader(keyboard, read)
    try:
        yield quit_pressed
    finally:
        loop.remove_reader(keyboard)
        termios.tcsetattr(keyboard, termios.TCSADRAIN, saved)
