"""Events as lines, for a person or for a program.

A person gets the time of day, the type, the key, the author, and the detail of the event's type, in colour and cut
to the width. A program gets the same in columns with tabs between them, uncut, with the date.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from datetime import date

import typer
from msgspec import UNSET

from waggle import Event
from waggle.cli.output.format import iso_time, milliseconds, preview, time_left, time_of_day, to_json, truncate, visible
from waggle.cli.output.tables import tab_line

__all__ = ["event_detail", "event_line", "event_printer", "event_row"]

TYPE_COLOURS = {
    "set": "green", "delete": "red", "expire": "yellow", "evict": "yellow", "touch": "cyan", "message": "magenta",
    "lost": "red",
}  # fmt: skip

Printer = Callable[[Event], None]


def event_printer(*, json: bool, with_ns: bool = False, with_rev: bool = False) -> Printer:
    """Return a function that prints an event: as JSON, for a program, or in colour for a terminal."""
    if json:
        return lambda event: print(to_json(event), flush=True)
    if not sys.stdout.isatty():
        return lambda event: print(tab_line(event_row(event, with_ns=with_ns, with_rev=with_rev)), end="", flush=True)
    return _terminal_printer(with_ns, with_rev)


def _terminal_printer(with_ns: bool, with_rev: bool) -> Printer:
    """Return a printer of coloured lines, cut to the width, with a line of its own where a day begins."""
    colour = "NO_COLOR" not in os.environ
    day = date.today()

    def show(event: Event) -> None:
        nonlocal day
        if event.at and date.fromtimestamp(event.at) != day:
            day = date.fromtimestamp(event.at)
            print(f"-- {day:%A, %Y-%m-%d} --")
        width = shutil.get_terminal_size().columns
        print(event_line(event, with_ns=with_ns, with_rev=with_rev, width=width, colour=colour), flush=True)

    return show


def event_row(event: Event, *, with_ns: bool = False, with_rev: bool = False) -> list[str]:
    """Return an event as columns: moment, revision if asked for, type, namespace if asked for, key, author, detail."""
    return [
        iso_time(event.at) if event.at else "-",
        *([f"{event.rev}"] if with_rev else []),
        event.type,
        *([visible(event.ns)] if with_ns else []),
        visible(event.key),
        visible(event.by),
        event_detail(event),
    ]


def event_line(event: Event, *, with_ns: bool, width: int | None, colour: bool, with_rev: bool = False) -> str:
    """Return an event on one line: time, type, key, author and detail; cut to ``width`` characters if given."""
    if event.type == "synced":
        return "-- all present entries are above; new events follow --"
    if event.type == "lost":
        return f"-- missed too many events ({_reason(event)}): the above is outdated, all present entries follow --"
    rev = f"  {event.rev:>8}" if with_rev else ""
    key = visible(f"{event.ns} {event.key}" if with_ns else event.key)
    head = f"{time_of_day(event.at)}{rev}  {event.type:<7} "
    line = truncate(f"{head} {key}  {visible(event.by)}  {event_detail(event)}".rstrip(), width)
    if colour:
        return typer.style(line[: len(head)], fg=TYPE_COLOURS.get(event.type)) + line[len(head) :]
    return line


def event_detail(event: Event) -> str:
    """Return the detail of an event of its type: the value, how late it expired, the time left, the reason."""
    match event.type:
        case "set":
            return preview(event.value, None)
        case "message":
            return preview(event.data, None)
        case "expire":
            return "" if event.late is UNSET else f"{milliseconds(event.late)} late"
        case "touch":
            until = None if event.expires_at is UNSET else event.expires_at
            return f"{time_left(until, event.at)} left" if until is not None else "no deadline any more"
        case _:
            return "" if event.reason is UNSET else _reason(event)


def _reason(event: Event) -> str:
    return "unknown" if event.reason is UNSET else visible(event.reason)
