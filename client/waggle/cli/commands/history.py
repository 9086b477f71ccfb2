"""The command `history`: the versions of an entry, and the changes from one to the next."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from itertools import pairwise

import typer

from waggle import Entry, Hub
from waggle.cli.output.diff import change_line, changes
from waggle.cli.output.format import iso_time, preview, to_json, truncate, visible
from waggle.cli.output.tables import tab_line
from waggle.cli.shared.connect import exit_no, notify, run_with_hub
from waggle.cli.shared.options import Key, Limit, Options, shared

__all__ = ["history"]

SIGN_COLOURS = {"+": "green", "-": "red", "~": "yellow"}
MAX_CHANGES = 20
"""Changes printed between two versions; --json has all of them."""


@shared
def history(options: Options, key: Key, limit: Limit = None) -> None:
    """Show the versions of KEY, newest first, and the changes of each. Exit code 1 if KEY is absent.

    Only an entry that is set with --kind versioned keeps its earlier versions, up to 20. The recent changes of any
    entry are in the log: waggle log KEY
    """

    async def work(hub: Hub) -> None:
        entries = await hub.history(key, ns=options.ns, limit=limit)
        if not entries:
            exit_no(f"there is no key {key!r}{options.within}. Its last events: waggle log {shlex.quote(key)}")
        if options.json:
            sys.stdout.writelines(f"{to_json(entry)}\n" for entry in entries)
        elif sys.stdout.isatty():
            _show(entries)
        else:
            sys.stdout.writelines(tab_line(_row(entry)) for entry in entries)
        if entries[0].kind != "versioned":
            sys.stdout.flush()
            notify("only its present version is kept: write it with --kind versioned to keep earlier versions.")

    run_with_hub(options, work)


def _row(entry: Entry) -> list[str]:
    """Return a version as columns: version, revision, time, author, value."""
    value = preview(entry.value, None)
    return [f"{entry.version}", f"{entry.rev}", iso_time(entry.updated_at), visible(entry.by), value]


def _show(entries: list[Entry]) -> None:
    """Print each version as a paragraph for a person: author and time, then its changes; the oldest in full."""
    width = shutil.get_terminal_size().columns
    colour = "NO_COLOR" not in os.environ
    for newer, older in pairwise([*entries, None]):
        assert newer is not None
        when = iso_time(newer.updated_at)[:19].replace("T", " ")
        head = f"version {newer.version}  rev {newer.rev}  {when}  {visible(newer.by)}"
        print(typer.style(truncate(head, width), bold=True) if colour else truncate(head, width))
        for line in _change_lines(older, newer, width):
            line = truncate(f"  {line}", width)
            print(typer.style(line, fg=SIGN_COLOURS.get(line[2])) if colour else line)


def _change_lines(older: Entry | None, newer: Entry, width: int) -> list[str]:
    """Return the changes of a version, a line each."""
    if older is None:
        return [preview(newer.value, width)]
    lines = [change_line(change, width) for change in changes(older.value, newer.value)]
    if not lines:
        return ["= the same value"]
    rest = len(lines) - MAX_CHANGES
    return lines if rest <= 0 else [*lines[:MAX_CHANGES], f"... and {rest} more changes: --json has them"]
