"""Processes that a command starts, and never leaves behind."""

from __future__ import annotations

import asyncio
import ctypes
import signal
import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

__all__ = ["Child", "Children"]

GOODBYE = 4.0
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
            preexec_fn=_die_with_parent if _libc is not None else None,
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
            await asyncio.wait([child.ended for child in self._all], timeout=GOODBYE)
        for child in self._all:
            if child.process.returncode is None:
                child.process.kill()
            await child.ended


_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def _die_with_parent() -> None:
    """Runs in the new process: have the kernel end it should we be killed without a chance to stop it."""
    assert _libc is not None
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
