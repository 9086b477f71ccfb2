"""What `waggle demo` starts, in the order of starting: a hub, a narrator, and a crew, each agent a process."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import typer

from waggle import Disconnected, Forbidden, Hub, Watcher, connect
from waggle.cli.processes import Child, Children
from waggle.cli.serve import SERVE, need_hub
from waggle.cli.story import Story
from waggle.examples import crew
from waggle.examples.crew import SERVICES, number

__all__ = ["CannotGoOnError", "play"]

CREW = (
    ("researcher", ("researcher",)),
    *((service, ("builder", "--service", service)) for service in SERVICES),
    ("tester", ("tester",)),
)
"""Who is in the crew: a name, and the arguments of `waggle.examples.crew`."""

HOST = "127.0.0.1"
NS = "demo"
"""The crew's own namespace: on a hub that was running already, nobody else's keys are touched."""
NARRATOR = "narrator"
"""The agent that tells the story."""
PATIENCE = 10.0
"""Seconds for a hub that was just started to answer."""


class CannotGoOnError(Exception):
    """The demo cannot go on; the message says why, and what to do."""


async def play(port: int, once: bool, speed: float) -> None:
    """Run the demo to its end, if it has one. Raises CannotGoOnError, or any WaggleError.

    What was started last is stopped first: the crew, then the narrator, then the hub.
    """
    async with Children() as servers:
        url, server = await _hub_at(port, servers)
        async with (
            connect(url, agent=NARRATOR, ns=NS, meta={"role": NARRATOR}, connect_timeout=PATIENCE) as hub,
            hub.watch(types=["set", "message"]) as events,
            Children() as processes,
        ):
            _welcome(url, started=server is not None)
            members = await _gather(hub, url, processes, once, speed)
            telling = asyncio.create_task(_tell(events))
            await _work(members, server, telling, once)
            await hub.ping()  # its reply comes after every event there was so far
            await events.close()
            await telling


# --- the hub -----------------------------------------------------------------------------------------------------


async def _hub_at(port: int, servers: Children) -> tuple[str, Child | None]:
    """The address of the hub at the port, and its process if it was started here. Raises if there is none."""
    if port and await _taken(port):
        url = f"http://{HOST}:{port}"
        await _check(url, port)
        return url, None
    need_hub()
    command = [*SERVE, "--memory", "--host", HOST, "--port", str(port)]
    server = await servers.start("the hub", command, os.environ, read=True)
    assert server.process.stdout is not None
    async for line in server.process.stdout:
        if b"http://" in line:
            return line.split()[-1].decode(), server
    raise CannotGoOnError("the hub did not start.")


async def _taken(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    writer.close()
    return True


async def _check(url: str, port: int) -> None:
    """Raise CannotGoOnError unless it is a hub that answers there, without a demo."""
    try:
        async with connect(url, connect_timeout=PATIENCE / 3, meta={"role": "cli"}) as hub:
            agents = await hub.agents()
    except (Disconnected, Forbidden):
        raise CannotGoOnError(
            f"port {port} is taken by something that is not a hub: choose another with --port."
        ) from None
    if any(entry.key == NARRATOR and entry.value["connected"] for entry in agents):
        raise CannotGoOnError(f"a demo is running there already: look at {url}/, or choose another port with --port.")


# --- the crew ----------------------------------------------------------------------------------------------------


async def _gather(hub: Hub, url: str, processes: Children, once: bool, speed: float) -> list[Child]:
    """Start the crew, to begin after the last build that an earlier one has left."""
    left = await hub.list("build/*", values=False)
    first = 1 + max((number(entry.key) for entry in left), default=0)
    job = ["--first", str(first), "--speed", str(speed), *(["--builds", "1"] if once else [])]
    env = {**os.environ, "WAGGLE_URL": url, "WAGGLE_NS": NS}
    return [
        await processes.start(name, [sys.executable, "-P", "-m", "waggle.examples.crew", *role, *job], env)
        for name, role in CREW
    ]


async def _work(members: list[Child], server: Child | None, telling: asyncio.Task[None], once: bool) -> None:
    """Return when the crew has done its one build. Raises if somebody dies, or the story breaks."""
    essential = [*members, *([server] if server else [])]
    waiting = {telling, *(child.ended for child in essential)}
    while any(not child.ended.done() for child in members):
        _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if telling.done():
            await telling
        for child in essential:
            if child.ended.done() and not (once and child in members and child.ended.result() == 0):
                raise CannotGoOnError(
                    f"{child.name} {_fate(child.ended.result())}, and without it the demo cannot go on."
                )


def _fate(code: int) -> str:
    """How a process has ended."""
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"has ended with code {code}"


# --- what people read --------------------------------------------------------------------------------------------


def _welcome(url: str, started: bool) -> None:
    address = f"Watch it live:  {url}/"
    if sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        address = typer.style(address, bold=True)
    print(f"\n  {address}\n")
    if not started:
        print("This hub was running already, and stays when the demo ends.")
    print(
        "A crew of five agents builds software together, each in a process of its own. They meet only in the hub:\n"
        "each starts when the hub tells it that what it needs is there, and nobody ever asks twice.\n"
        f"Their code: {crew.__file__}\n"
        f"Their keys: waggle watch --ns {NS} --snapshot --url {url}\n"
        "Ctrl-C stops it all.",
        flush=True,
    )


async def _tell(events: Watcher) -> None:
    story = Story()
    async for event in events:
        for line in story.tell(event):
            print(line, flush=True)
