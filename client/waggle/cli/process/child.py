"""The child process of a command: the person's program, run while a lock or job is held.

1. **The program has its own process group.** To end it, the whole group gets SIGTERM, and after `TERM_TIMEOUT_S`
   SIGKILL.
2. **The program has the terminal,** as if the shell had started it directly: see `terminal`.
3. **Signals are passed on.** The program decides what to do; the command ends when the program does.
4. **The program does not outlive the command.** If the command is killed, the kernel sends SIGTERM to the program
   (Linux).
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
"""Exit codes of shells."""
FORWARDED_SIGNALS = (
    signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2,
)  # fmt: skip
GROUP_POLL_S = 0.02
"""Time between two checks whether a whole group has ended: the kernel does not report that."""


def check_runnable(command: Sequence[str]) -> None:
    """Exit with an error if there is no such program, before the command waits for anything or takes it from
    others."""
    if shutil.which(command[0]) is None:
        _exit_not_runnable(command[0])


async def run_program(
    command: Sequence[str],
    variables: Mapping[str, str],
    stop: asyncio.Event,
    *,
    stdin: bytes | None = None,
    on_signal: Callable[[signal.Signals], object] = lambda _: None,
) -> int:
    """Run a program to its end, and return its exit code, as shells count; when ``stop`` is set, end it.

    The program has ``variables`` beside ours, and our standard input unless ``stdin`` is given. ``on_signal`` is
    called for each signal that is passed on. Cancelling this ends the program, too. Raises typer.Exit if it cannot
    be run.
    """

    early_signals: list[signal.Signals] = []
    process: asyncio.subprocess.Process | None = None

    def pass_on(number: signal.Signals) -> None:
        on_signal(number)
        if process is None:
            early_signals.append(number)
        else:
            _signal_group(process.pid, number)

    with Terminal() as terminal, route_signals(pass_on, FORWARDED_SIGNALS):
        process = await _start(command, {**os.environ, **variables}, stdin is not None, terminal)
        for number in early_signals:
            _signal_group(process.pid, number)
        with terminal.lend_on_demand(process.pid):
            code = await _wait_for_end(process, stdin, stop)
        terminal.pass_on_interrupt(code)
    return code if code >= 0 else 128 - code


async def _wait_for_end(process: asyncio.subprocess.Process, stdin: bytes | None, stop: asyncio.Event) -> int:
    """Wait until the process ends, or end it when ``stop`` is set. Returns its code, negative for a signal."""
    communicating = asyncio.ensure_future(process.communicate(stdin))
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait([communicating, stopping], return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        if not communicating.done():
            await _end_group(process.pid)
        await communicating
    code = process.returncode
    assert code is not None
    return code


async def _start(
    command: Sequence[str], env: Mapping[str, str], piped: bool, terminal: Terminal
) -> asyncio.subprocess.Process:
    def prepare() -> None:
        die_with_parent()
        terminal.take_foreground()

    pipe = asyncio.subprocess.PIPE if piped else None
    starting = asyncio.create_subprocess_exec(*command, env=env, stdin=pipe, process_group=0, preexec_fn=prepare)
    try:
        return await starting
    except OSError:
        _exit_not_runnable(command[0])


def _exit_not_runnable(name: str) -> NoReturn:
    if os.sep in name and os.path.exists(name):
        notify(f"{name} cannot be run: is it executable?")
        raise typer.Exit(EXIT_NOT_RUNNABLE)
    notify(f"{name}: there is no such command")
    raise typer.Exit(EXIT_NOT_FOUND)


async def _end_group(group: int) -> None:
    """End all processes of a group: SIGTERM first, then SIGKILL for those still there after `TERM_TIMEOUT_S`."""
    _signal_group(group, signal.SIGTERM)
    _signal_group(group, signal.SIGCONT)  # a stopped process gets SIGTERM only when it continues
    for _ in range(int(TERM_TIMEOUT_S / GROUP_POLL_S)):
        if not _signal_group(group, None):
            return
        await asyncio.sleep(GROUP_POLL_S)
    _signal_group(group, signal.SIGKILL)


def _signal_group(group: int, number: signal.Signals | None) -> bool:
    """Send a signal to a group, or with None only look. Returns whether the group still exists."""
    with suppress(ProcessLookupError):
        os.killpg(group, number or 0)
        return True
    return False
