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

from waggle.cli.process.processes import TERM_TIMEOUT_S, die_with_parent
from waggle.cli.process.terminal import Terminal
from waggle.cli.shared.connect import notify, route_signals

__all__ = ["EXIT_NOT_FOUND", "EXIT_NOT_RUNNABLE", "check_runnable", "run_program"]

EXIT_NOT_FOUND = 127
EXIT_NOT_RUNNABLE = 126
"""Exit codes, as shells have them."""
FORWARDED_SIGNALS = (
    signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2,
)  # fmt: skip
GROUP_POLL_S = 0.02
"""Seconds between two looks whether all of a group has ended, which nothing tells."""


def check_runnable(command: Sequence[str]) -> None:
    """End with an error if there is no such program: before anything is waited for, or taken from others."""
    if shutil.which(command[0]) is None:
        _exit_not_runnable(command[0])


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
            _signal_group(process.pid, number)

    with Terminal() as terminal, route_signals(pass_on, FORWARDED_SIGNALS):
        process = await _start(command, {**os.environ, **variables}, stdin is not None, terminal)
        for number in early:
            _signal_group(process.pid, number)
        with terminal.serve(process.pid):
            code = await _wait_for_end(process, stdin, stop)
        terminal.interrupted(code)
    return code if code >= 0 else 128 - code


async def _wait_for_end(process: asyncio.subprocess.Process, stdin: bytes | None, stop: asyncio.Event) -> int:
    """Wait until a process has ended, or see to it when that is wanted; gives what it has ended with."""
    talking = asyncio.ensure_future(process.communicate(stdin))
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait([talking, stopping], return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        if not talking.done():
            await _end_group(process.pid)
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
        _exit_not_runnable(command[0])


def _exit_not_runnable(name: str) -> NoReturn:
    if os.sep in name and os.path.exists(name):
        notify(f"{name} cannot be run: is it meant to be, and executable?")
        raise typer.Exit(EXIT_NOT_RUNNABLE)
    notify(f"{name}: there is no such command")
    raise typer.Exit(EXIT_NOT_FOUND)


async def _end_group(group: int) -> None:
    """Have all processes of a group end: those that have not after some seconds are killed."""
    _signal_group(group, signal.SIGTERM)
    _signal_group(group, signal.SIGCONT)  # or one that was stopped would not hear of it
    for _ in range(int(TERM_TIMEOUT_S / GROUP_POLL_S)):
        if not _signal_group(group, None):
            return
        await asyncio.sleep(GROUP_POLL_S)
    _signal_group(group, signal.SIGKILL)


def _signal_group(group: int, number: signal.Signals | None) -> bool:
    """Send a signal to a group, or none; whether there still is one."""
    with suppress(ProcessLookupError):
        os.killpg(group, number or 0)
        return True
    return False
