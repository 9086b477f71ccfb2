"""What `watch` and `log` have in common: which events are asked for, and when it is over."""

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
"""Events that are taken at once."""
CURSOR_POLL_S = 0.02
"""Seconds between two looks at the cursor: see `events_up_to`. It is the client's own, and costs the hub nothing."""

Patterns = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PATTERN",
        help="Quote them, or the shell takes them. None: everything.",
        autocompletion=completion.keys,
    ),
]
Types = Annotated[
    str | None,
    typer.Option("--types", metavar="TYPE,...", help=f"Only these, of {', '.join(ALL_TYPES)}."),
]


def parse_event_types(said: str | None) -> list[EventType] | None:
    """The types that were asked for. Raises typer.BadParameter for one that there is not."""
    if said is None:
        return None
    known: dict[str, EventType] = {name: name for name in ALL_TYPES}
    names = [name.strip() for name in said.split(",")]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise typer.BadParameter(f"there is no event type {unknown[0]!r}: use {', '.join(known)}.")
    return [known[name] for name in names]


async def events_up_to(events: Watcher, rev: int) -> AsyncIterator[Event]:
    """The events until all up to ``rev`` have come; or until the watcher is closed.

    Where the last of them does not match there is no event to wait for, only a mark, which moves the cursor.
    """
    batch = None
    try:
        while events.rev < rev:
            batch = batch or asyncio.ensure_future(events.batch(BATCH_EVENTS))
            if not (await asyncio.wait([batch], timeout=CURSOR_POLL_S))[0]:
                continue
            taken, batch = batch.result(), None
            if not taken:
                return
            for event, _ in taken:
                yield event
    finally:
        if batch is not None:
            batch.cancel()


def close_when_output_closes(events: Watcher) -> None:
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
