"""Options and loops that `watch` and `log` share: the choice of events, and the end of a watch."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from collections.abc import AsyncIterator
from typing import Annotated, get_args

import typer

from waggle import Event, Watcher
from waggle.cli.shared import completion
from waggle.wire.messages import EventType

__all__ = ["ALL_TYPES", "Patterns", "Types", "close_when_output_closes", "events_up_to", "parse_event_types"]

ALL_TYPES: tuple[EventType, ...] = get_args(EventType)

BATCH_EVENTS = 1000
"""Events taken from the watcher at a time."""
CURSOR_POLL_S = 0.02
"""Time between two checks of the cursor (see `events_up_to`), which is the client's own: it costs the hub nothing."""

Patterns = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PATTERN",
        help="Quote them against the shell. None: everything.",
        autocompletion=completion.keys,
    ),
]
Types = Annotated[
    str | None,
    typer.Option("--types", metavar="TYPE,...", help=f"Only these, of {', '.join(ALL_TYPES)}."),
]


def parse_event_types(text: str | None) -> list[EventType] | None:
    """Return the event types of ``--types``, None for the default. Raises typer.BadParameter for an unknown type."""
    if text is None:
        return None
    by_name: dict[str, EventType] = {name: name for name in ALL_TYPES}
    names = [name.strip() for name in text.split(",")]
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise typer.BadParameter(f"there is no event type {unknown[0]!r}: use {', '.join(by_name)}.")
    return [by_name[name] for name in names]


async def events_up_to(events: Watcher, rev: int) -> AsyncIterator[Event]:
    """Yield the events up to revision ``rev``, or until the watcher is closed.

    If the last of them does not match the watch, no event arrives for it, only a mark, which moves the cursor. So
    the cursor is polled.
    """
    batch = None
    try:
        while events.rev < rev:
            batch = batch or asyncio.ensure_future(events.batch(BATCH_EVENTS))
            if not (await asyncio.wait([batch], timeout=CURSOR_POLL_S))[0]:
                continue
            received, batch = batch.result(), None
            if not received:
                return
            for event, _ in received:
                yield event
    finally:
        if batch is not None:
            batch.cancel()


def close_when_output_closes(events: Watcher) -> None:
    """Close the watcher as soon as the reader of our output has gone, not only at the next event.

    The write end of a pipe becomes readable only when its reader has gone.
    """
    try:
        output = sys.stdout.fileno()
    except OSError:
        return  # captured output, without a file
    if stat.S_ISFIFO(os.fstat(output).st_mode):
        loop = asyncio.get_running_loop()
        closing: list[asyncio.Task[None]] = []

        def on_output_closed() -> None:
            loop.remove_reader(output)
            closing.append(loop.create_task(events.close()))

        loop.add_reader(output, on_output_closed)
