"""The command `update`: change a value in place, by the hub in one step."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from waggle import Hub
from waggle.cli.output.format import to_json
from waggle.cli.shared.connect import run_with_hub
from waggle.cli.shared.json_args import read_json
from waggle.cli.shared.options import Guard, IfRev, Key, Options, parse_time, shared

__all__ = ["update"]


@shared
def update(
    options: Options,
    key: Key,
    merge: Annotated[
        str | None, typer.Option("--merge", metavar="JSON", help="A JSON Merge Patch: null removes a member.")
    ] = None,
    patch: Annotated[
        str | None, typer.Option("--patch", metavar="JSON", help="A JSON Patch: a list of operations.")
    ] = None,
    incr: Annotated[str | None, typer.Option("--incr", metavar="N", help="Add this number.")] = None,
    append: Annotated[
        str | None, typer.Option("--append", metavar="JSON", help="Add this to the end of a list.")
    ] = None,
    pointer: Annotated[
        str | None,
        typer.Option("--pointer", metavar="POINTER", help="The part of the value, such as /tests/passed."),
    ] = None,
    if_rev: IfRev = None,
    ttl: Annotated[
        float | None,
        typer.Option("--ttl", parser=parse_time, metavar="TIME", help="A new deadline; else it stays."),
    ] = None,
    guard: Guard = None,
) -> None:
    """Change the value of KEY in place, in one of four ways, and print the new value.

    The hub makes the change in one step: if two agents add 1 at the same time, both count. An absent KEY counts as
    {}, 0 or []. JSON that is - is read from standard input. Exit code 1 if --if-rev or a test of the patch does not
    hold.
    """
    given = {"merge": merge, "patch": patch, "incr": incr, "append": append}
    changes: dict[str, Any] = {name: read_json(text, f"--{name}") for name, text in given.items() if text is not None}
    if len(changes) != 1:
        raise typer.BadParameter("say one of --merge, --patch, --incr and --append.")

    async def work(hub: Hub) -> None:
        updated = await hub.update(key, **changes, pointer=pointer, ns=options.ns, if_rev=if_rev, ttl=ttl, guard=guard)
        print(to_json(updated) if options.json else to_json(updated.value, indented=sys.stdout.isatty()))

    run_with_hub(options, work)
