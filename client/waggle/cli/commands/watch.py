"""The command `watch`: events as they happen, until the command is stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated

import typer

from waggle import Event, Hub
from waggle.cli.output.event_lines import event_printer
from waggle.cli.process.event_handler import EventHandler
from waggle.cli.process.stay_connected import HubStatus
from waggle.cli.shared.connect import exit_no, run_with_hub
from waggle.cli.shared.event_options import Patterns, Types, close_when_output_closes, parse_event_types
from waggle.cli.shared.options import Options, parse_time, shared

__all__ = ["watch"]


@shared
def watch(
    options: Options,
    patterns: Patterns = None,
    snapshot: Annotated[bool, typer.Option("--snapshot", help="Begin with the present entries.")] = False,
    types: Types = None,
    count: Annotated[int | None, typer.Option("--count", metavar="N", min=1, help="End after N events.")] = None,
    timeout: Annotated[
        float | None,
        typer.Option("--timeout", parser=parse_time, metavar="TIME", help="End after this time."),
    ] = None,
    command: Annotated[
        str | None,
        typer.Option("--exec", metavar="CMD", help="Run this in a shell for each event, instead of printing it."),
    ] = None,
    strict: Annotated[bool, typer.Option("--fail", help="End when CMD fails, with exit code 2; else go on.")] = False,
) -> None:
    """Print each event on keys and channels that match, as it happens; or run CMD for it.

    A line has the time, the type, the key, the author, and the value. Without --types, all types but touch, renew
    and queue are printed. With --timeout, exit code 1 means that fewer than N events came, or none without --count.
    The command goes on after a restart of the hub. --ns "*" watches every namespace.

    CMD runs for one event after the other. It gets the event as JSON on standard input, and in the variables
    WAGGLE_EVENT_TYPE, _KEY, _NS, _REV, _BY, _AT and, for a value of less than 64 KiB, _VALUE.
    """
    if strict and command is None:
        raise typer.BadParameter("--fail needs --exec.")
    chosen = parse_event_types(types)

    async def work(hub: Hub) -> None:
        handle = await _action(hub, options, command, strict)
        events = hub.watch(*(patterns or ()), ns=options.ns, types=chosen, snapshot=snapshot)
        events_seen = 0
        try:
            async with asyncio.timeout(timeout), events:
                close_when_output_closes(events)
                async for event in events:
                    await handle(event)
                    events_seen += event.type not in ("synced", "lost")
                    if events_seen == count:
                        return
        except TimeoutError:
            if events_seen < (count or 1):
                exit_no(f"only {events_seen} of {count or 1} events came within {timeout:g} s")

    run_with_hub(options, work, on_state=HubStatus())


async def _action(hub: Hub, options: Options, command: str | None, strict: bool) -> Callable[[Event], Awaitable[None]]:
    """Return the function for each event: print it, or run the person's command."""
    if command is not None:
        handler = EventHandler(command, strict=strict)
        await handler.prepare(hub)
        return handler
    show = event_printer(json=options.json, with_ns=options.ns == "*")

    async def print_event(event: Event) -> None:
        show(event)

    return print_event
