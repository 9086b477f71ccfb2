"""The command `wait`: wait until an entry exists, or until other conditions hold."""

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
        list[str] | None, typer.Option("--pattern", metavar="PATTERN", help="Wait for entries that match. Repeatable.")
    ] = None,
    count: Annotated[int, typer.Option("--count", metavar="N", min=1, help="Wait for N entries that match.")] = 1,
    where: Annotated[
        list[str] | None,
        typer.Option("--where", metavar="TEXT", help="Only for such a value: '/state == done'. Repeatable."),
    ] = None,
    since: Annotated[
        int | None, typer.Option("--since", metavar="REV", help="Only for an entry written after REV.")
    ] = None,
    absent: Annotated[bool, typer.Option("--absent", help="Wait until it is absent.")] = False,
    unlocked: Annotated[bool, typer.Option("--unlocked", help="Wait until it is not locked.")] = False,
    conditions: Annotated[
        str | None,
        typer.Option("--conditions", metavar="JSON", help="A list of conditions instead; -: standard input."),
    ] = None,
    any_: Annotated[
        bool, typer.Option("--any/--all", help="Wait for one of the conditions, or for all at once.")
    ] = False,
    timeout: Annotated[
        str, typer.Option("--timeout", metavar="TIME", help="Wait at most this time, or forever.")
    ] = "30",
    text: Annotated[bool, typer.Option("--text", help="Print a text value without its quotes.")] = False,
) -> None:
    """Wait until all KEYs exist, and print their values. Exit code 1 if they do not in time.

    A --where has a pointer to a part of the value, or none; one of == != < <= > >= in contains exists; and JSON or
    text. One value is printed as waggle get does, several entries as waggle list does; with --json, an entry a line.
    """
    wait_s = parse_timeout(timeout, "--timeout")
    if not (keys or patterns or conditions):
        raise typer.BadParameter("say what to wait for: a KEY, --pattern PATTERN, or --conditions JSON.")
    if conditions is not None:
        if keys or patterns or where or since is not None or absent or unlocked or count != 1:
            raise typer.BadParameter("--conditions has all conditions: leave out the other options.")
        parsed = parse_conditions(conditions)
    else:
        parsed = build_conditions(
            keys or [],
            patterns or [],
            count=count,
            absent=absent,
            unlocked=unlocked,
            since=since,
            wheres=[parse_where(condition) for condition in where or ()],
        )

    async def work(hub: Hub) -> None:
        wait_conditions: list[WaitFor] = [{"ns": options.ns, **condition} for condition in parsed]
        try:
            waited = await (hub.wait_any if any_ else hub.wait_all)(wait_conditions, timeout=wait_s)
        except TimedOut as error:
            if error.details.get("unanswered"):
                raise
            progress = describe_progress(conditions_of(wait_conditions, "conditions"), error.details["met"])
            exit_refused(options, error, f"the conditions did not hold within {timeout} s; {progress}")
        if options.json:
            sys.stdout.writelines(f"{to_json(entry)}\n" for entry in waited.matched)
        elif list(keys or ()) == [entry.key for entry in waited.matched]:
            for entry in waited.matched:
                print_value(entry.value, text)
        else:
            now = (await hub.ping()).at
            Rows(("KEY", "VALUE", "LEFT", "BY", "REV"), wide=1).print(
                [entry_row(entry, now) for entry in waited.matched]
            )

    run_with_hub(options, work)
