"""A program of the person's that runs while something is held for it: a lock, a job.

The rules:

1. **It has a process group of its own,** and when it is told to end, all of the group is: politely, then by force.
2. **It has the terminal,** as if it had been started without us: see `terminal`.
3. **Signals are its business.** Those that come to us are passed on, and it decides; we end when it does.
4. **It does not outlive us.** Should we be killed without a chance to see to it, the kernel tells it to end (Linux).
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import NoReturn

import typer

from waggle.cli.process.processes import GOODBYE, die_with_parent
from waggle.cli.process.terminal import Terminal
from waggle.cli.shared.connect import say, signals_to

__all__ = ["NOT_FOUND", "NOT_RUNNABLE", "check_runnable", "run_program"]

NOT_FOUND = 127
NOT_RUNNABLE = 126
"""Exit codes, as shells have them."""
PASSED_ON = (
    signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2,
)  # fmt: skip
TICK = 0.02
"""Seconds between two looks whether all of a group has ended, which nothing tells."""


def check_runnable(command: Sequence[str]) -> None:
    """End with an error if there is no such program: before anything is waited for, or taken from others."""
    if shutil.which(command[0]) is None:
        _not_runnable(command[0])


async def run_program(
    command: Sequence[str],
    variables: Mapping[str, str],
    stop: asyncio.Event,
    *,
    stdin: bytes | None = None,
    heard: Callable[[signal.Signals], object] = lambda _: None,
) -> int:
    """Run it to its end, and give its exit code, as shells count; when ``stop`` is set, it is told to end.

    It has these variables beside ours, and our input, unless it is given its own; ``heard`` is told of signals that are
    passed on. Cancelled, this ends it, too. Raises typer.Exit if it cannot be run.
    """

    early: list[signal.Signals] = []
    process: asyncio.subprocess.Process | None = None

    def pass_on(number: signal.Signals) -> None:
        heard(number)
        if process is None:
            early.append(number)
        else:
            _send(process.pid, number)

    with Terminal() as terminal, signals_to(pass_on, PASSED_ON):
        process = await _start(command, {**os.environ, **variables}, stdin is not None, terminal)
        for number in early:
            _send(process.pid, number)
        with terminal.serve(process.pid):
            code = await _end_of(process, stdin, stop)
        terminal.interrupted(code)
    return code if code >= 0 else 128 - code


async def _end_of(process: asyncio.subprocess.Process, stdin: bytes | None, stop: asyncio.Event) -> int:
    """Wait until a process has ended, or see to it when that is wanted; gives what it has ended with."""
    talking = asyncio.ensure_future(process.communicate(stdin))
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait([talking, stopping], return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        if not talking.done():
            await _end_all(process.pid)
        await talking
    code = process.returncode
    assert code is not None
    return code


async def _start(
    command: Sequence[str], env: Mapping[str, str], piped: bool, terminal: Terminal
) -> asyncio.subprocess.Process:
    def prepare() -> None:
        die_with_parent()
        terminal.give()

    pipe = asyncio.subprocess.PIPE if piped else None
    starting = asyncio.create_subprocess_exec(*command, env=env, stdin=pipe, process_group=0, preexec_fn=prepare)
    try:
        return await starting
    except OSError:
        _not_runnable(command[0])


def _not_runnable(name: str) -> NoReturn:
    if os.sep in name and os.path.exists(name):
        say(f"{name} cannot be run: is it meant to be, and executable?")
        raise typer.Exit(NOT_RUNNABLE)
    say(f"{name}: there is no such command")
    raise typer.Exit(NOT_FOUND)


async def _end_all(group: int) -> None:
    """Have all processes of a group end: those that have not after some seconds are killed."""
    _send(group, signal.SIGTERM)
    _send(group, signal.SIGCONT)  # or one that was stopped would not hear of it
    for _ in range(int(GOODBYE / TICK)):
        if not _send(group, None):
            return
        await asyncio.sleep(TICK)
    _send(group, signal.SIGKILL)


def _send(group: int, number: signal.Signals | None) -> bool:
    """Send a signal to a group, or none; whether there still is one."""
    with suppress(ProcessLookupError):
        os.killpg(group, number or 0)
        return True
    return False
