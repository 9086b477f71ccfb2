"""The commands about agents: list the agents, and be one of them."""

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
    """List the connected agents: name, role, state, for how long, and status.

    The state "away" means that the agent lost its connection, and has a few seconds to come back. This command
    itself is not listed.
    """

    async def work(hub: Hub) -> None:
        entries = await hub.agents()
        others = without_self(hub, entries)
        if options.json:
            sys.stdout.writelines(f"{to_json({'agent': entry.key, **entry.value})}\n" for entry in others)
            return
        now = (await hub.ping()).at
        rows = Rows(("AGENT", "ROLE", "STATE", "FOR", "STATUS"), wide=4)
        rows.print([agent_row(entry, now) for entry in others])

    run_with_hub(options, work)


def without_self(hub: Hub, entries: list[Entry]) -> list[Entry]:
    """Return the agents without this command itself, unless another session has the same name."""
    return [entry for entry in entries if entry.value["session"] != hub.session or entry.value["sessions"] > 1]


@shared(ns=False)
def status(
    options: Options,
    text: Annotated[str, typer.Argument(metavar="STATUS", show_default=False, help="Text, or JSON; up to 4 KiB.")],
    command: Annotated[
        list[str] | None, typer.Argument(metavar="-- CMD", help="A program to run; else until Ctrl-C.")
    ] = None,
) -> None:
    """Appear among the agents, with STATUS for others to see, while CMD runs. The exit code is that of CMD.

    A status belongs to a session, and ends with it: so this command stays. Name yourself with --agent.
    """
    content = json_or_string(text)
    hub_status = HubStatus()
    code = 0

    async def set_status(hub: Hub) -> None:
        await hub.status(content)

    async def work(hub: Hub) -> None:
        nonlocal code
        await set_status(hub)
        if command:
            code = await stay_while(hub, hub_status, set_status, command)
        else:
            notify(f"{hub.agent} is connected until Ctrl-C ends this command")
            await stay(hub, hub_status, set_status)

    try:
        run_with_hub(options, work, on_state=hub_status)
    except OSError as error:
        exit_error(f"{command[0] if command else 'the program'} cannot be run: {error.strerror}.")
    raise typer.Exit(code)
