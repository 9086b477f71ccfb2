"""The command `watch`: what happens, as it happens, until it is told to stop."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import sys
from collections.abc import Callable
from typing import Annotated, get_args

import typer

from waggle import Event, Hub, Watcher
from waggle.cli.options import DEFAULT_URL, Agent, Json, Ns, Token, Url, Where
from waggle.cli.show import event_line, to_json
from waggle.cli.visit import no, say, visit
from waggle.messages import EventType
from waggle.session import State

__all__ = ["watch"]


def watch(
    patterns: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATTERN", help="Quote them, or the shell takes them. None: everything."),
    ] = None,
    snapshot: Annotated[bool, typer.Option("--snapshot", help="Begin with what is there now.")] = False,
    types: Annotated[
        str | None,
        typer.Option(
            "--types",
            metavar="TYPE,...",
            help=f"Only these, of {', '.join(get_args(EventType))}. Else all but touch, renew and queue.",
        ),
    ] = None,
    count: Annotated[int | None, typer.Option("--count", metavar="N", min=1, help="End after N events.")] = None,
    timeout: Annotated[
        float | None,
        typer.Option("--timeout", metavar="SECONDS", min=0, help="End after so long."),
    ] = None,
    json: Json = False,
    ns: Ns = None,
    url: Url = DEFAULT_URL,
    agent: Agent = None,
    token: Token = None,
) -> None:
    """Print each event on keys and channels that match, as it happens.

    A line has the time, the type, the key, who did it, and the value. With --timeout, exit code 1 means that fewer
    than N events came, or none at all where there is no --count. The command outlives a restart of the hub.
    --ns "*" watches every namespace.
    """
    chosen = _types(types)
    show = to_json if json else _for_people(with_ns=ns == "*")

    async def work(hub: Hub) -> None:
        events = hub.watch(*(patterns or ()), ns=ns, types=chosen, snapshot=snapshot)
        seen = 0
        try:
            async with asyncio.timeout(timeout), events:
                _close_without_reader(events)
                async for event in events:
                    print(show(event), flush=True)
                    seen += event.type not in ("synced", "lost")
                    if seen == count:
                        return
        except TimeoutError:
            if seen < (count or 1):
                no(f"{seen} of {count or 1} events came within {timeout:g} s")

    visit(Where(url, agent, token), work, on_state=_Told())


def _types(said: str | None) -> list[EventType] | None:
    """The types that were asked for. Raises typer.BadParameter for one that there is not."""
    if said is None:
        return None
    known: dict[str, EventType] = {name: name for name in get_args(EventType)}
    names = [name.strip() for name in said.split(",")]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise typer.BadParameter(f"there is no event type {unknown[0]!r}: use {', '.join(known)}.")
    return [known[name] for name in names]


def _for_people(with_ns: bool) -> Callable[[Event], str]:
    """How an event is shown: in colour and cut to the width on a terminal, whole elsewhere."""
    terminal = sys.stdout.isatty()
    colour = terminal and "NO_COLOR" not in os.environ

    def show(event: Event) -> str:
        width = shutil.get_terminal_size().columns if terminal else None
        return event_line(event, with_ns=with_ns, width=width, colour=colour)

    return show


def _close_without_reader(events: Watcher) -> None:
    """End the watch when whoever reads our output has gone, instead of at the event after that.

    The writing end of a pipe never becomes readable but by that.
    """
    try:
        output = sys.stdout.fileno()
    except OSError:
        return  # no file at all
    if stat.S_ISFIFO(os.fstat(output).st_mode):
        loop = asyncio.get_running_loop()
        closing: list[asyncio.Task[None]] = []

        def gone() -> None:
            loop.remove_reader(output)
            closing.append(loop.create_task(events.close()))

        loop.add_reader(output, gone)


class _Told:
    """Tells the person when the hub goes away, and when it is back."""

    def __init__(self) -> None:
        self._away = False

    def __call__(self, state: State) -> None:
        if state == "reconnecting":
            self._away = True
            say("the hub is away; waiting for it to come back")
        elif state == "connected" and self._away:
            self._away = False
            say("the hub is back")
