"""What `waggle demo` starts, in the order of starting: a hub, a narrator, and the agents, each a process."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager

import typer

from waggle import Disconnected, Forbidden, Watcher, connect
from waggle.cli.commands.serve import HUB_COMMAND, require_hub
from waggle.cli.demo.catalog import EXIT_DONE, AgentProcess, Demo
from waggle.cli.demo.narration import Narrator, describe_counts
from waggle.cli.demo.prompt import make_ask
from waggle.cli.process.processes import Child, Children

__all__ = ["DemoError", "run_demo"]

HOST = "127.0.0.1"
START_TIMEOUT_S = 10.0
"""Seconds for a hub that was just started to answer."""

Ends = dict[Child, frozenset[int]]
"""What was started, with the exit codes that are right for it."""


class DemoError(Exception):
    """The demo cannot go on; the message says why, and what to do."""


async def run_demo(show: Demo, port: int, yes: bool) -> None:
    """Play it to its end, if it has one. Raises CannotGoOnError, or any WaggleError.

    What was started last is stopped first: the agents, then the narrator, then the hub.
    """
    async with Children() as servers:
        url, server = await _hub_at(port, servers, show.narrator)
        meta = {"role": "narrator"}
        async with connect(url, agent=show.narrator, ns=show.ns, meta=meta, connect_timeout=START_TIMEOUT_S) as hub:
            _introduce(url, show, started=server is not None)
            members = await show.gather(hub)
            before = await hub.stats()
            async with (
                hub.watch(types=show.types) as events,
                Children() as processes,
                _background(_narrate(events, show.story()), _ask(url, show, yes)) as (telling, asking),
            ):
                ends = await _start(members, url, show.ns, processes)
                await _wait_for_agents({**ends, **({server: frozenset()} if server else {})}, [telling, asking])
                after = await hub.stats()  # the reply comes after every event there was so far
                await events.close()
                await telling
            if server is not None:
                print(f"\nThe hub was given {describe_counts(before.ops, after.ops)}.", flush=True)


@asynccontextmanager
async def _background(*work: Coroutine[None, None, None]) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Tasks that are not needed any more when the block ends."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


# --- the hub -----------------------------------------------------------------------------------------------------


async def _hub_at(port: int, servers: Children, narrator: str) -> tuple[str, Child | None]:
    """The address of the hub at the port, and its process if it was started here. Raises if there is none."""
    if port and await _port_in_use(port):
        url = f"http://{HOST}:{port}"
        await _check_hub(url, port, narrator)
        return url, None
    require_hub()
    command = [*HUB_COMMAND, "--memory", "--host", HOST, "--port", str(port)]
    server = await servers.start("the hub", command, os.environ, read=True)
    assert server.process.stdout is not None
    async for line in server.process.stdout:
        if b"http://" in line:
            return line.split()[-1].decode(), server
    raise DemoError("the hub did not start.")


async def _port_in_use(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    writer.close()
    return True


async def _check_hub(url: str, port: int, narrator: str) -> None:
    """Raise CannotGoOnError unless it is a hub that answers there, without this demo."""
    try:
        async with connect(url, connect_timeout=START_TIMEOUT_S / 3, meta={"role": "cli"}) as hub:
            agents = await hub.agents()
    except (Disconnected, Forbidden):
        raise DemoError(f"port {port} is taken by something that is not a hub: choose another with --port.") from None
    if any(entry.key == narrator and entry.value["connected"] for entry in agents):
        raise DemoError(f"this demo is running there already: look at {url}/, or choose another port with --port.")


# --- the agents --------------------------------------------------------------------------------------------------


async def _start(members: list[AgentProcess], url: str, ns: str, processes: Children) -> Ends:
    env = {**os.environ, "WAGGLE_URL": url, "WAGGLE_NS": ns}
    return {await processes.start(member.name, member.command, env): member.ends for member in members}


async def _wait_for_agents(ends: Ends, helpers: list[asyncio.Task[None]]) -> None:
    """Return when all who have work to do are done. Raises if somebody ends in another way, or a helper fails."""
    awaited = [child for child, codes in ends.items() if EXIT_DONE in codes]
    waiting = {*helpers, *(child.ended for child in ends)}
    while not awaited or any(not child.ended.done() for child in awaited):
        _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for helper in helpers:
            if helper.done():
                await helper
        for child, codes in ends.items():
            if child.ended.done() and child.ended.result() not in codes:
                raise DemoError(
                    f"{child.name} {_describe_exit(child.ended.result())}, and without it the demo cannot go on."
                )


def _describe_exit(code: int) -> str:
    """How a process has ended."""
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"has ended with code {code}"


# --- what people read --------------------------------------------------------------------------------------------


def _introduce(url: str, show: Demo, started: bool) -> None:
    address = f"Watch it live:  {url}/"
    if sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        address = typer.style(address, bold=True)
    print(f"\n  {address}\n")
    if not started:
        print("This hub was running already, and stays when the demo ends.")
    print(
        f"{show.intro}\n"
        f"Their code: {show.code.__file__}\n"
        f"Their keys: waggle watch --ns {show.ns} --snapshot --url {url}\n"
        "Ctrl-C stops it all.\n",
        flush=True,
    )


async def _narrate(events: Watcher, story: Narrator) -> None:
    async for event in events:
        for line in story.tell(event):
            print(line, flush=True)


async def _ask(url: str, show: Demo, yes: bool) -> None:
    """Have the person decide, if the show needs one."""
    if show.person is None:
        return
    async with connect(url, agent="person", ns=show.ns, meta={"role": "person"}) as hub:
        await show.person(hub, make_ask(yes, f"waggle set --url {url} --ns {show.ns}"))
