"""The commands about many keys: list, search and clear."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from waggle import Entry, Hub
from waggle.cli.commands.backup import NoBackup, backup_first
from waggle.cli.output.format import amount, to_json, visible
from waggle.cli.output.pages import clear_in_steps, entry_pages
from waggle.cli.output.progress import Progress
from waggle.cli.output.tables import Rows, entry_row
from waggle.cli.shared import completion
from waggle.cli.shared.connect import exit_error, exit_no, run_with_hub
from waggle.cli.shared.options import Limit, Options, shared

__all__ = ["Pattern", "clear", "list_", "search"]

SAMPLE_KEYS = 5
"""Keys printed as a sample in the question."""

Pattern = Annotated[
    str,
    typer.Argument(
        metavar="PATTERN",
        show_default=False,
        help="Quote it against the shell.",
        autocompletion=completion.keys,
    ),
]


@shared
def list_(
    options: Options,
    pattern: Pattern = "*",
    limit: Limit = None,
    no_values: Annotated[bool, typer.Option("--no-values", help="Do not print the values.")] = False,
) -> None:
    """List the entries whose key matches PATTERN, in key order.

    Each entry has its value, the time it has left, its author, and its revision. Where the output is not a terminal,
    tabs are between the columns and nothing is cut. In a PATTERN, * is any run of characters, ? is one character,
    [abc] is one of these.
    """
    heading = ("KEY", "LEFT", "BY", "REV") if no_values else ("KEY", "VALUE", "LEFT", "BY", "REV")
    rows = Rows(heading, wide=0 if no_values else 1)

    async def work(hub: Hub) -> None:
        async for page in entry_pages(hub, pattern, ns=options.ns, limit=limit, values=not no_values):
            if options.json:
                sys.stdout.writelines(f"{to_json(entry)}\n" for entry in page)
            else:
                now = (await hub.ping()).at
                rows.print([entry_row(entry, now, values=not no_values) for entry in page])

    run_with_hub(options, work)


@shared
def search(
    options: Options,
    text: Annotated[str, typer.Argument(metavar="TEXT", show_default=False, help="Quote it if it is several words.")],
    pattern: Annotated[
        str,
        typer.Option("--pattern", metavar="P", help="Only where the key matches.", autocompletion=completion.keys),
    ] = "*",
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=1000, help="At most N.")] = 20,
) -> None:
    """Find the entries with all the words of TEXT in their key, value or meta, the best match first.

    Upper and lower case and accents do not matter; auth* stands for all words that begin so. The columns are those
    of list, with the score as the last one. Exit code 1 if there is no match.
    """
    rows = Rows(("KEY", "VALUE", "LEFT", "BY", "REV", "SCORE"), wide=1, numbers=(5,))

    async def work(hub: Hub) -> None:
        hits = await hub.search(text, pattern=pattern, ns=options.ns, limit=limit)
        if options.json:
            sys.stdout.writelines(f"{to_json(hit)}\n" for hit in hits)
        elif hits:
            now = (await hub.ping()).at
            rows.print([[*entry_row(hit, now), f"{hit.score:.3g}"] for hit in hits])
        if not hits:
            exit_no(f"no entry has these words{options.within}")

    run_with_hub(options, work)


@shared
def clear(
    options: Options,
    pattern: Pattern,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    no_backup: NoBackup = False,
) -> None:
    """Delete every entry whose key matches PATTERN. Only the backup that is made first can bring them back.

    On a terminal it first prints how many entries match, and asks; a "no" is exit code 1. Elsewhere it needs --yes.
    It works in steps of 1,000 entries, each all or nothing; entries written meanwhile may be deleted too.
    """
    total = None
    if not yes:
        if not sys.stdin.isatty():
            exit_error(
                f"this deletes every entry that matches {pattern!r}{options.within}: say --yes if that is meant."
            )
        total = _confirm(options, pattern)

    async def work(hub: Hub) -> None:
        if await hub.list(pattern, ns=options.ns, limit=1, values=False):
            await backup_first(hub, no_backup)
        with Progress("deleted", of=total) as progress:
            async for deleted in clear_in_steps(hub, pattern, ns=options.ns):
                progress.add(deleted)
        print(to_json({"deleted": progress.done}) if options.json else f"{amount(progress.done)} deleted")

    run_with_hub(options, work)


def _confirm(options: Options, pattern: str) -> int:
    """Return the number of entries to delete, once the person has agreed. Exits if not, or if there are none."""
    sample: list[Entry] = []
    counting = Progress("counted")

    async def count(hub: Hub) -> None:
        with counting:
            async for page in entry_pages(hub, pattern, ns=options.ns, values=False):
                counting.add(len(page))
                sample.extend(page[: SAMPLE_KEYS - len(sample)])

    run_with_hub(options, count)
    if not counting.done:
        print(to_json({"deleted": 0}) if options.json else "nothing matches")
        raise typer.Exit
    names = ", ".join(visible(entry.key) for entry in sample) + (", ..." if counting.done > SAMPLE_KEYS else "")
    entries = "1 entry" if counting.done == 1 else f"{amount(counting.done)} entries"
    if not typer.confirm(f"Delete {entries}{options.within}: {names}?", err=True):
        exit_no("nothing was deleted")
    return counting.done
