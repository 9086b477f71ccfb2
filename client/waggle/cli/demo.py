"""The command `demo`: a hub, and a crew of sample agents in processes of their own, to see it work."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Annotated

import typer

from waggle import Hub, WaggleError, connect
from waggle.cli.processes import Child, Children
from waggle.cli.serve import SERVE, need_hub
from waggle.cli.story import Story
from waggle.cli.visit import ERROR, say
from waggle.examples.crew import SERVICES, number

__all__ = ["demo"]

CREW = (
    ("researcher", ("researcher",)),
    *((service, ("builder", "--service", service)) for service in SERVICES),
    ("tester", ("tester",)),
)
"""Who is in the crew: a name, and the arguments of `waggle.examples.crew`."""

PATIENCE = 10.0
"""Seconds for a hub that was just started, or that has the port already, to answer."""


class _Ends(Exception):
    """The demo cannot go on, and says why."""


def demo(
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any free one.")] = 4483,
    once: Annotated[
        bool, typer.Option("--once/--keep", help="End after one build, or go on until Ctrl-C.", show_default="keep")
    ] = False,
    speed: Annotated[float, typer.Option("--speed", min=0.1, metavar="X", help="So many times as fast.")] = 1.0,
) -> None:
    """Start a hub and a crew of sample agents that work through one build after another.

    A researcher, three builders and a tester, each a process of its own, meet only in the hub; none of them polls.
    A hub that runs on the port already is used. Ctrl-C stops all that was started here.
    """
    try:
        asyncio.run(_demo(port, once, speed))
    except KeyboardInterrupt:
        print("\nThe crew has gone home.")
    except (_Ends, WaggleError) as error:
        say(str(error))
        raise typer.Exit(ERROR) from None


async def _demo(port: int, once: bool, speed: float) -> None:
    async with Children() as children:
        url, server = await _hub_at(port, children)
        # Left, at the end, before the hub is stopped.
        async with connect(url, agent="narrator", meta={"role": "narrator"}, connect_timeout=PATIENCE) as hub:
            print(_welcome(url, once), flush=True)
            async with asyncio.TaskGroup() as _, Children() as crew:
                await _work(hub, url, server, crew, once, speed)


async def _work(hub: Hub, url: str, server: Child | None, crew: Children, once: bool, speed: float) -> None:
    """Have the crew work and tell of it, until one build is done, or for ever. Raises _Ends if anybody dies."""
    first = 1 + max((number(entry.key) for entry in await hub.list("build/*/*", values=False)), default=0)
    job = ["--first", str(first), "--speed", str(speed), *(["--builds", "1"] if once else [])]
    env = {**os.environ, "WAGGLE_URL": url}
    async with hub.watch("build/*", "environments/*", "chat", types=["set", "message"]) as events:
        members = [
            await crew.start(name, (sys.executable, "-P", "-m", "waggle.examples.crew", *role, *job), env)
            for name, role in CREW
        ]
    ...
