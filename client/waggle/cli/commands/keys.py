"""The commands about one key: get, set, delete, touch."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Annotated, Any

import typer

from waggle import Conflict, Hub, Written
from waggle.cli.output.format import time_left, to_json, visible
from waggle.cli.process.stay_connected import HubStatus, stay
from waggle.cli.shared.connect import exit_no, notify, run_with_hub
from waggle.cli.shared.json_args import read_json, read_value
from waggle.cli.shared.options import Guard, IfRev, Key, Options, Text, parse_time, shared

__all__ = ["delete", "get", "print_value", "set_", "touch"]


class Kinds(StrEnum):
    """The kinds of `waggle.wire.messages.Kind`, as typer takes them."""

    persistent = "persistent"
    transient = "transient"
    cached = "cached"
    versioned = "versioned"


@shared
def get(
    options: Options,
    key: Key,
    text: Annotated[bool, typer.Option("--text", help="Print a text value without its quotes.")] = False,
) -> None:
    """Print the value of KEY, as JSON. Exit code 1 if it is absent.

    With --json: the whole entry, with its revision, deadline and author; null if it is absent.
    """

    async def work(hub: Hub) -> None:
        entry = await hub.get(key, ns=options.ns)
        if options.json:
            print(to_json(entry))
        if entry is None:
            exit_no(f"there is no key {key!r}{options.within}")
        if not options.json:
            print_value(entry.value, text)

    run_with_hub(options, work)


def print_value(value: Any, text: bool) -> None:
    """Print a value as JSON, indented on a terminal; with ``text``, a text value without its quotes."""
    print(value if text and isinstance(value, str) else to_json(value, indented=sys.stdout.isatty()))


@shared
def set_(
    options: Options,
    key: Key,
    value: Annotated[
        str, typer.Argument(metavar="VALUE", show_default=False, help="JSON; - reads it from standard input.")
    ],
    ttl: Annotated[
        float | None,
        typer.Option("--ttl", parser=parse_time, metavar="TIME", help="The entry expires after this time; else never."),
    ] = None,
    keep_ttl: Annotated[bool, typer.Option("--keep-ttl", help="Leave the deadline as it is.")] = False,
    if_rev: IfRev = None,
    kind: Annotated[
        Kinds, typer.Option("--kind", help="How it is kept; versioned: with earlier versions.")
    ] = Kinds.persistent,
    meta: Annotated[
        str | None, typer.Option("--meta", metavar="JSON", help="An object that goes with it, such as a label.")
    ] = None,
    hold: Annotated[
        bool, typer.Option("--hold", help="Make it ephemeral: it lasts until Ctrl-C ends this command.")
    ] = False,
    guard: Guard = None,
    text: Text = False,
) -> None:
    """Write VALUE under KEY. Exit code 1 if --if-rev does not hold.

    One newline at the end of text from standard input is left out. A VALUE that begins with a hyphen, such as a
    negative number, goes after two hyphens: waggle set -- KEY -5
    """
    content = read_value(value, text)
    label = None if meta is None else read_json(meta, "--meta")

    async def write(hub: Hub) -> Written:
        with _explain_conflict(key, if_rev):
            return await hub.set(
                key,
                content,
                ns=options.ns,
                ttl=ttl,
                keep_ttl=keep_ttl,
                if_rev=if_rev,
                kind=kind.value,
                ephemeral=hold,
                meta=label,
                guard=guard,
            )

    async def work(hub: Hub) -> None:
        written = await write(hub)
        print(to_json(written) if options.json else f"{visible(key)}: rev {written.rev}, version {written.version}")
        if hold:
            sys.stdout.flush()
            notify("the entry lasts until Ctrl-C ends this command")
            await stay(hub, hub_status, write)

    hub_status = HubStatus()
    run_with_hub(options, work, on_state=hub_status)


@shared
def delete(options: Options, key: Key, if_rev: IfRev = None, guard: Guard = None) -> None:
    """Delete KEY. Exit code 1 if it was absent, or if --if-rev does not hold."""

    async def work(hub: Hub) -> None:
        with _explain_conflict(key, if_rev):
            deleted = await hub.delete(key, ns=options.ns, if_rev=if_rev, guard=guard)
        if options.json:
            print(to_json({"deleted": deleted}))
        if not deleted:
            exit_no(f"there is no key {key!r}{options.within}")
        if not options.json:
            print(f"{visible(key)}: deleted")

    run_with_hub(options, work)


@shared
def touch(
    options: Options,
    key: Key,
    ttl: Annotated[
        float | None,
        typer.Option("--ttl", parser=parse_time, metavar="TIME", help="The entry expires after this time."),
    ] = None,
    forever: Annotated[bool, typer.Option("--forever", help="Remove the deadline.")] = False,
    guard: Guard = None,
) -> None:
    """Give KEY a new deadline, or none. Exit code 1 if KEY is absent. Its value, revision and version stay."""
    if (ttl is None) != forever:
        raise typer.BadParameter("say either --ttl TIME or --forever.")

    async def work(hub: Hub) -> None:
        expires_at = await hub.touch(key, ttl, ns=options.ns, guard=guard)
        if options.json:
            print(to_json({"expires_at": expires_at}))
        elif expires_at is None:
            print(f"{visible(key)}: no deadline")
        else:
            print(f"{visible(key)}: {time_left(expires_at, (await hub.ping()).at)} left")

    run_with_hub(options, work)


@contextmanager
def _explain_conflict(key: str, if_rev: int | None) -> Iterator[None]:
    """Make a Conflict say what there is instead of the expected revision, so that no further read is needed."""
    try:
        yield
    except Conflict as conflict:
        current = conflict.current
        actual = "it is absent" if current is None else f"it is at rev {current.rev}, written by {current.by}"
        expected = "absent" if if_rev == 0 else f"at rev {if_rev}"
        conflict.message = f"{key!r} is not {expected}: {actual}. Read it, and decide anew."
        raise
