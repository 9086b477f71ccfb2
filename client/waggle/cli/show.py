"""How things look: entries, events and agents as text, for people and for programs.

Pure: the time, the width and whether there is a person in front of it are arguments. Whatever agents wrote is shown
so that it cannot act on the terminal.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
import typer
from msgspec import UNSET

from waggle import Entry, Event

__all__ = ["agent_row", "entry_row", "event_line", "in_table", "in_tabs", "left", "preview", "to_json", "visible"]

COLOURS = {
    "set": "green", "delete": "red", "expire": "yellow", "evict": "yellow", "touch": "cyan", "message": "magenta",
    "lost": "red",
}  # fmt: skip

GAP = 2
"""Blanks between the columns of a table."""

_unseen = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    r"""Control characters, and those that turn the direction of writing, as ``\u....``; in JSON that is the same."""
    return _unseen.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def to_json(value: Any, *, indented: bool = False) -> str:
    """The value as JSON: on one line, or indented for people."""
    if not indented:
        return visible(msgspec.json.encode(value).decode())
    lines = msgspec.json.format(msgspec.json.encode(value), indent=2).decode().split("\n")
    return "\n".join(map(visible, lines))


def preview(value: Any, width: int | None) -> str:
    """The value as JSON, cut to ``width`` characters if given; nothing if there is no value."""
    return "" if value is UNSET else cut(to_json(value), width)


def cut(text: str, width: int | None) -> str:
    """At most ``width`` characters of the text, and a sign that there is more."""
    return text if width is None or len(text) <= width else text[: max(0, width - 1)] + "…"


def left(expires_at: float | None, now: float) -> str:
    """How long until the deadline, in the two units that matter; ``-`` if there is none."""
    if expires_at is None:
        return "-"
    seconds = max(0.0, expires_at - now)
    if seconds < 10:
        return f"{seconds:.1f}s"
    return duration(seconds)


def duration(seconds: float) -> str:
    """Whole seconds as ``45s``, ``3m 20s``, ``2h 5m`` or ``12d 3h``."""
    whole = int(seconds)
    for unit, smaller, size, part in (("d", "h", 86400, 3600), ("h", "m", 3600, 60), ("m", "s", 60, 1)):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size}{unit} {rest}{smaller}" if rest else f"{whole // size}{unit}"
    return f"{whole}s"


# --- tables ------------------------------------------------------------------------------------------------------


def entry_row(entry: Entry, now: float) -> list[str]:
    """An entry as the columns of `waggle list`: key, value, time left, by, revision."""
    return [
        visible(entry.key),
        preview(entry.value, None),
        left(entry.expires_at, now),
        visible(entry.by),
        f"{entry.rev}",
    ]


def agent_row(entry: Entry, now: float) -> list[str]:
    """An entry of ``$agents`` as the columns of `waggle agents`: agent, role, state, for how long, status."""
    value = entry.value
    role = (value["meta"] or {}).get("role", "")
    status = value["status"]
    return [
        visible(entry.key),
        visible(role) if isinstance(role, str) else to_json(role),
        "here" if value["connected"] else "away",
        duration(max(0.0, now - value["since"])),
        visible(status) if isinstance(status, str) else "" if status is None else to_json(status),
    ]


def in_tabs(rows: Sequence[Sequence[str]]) -> str:
    """Rows for other programs: one a line, tabs between the columns, nothing cut, no heading."""
    return "".join("\t".join(row) + "\n" for row in rows)


def in_table(heading: Sequence[str], rows: Sequence[Sequence[str]], wide: int) -> None:
    """Print rows for a person: column ``wide`` gives way to the others, and the first to it beyond half of the room."""
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    widths = [max(map(cell_len, column)) for column in zip(heading, *rows, strict=True)]
    room = console.width - GAP * (len(widths) - 1) - (sum(widths) - widths[0] - widths[wide])
    widths[0] = max(len(heading[0]), min(widths[0], max(room // 2, room - widths[wide])))
    widths[wide] = max(len(heading[wide]), min(widths[wide], room - widths[0]))
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for name, width in zip(heading, widths, strict=True):
        table.add_column(name, no_wrap=True, overflow="ellipsis", width=width)
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)


# --- events ------------------------------------------------------------------------------------------------------


def event_line(event: Event, *, with_ns: bool, width: int | None, colour: bool) -> str:
    """An event on one line: time, type, key, by, and what else matters of it; cut to ``width`` if given."""
    if event.type == "synced":
        return "-- this is all there is; from here on, what happens --"
    if event.type == "lost":
        return f"-- missed too much ({_reason(event)}): forget the above, all there is follows --"
    time = f"{datetime.fromtimestamp(event.at):%H:%M:%S.%f}"[:-3]
    key = visible(f"{event.ns} {event.key}" if with_ns else event.key)
    head = f"{time}  {event.type:<7} "
    line = cut(f"{head} {key}  {visible(event.by)}  {_matter(event)}".rstrip(), width)
    if colour:
        return typer.style(line[: len(head)], fg=COLOURS.get(event.type)) + line[len(head) :]
    return line


def _matter(event: Event) -> str:
    """What an event of its type is about."""
    match event.type:
        case "set":
            return preview(event.value, None)
        case "message":
            return preview(event.data, None)
        case "expire":
            return "" if event.late is UNSET else f"{event.late * 1000:.1f} ms late"
        case "touch":
            until = None if event.expires_at is UNSET else event.expires_at
            return f"{left(until, event.at)} left" if until is not None else "no deadline any more"
        case _:
            return "" if event.reason is UNSET else _reason(event)


def _reason(event: Event) -> str:
    return "unknown" if event.reason is UNSET else visible(event.reason)
