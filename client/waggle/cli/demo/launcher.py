"""The processes of `waggle demo`, in the order of their start: a hub, a narrator, and the agents."""

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
"""Limit for a new hub to answer."""

Ends = dict[Child, frozenset[int]]
"""The started processes, with the exit codes that are right for each."""


class DemoError(Exception):
    """A demo that cannot go on; the message says why, and what to do."""


async def run_demo(demo: Demo, port: int, yes: bool) -> None:
    """Run the demo to its end, if it has one. Raises DemoError, or any WaggleError.

    The last started stops first: the agents, then the narrator, then the hub.
    """
    async with Children() as servers:
        url, server = await _hub_at(port, servers, demo.narrator)
        meta = {"role": "narrator"}
        async with connect(url, agent=demo.narrator, ns=demo.ns, meta=meta, connect_timeout=START_TIMEOUT_S) as hub:
            _introduce(url, demo, started=server is not None)
            members = await demo.prepare(hub)
            before = await hub.stats()
            async with (
                hub.watch(types=demo.types) as events,
                Children() as processes,
                _background(_narrate(events, demo.make_narrator()), _ask(url, demo, yes)) as (narrating, asking),
            ):
                exit_codes = await _start(members, url, demo.ns, processes)
                await _wait_for_agents({**exit_codes, **({server: frozenset()} if server else {})}, [narrating, asking])
                after = await hub.stats()  # its reply comes after all events so far: the narrator has them now
                await events.close()
                await narrating
            if server is not None:
                print(f"\nThe hub was given {describe_counts(before.ops, after.ops)}.", flush=True)


@asynccontextmanager
async def _background(*work: Coroutine[None, None, None]) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Run tasks during the block, and cancel them at its end."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


# --- the hub -----------------------------------------------------------------------------------------------------


async def _hub_at(port: int, servers: Children, narrator: str) -> tuple[str, Child | None]:
    """Return the address of the hub at the port, and its process if it was started here. Raises DemoError."""
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
    """Raise DemoError unless a hub answers there, and this demo does not run on it yet."""
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
    return {await processes.start(member.name, member.command, env): member.exit_codes for member in members}


async def _wait_for_agents(exit_codes: Ends, helpers: list[asyncio.Task[None]]) -> None:
    """Return when all agents that end are done. Raises DemoError if an agent fails, or the error of a helper."""
    awaited = [child for child, codes in exit_codes.items() if EXIT_DONE in codes]
    waiting = {*helpers, *(child.ended for child in exit_codes)}
    while not awaited or any(not child.ended.done() for child in awaited):
        _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for helper in helpers:
            if helper.done():
                await helper
        for child, codes in exit_codes.items():
            if child.ended.done() and child.ended.result() not in codes:
                raise DemoError(
                    f"{child.name} {_describe_exit(child.ended.result())}, and without it the demo cannot go on."
                )


def _describe_exit(code: int) -> str:
    """Return in words how a process has ended."""
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"has ended with code {code}"


# --- what people read --------------------------------------------------------------------------------------------


def _introduce(url: str, demo: Demo, started: bool) -> None:
    address = f"Watch it live:  {url}/"
    if sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        address = typer.style(address, bold=True)
    print(f"\n  {address}\n")
    if not started:
        print("This hub was running already, and stays when the demo ends.")
    print(
        f"{demo.intro}\n"
        f"Their code: {demo.code.__file__}\n"
        f"Their keys: waggle watch --ns {demo.ns} --snapshot --url {url}\n"
        "Ctrl-C stops it all.\n",
        flush=True,
    )


async def _narrate(events: Watcher, narrator: Narrator) -> None:
    async for event in events:
        for line in narrator.tell(event):
            print(line, flush=True)


async def _ask(url: str, demo: Demo, yes: bool) -> None:
    """Let the person decide, if the demo asks one."""
    if demo.person is None:
        return
    async with connect(url, agent="person", ns=demo.ns, meta={"role": "person"}) as hub:
        await demo.person(hub, make_ask(yes, f"waggle set --url {url} --ns {demo.ns}"))
