"""The command `wait`: until an entry is there, or whatever else it is that is waited for."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from waggle import Hub, TimedOut, WaitFor
from waggle.api.wait import conditions_of
from waggle.cli.commands.keys import print_value
from waggle.cli.output.explain import describe_progress
from waggle.cli.output.format import to_json
from waggle.cli.output.tables import Rows, entry_row
from waggle.cli.shared import completion
from waggle.cli.shared.condition_args import build_conditions, parse_conditions, parse_where
from waggle.cli.shared.connect import exit_refused, run_with_hub
from waggle.cli.shared.options import Options, parse_timeout, shared

__all__ = ["wait"]


@shared
def wait(
    options: Options,
    keys: Annotated[
        list[str] | None, typer.Argument(metavar="KEY", show_default=False, autocompletion=completion.keys)
    ] = None,
    patterns: Annotated[
        list[str] | None, typer.Option("--pattern", metavar="PATTERN", help="For entries that match. Repeatable.")
    ] = None,
    count: Annotated[int, typer.Option("--count", metavar="N", min=1, help="For so many that match.")] = 1,
    where: Annotated[
        list[str] | None,
        typer.Option("--where", metavar="TEXT", help="For such a value: '/state == done'. Repeatable."),
    ] = None,
    since: Annotated[int | None, typer.Option("--since", metavar="REV", help="For one written after REV.")] = None,
    absent: Annotated[bool, typer.Option("--absent", help="Until there is none.")] = False,
    unlocked: Annotated[bool, typer.Option("--unlocked", help="Until no lock is on it.")] = False,
    conditions: Annotated[
        str | None, typer.Option("--conditions", metavar="JSON", help="These instead, as a list; -: standard input.")
    ] = None,
    any_: Annotated[bool, typer.Option("--any/--all", help="Until one of several holds, or all at once.")] = False,
    timeout: Annotated[str, typer.Option("--timeout", metavar="TIME", help="Wait at most so long, or forever.")] = "30",
    text: Annotated[bool, typer.Option("--text", help="Print a value that is text without its quotes.")] = False,
) -> None:
    """Wait until all KEYs are there, and print their values. Exit code 1 if they do not come in time.

    In --where: a pointer to part of the value, or nothing; one of == != < <= > >= in contains exists; and JSON or text.
    One value is printed as waggle get does it, several entries as waggle list does; with --json, an entry a line.
    """
    patience = parse_timeout(timeout, "--timeout")
    if not (keys or patterns or conditions):
        raise typer.BadParameter("say what to wait for: a KEY, --pattern PATTERN, or --conditions JSON.")
    if conditions is not None:
        if keys or patterns or where or since is not None or absent or unlocked or count != 1:
            raise typer.BadParameter("--conditions says it all: leave out the rest.")
        wanted = parse_conditions(conditions)
    else:
        wanted = build_conditions(
            keys or [],
            patterns or [],
            count=count,
            absent=absent,
            unlocked=unlocked,
            since=since,
            wheres=[parse_where(said) for said in where or ()],
        )

    async def work(hub: Hub) -> None:
        asked: list[WaitFor] = [{"ns": options.ns, **one} for one in wanted]
        try:
            waited = await (hub.wait_any if any_ else hub.wait_all)(asked, timeout=patience)
        except TimedOut as late:
            if late.details.get("unanswered"):
                raise
            missing = describe_progress(conditions_of(asked, "conditions"), late.details["met"])
            exit_refused(options, late, f"it did not come about within {timeout} s; {missing}")
        if options.json:
            sys.stdout.writelines(f"{to_json(entry)}\n" for entry in waited.matched)
        elif list(keys or ()) == [entry.key for entry in waited.matched]:
            for entry in waited.matched:
                print_value(entry.value, text)
        else:
            now = (await hub.ping()).at
            Rows(("KEY", "VALUE", "LEFT", "BY", "REV"), wide=1).print([entry_row(one, now) for one in waited.matched])

    run_with_hub(options, work)
