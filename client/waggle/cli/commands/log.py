"""The command `log`: past events, as far back as the hub's log reaches."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import typer

from waggle import Event, Hub, Lost, Watcher
from waggle.cli.output.event_lines import event_printer
from waggle.cli.output.format import duration, time_of_day
from waggle.cli.process.stay_connected import HubStatus
from waggle.cli.shared.connect import exit_no, notify, run_with_hub
from waggle.cli.shared.event_options import (
    ALL_TYPES,
    Patterns,
    Types,
    close_when_output_closes,
    events_up_to,
    parse_event_types,
)
from waggle.cli.shared.options import Options, shared
from waggle.wire.messages import EventType, Since

__all__ = ["log"]

MAX_ATTEMPTS = 5
"""Subscriptions that are tried at the moving start of the log."""


@shared
def log(
    options: Options,
    patterns: Patterns = None,
    types: Types = None,
    last: Annotated[int | None, typer.Option("--last", metavar="N", min=1, help="Only the last N.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new events, until Ctrl-C.")] = False,
) -> None:
    """Print past events of a key, or of all that match: when, at which revision, what, by which agent, and the
    value.

    The hub keeps the latest events; how far back they go is printed on standard error. Messages and transient
    entries from before the hub's last restart are not in the log. Exit code 1 if no event matches. --ns "*" is every
    namespace.
    """
    chosen = parse_event_types(types) or list(ALL_TYPES)
    show = event_printer(json=options.json, with_ns=options.ns == "*", with_rev=True)

    async def work(hub: Hub) -> None:
        notify(await _describe_reach(hub))
        events_seen = 0
        async with _whole_log(hub, *(patterns or ()), ns=options.ns, types=chosen) as events:
            close_when_output_closes(events)
            tail: deque[Event] = deque(maxlen=last)
            async for event in events_up_to(events, (await hub.ping()).rev):
                events_seen += 1
                if last is None:
                    show(event)
                else:
                    tail.append(event)
            for event in tail:
                show(event)
            if follow:
                async for event in events:
                    show(event)
        if not (events_seen or follow):
            exit_no("nothing happened to it since then" if patterns else "nothing happened since then")

    run_with_hub(options, work, on_state=HubStatus())


@asynccontextmanager
async def _whole_log(
    hub: Hub, *patterns: str, ns: str | None, types: list[EventType], values: bool = True
) -> AsyncIterator[Watcher]:
    """Yield a subscription that begins where the log does.

    On a busy hub that place moves on while the subscription is made. So each new attempt begins a little later.
    """
    for attempt in range(MAX_ATTEMPTS):
        window = (await hub.stats()).log
        floor = window.floor + (window.rev - window.floor) * attempt // 20
        start = Since(hub.epoch, floor, gaps=True)
        events = hub.watch(*patterns, ns=ns, types=types, values=values, since=start)
        try:
            await events.__aenter__()
            break
        except Lost:
            continue
    else:
        raise Lost("The log drops events faster than they can be read: try again, or use waggle watch.")
    try:
        yield events
    finally:
        await events.close()


async def _describe_reach(hub: Hub) -> str:
    """Return a sentence on how far back the log goes."""
    now = await hub.ping()
    async with _whole_log(hub, ns="*", types=list(ALL_TYPES), values=False) as events:
        oldest = await anext(events_up_to(events, now.rev), None)
    if oldest is None:
        return "the log has no events yet"
    ago = duration(max(0.0, now.at - oldest.at))
    return f"the log goes back {ago}, to {time_of_day(oldest.at)[:-4]}; earlier events are dropped"
