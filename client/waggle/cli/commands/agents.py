"""The commands about agents: who is here, and being here oneself."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from waggle import Entry, Hub
from waggle.cli.output.format import to_json
from waggle.cli.output.tables import Rows, agent_row
from waggle.cli.process.stay_connected import HubStatus, stay, stay_while
from waggle.cli.shared.connect import exit_error, notify, run_with_hub
from waggle.cli.shared.json_args import json_or_string
from waggle.cli.shared.options import Options, shared

__all__ = ["agents", "status", "without_self"]


@shared(ns=False)
def agents(options: Options) -> None:
    """List the agents that are here: name, role, whether connected, for how long, and status.

    "away" is an agent that lost its connection, and has a few seconds to come back. This command itself is left out.
    """

    async def work(hub: Hub) -> None:
        everyone = await hub.agents()
        others = without_self(hub, everyone)
        if options.json:
            sys.stdout.writelines(f"{to_json({'agent': entry.key, **entry.value})}\n" for entry in others)
            return
        now = (await hub.ping()).at
        rows = Rows(("AGENT", "ROLE", "STATE", "FOR", "STATUS"), wide=4)
        rows.print([agent_row(entry, now) for entry in others])

    run_with_hub(options, work)


def without_self(hub: Hub, everyone: list[Entry]) -> list[Entry]:
    """The agents but the one that this command is itself, unless that name is also somebody else's."""
    return [one for one in everyone if one.value["session"] != hub.session or one.value["sessions"] > 1]


@shared(ns=False)
def status(
    options: Options,
    said: Annotated[str, typer.Argument(metavar="STATUS", show_default=False, help="Text, or JSON; up to 4 KiB.")],
    command: Annotated[
        list[str] | None, typer.Argument(metavar="-- CMD", help="A program to run; else until Ctrl-C.")
    ] = None,
) -> None:
    """Be among the agents, with STATUS for others to see, while CMD runs. The exit code is that of CMD.

    A status belongs to a session, and goes when that ends: so this one stays. Say with --agent who you are.
    """
    content = json_or_string(said)
    told = HubStatus()
    code = 0

    async def tell(hub: Hub) -> None:
        await hub.status(content)

    async def work(hub: Hub) -> None:
        nonlocal code
        await tell(hub)
        if command:
            code = await stay_while(hub, told, tell, command)
        else:
            notify(f"{hub.agent} is here until this ends: Ctrl-C")
            await stay(hub, told, tell)

    try:
        run_with_hub(options, work, on_state=told)
    except OSError as fault:
        exit_error(f"{command[0] if command else 'the program'} cannot be run: {fault.strerror}.")
    raise typer.Exit(code)
