"""The command `agents`: who is here."""

from __future__ import annotations

import sys

from waggle import Hub
from waggle.cli.options import DEFAULT_URL, Agent, Json, Token, Url, Where
from waggle.cli.show import agent_row, in_table, in_tabs, to_json
from waggle.cli.visit import visit

__all__ = ["agents"]


def agents(json: Json = False, url: Url = DEFAULT_URL, agent: Agent = None, token: Token = None) -> None:
    """List the agents that are here: name, role, whether connected, for how long, and status.

    "away" is an agent that lost its connection, and has a few seconds to come back. This command itself is left out.
    """

    async def work(hub: Hub) -> None:
        everyone = await hub.agents()
        others = [entry for entry in everyone if entry.value["session"] != hub.session]
        if json:
            sys.stdout.writelines(f"{to_json({'agent': entry.key, **entry.value})}\n" for entry in others)
            return
        now = (await hub.ping()).at
        rows = [agent_row(entry, now) for entry in others]
        if sys.stdout.isatty():
            in_table(("AGENT", "ROLE", "STATE", "FOR", "STATUS"), rows, wide=4)
        else:
            sys.stdout.write(in_tabs(rows))

    visit(Where(url, agent, token), work)
