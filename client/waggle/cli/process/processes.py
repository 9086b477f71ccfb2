"""Processes that a command starts, and never leaves behind."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

__all__ = ["TERM_TIMEOUT_S", "Child", "Children", "die_with_parent", "run_to_end"]

TERM_TIMEOUT_S = 4.0
"""Seconds that a process has to end after SIGTERM, until it is killed."""
_PR_SET_PDEATHSIG = 1


class Child:
    """A process that was started here, with a name for people."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name, self.process = name, process
        self.ended = asyncio.create_task(process.wait(), name=name)
        """Done when the process is; its result is the exit code."""


class Children:
    """What a block has started: whatever still runs at its end is stopped."""

    def __init__(self) -> None:
        self._all: list[Child] = []

    async def start(self, name: str, command: Sequence[str], env: Mapping[str, str], *, read: bool = False) -> Child:
        """Start a process; with ``read``, its output comes through a pipe. Its errors go where ours go.

        It has a session of its own, so that a Ctrl-C reaches it through us only, and in our order.
        """
        process = await asyncio.create_subprocess_exec(
            *command,
            env=env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE if read else None,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
        child = Child(name, process)
        self._all.append(child)
        return child

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ask all of them to end, and see to it that they do."""
        for child in self._all:
            if child.process.returncode is None:
                child.process.send_signal(signal.SIGTERM)
        if self._all:
            await asyncio.wait([child.ended for child in self._all], timeout=TERM_TIMEOUT_S)
        for child in self._all:
            if child.process.returncode is None:
                child.process.kill()
            await child.ended


async def run_to_end(
    command: Sequence[str], *, env: Mapping[str, str] | None = None, stdin: bytes | None = None
) -> int:
    """Run a program of the person's to its end, and give its exit code, as shells count: 128 and more for a signal.

    It has our output. Our terminal is its own, unless it is given its input: then it has a process group, so that
    whatever it starts ends with it. Cancelled, this asks the program to end. Raises OSError if there is none.
    """
    apart = stdin is not None
    pipe = asyncio.subprocess.PIPE if apart else None
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(*command, env=env, stdin=pipe, process_group=0 if apart else None)
    )
    try:
        await (await asyncio.shield(starting)).communicate(stdin)
    finally:
        process = await starting  # also when we were cancelled meanwhile: it must not be left behind
        await _end(process, apart)
    code = process.returncode
    assert code is not None
    return code if code >= 0 else 128 - code


async def _end(process: asyncio.subprocess.Process, apart: bool) -> None:
    """See to it that a process, or all of its group, ends: politely first."""
    if process.returncode is None:
        _signal(process, apart, signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), TERM_TIMEOUT_S)
        except TimeoutError:
            _signal(process, apart, signal.SIGKILL)
            await process.wait()


def _signal(process: asyncio.subprocess.Process, apart: bool, number: signal.Signals) -> None:
    if apart:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)


_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def die_with_parent() -> None:
    """Runs in the new process: have the kernel end it should we be killed without a chance to stop it (Linux)."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
