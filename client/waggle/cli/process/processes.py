"""Child processes that a command starts and always ends."""

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
"""Time from SIGTERM to SIGKILL."""
_PR_SET_PDEATHSIG = 1


class Child:
    """A child process, with a name for messages."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name, self.process = name, process
        self.ended = asyncio.create_task(process.wait(), name=name)
        """Done when the process has ended; its result is the exit code."""


class Children:
    """The child processes of a block: those that still run at its end are stopped."""

    def __init__(self) -> None:
        self._all: list[Child] = []

    async def start(self, name: str, command: Sequence[str], env: Mapping[str, str], *, read: bool = False) -> Child:
        """Start a process; with ``read``, its output comes through a pipe. Its standard error is ours.

        The process has its own session, so that Ctrl-C reaches it only through us, and in our order.
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
        """Ask all processes to end, and kill those that do not."""
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
    """Run a program to its end, and return its exit code, as shells count: 128 and more for a signal.

    The program has our output and our terminal. With ``stdin`` it has its own process group instead, so that its
    children end with it. Cancelling this asks the program to end. Raises OSError if it cannot be started.
    """
    own_group = stdin is not None
    pipe = asyncio.subprocess.PIPE if own_group else None
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(*command, env=env, stdin=pipe, process_group=0 if own_group else None)
    )
    try:
        await (await asyncio.shield(starting)).communicate(stdin)
    finally:
        process = await starting  # also after a cancellation: the process must not be left behind
        await _end(process, own_group)
    code = process.returncode
    assert code is not None
    return code if code >= 0 else 128 - code


async def _end(process: asyncio.subprocess.Process, own_group: bool) -> None:
    """End a process, or its whole group: SIGTERM first, SIGKILL after `TERM_TIMEOUT_S`."""
    if process.returncode is None:
        _signal(process, own_group, signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), TERM_TIMEOUT_S)
        except TimeoutError:
            _signal(process, own_group, signal.SIGKILL)
            await process.wait()


def _signal(process: asyncio.subprocess.Process, own_group: bool, number: signal.Signals) -> None:
    if own_group:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)


_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def die_with_parent() -> None:
    """Ask the kernel to end this process when its parent dies (Linux). Runs in the new process."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
