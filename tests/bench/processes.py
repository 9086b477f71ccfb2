"""The servers and helpers that the benchmark starts: always ended, by their pid, on free ports of loopback.

Whatever happens in a block that has started something, at its end that process is gone.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

HOST = "127.0.0.1"
START = 120.0
"""Seconds for a server to be there, its data read."""
STOP = 30.0
FILES = 16_384
"""Open at a time: crowds of 2,000, one for each system."""


@dataclass(frozen=True)
class Server:
    """A server that runs: which system, kept how, and where."""

    system: str
    mode: str
    port: int
    pid: int
    host: str = HOST


@contextmanager
def child(command: Sequence[str], **options: object) -> Iterator[subprocess.Popen[str]]:
    """A process for the block. It is asked to end, and made to."""
    process: subprocess.Popen[str] = subprocess.Popen(command, text=True, **options)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):  # it has ended, and somebody has said more to it
                    pipe.close()
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def many_files() -> None:
    """Let this process, and those it starts, open as many files as a crowd needs, if the machine allows it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = FILES if most == resource.RLIM_INFINITY else min(FILES, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))


def environment() -> dict[str, str]:
    """For processes that `python -m` starts from here: they import what this one imports."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def until(there: Callable[[], bool], process: subprocess.Popen[str], what: str) -> None:
    """Wait until a server is there. Raises RuntimeError if it has ended, or takes too long."""
    end = time.monotonic() + START
    while not there():
        if process.poll() is not None:
            raise RuntimeError(f"{what} has ended with code {process.returncode}")
        if time.monotonic() > end:
            raise RuntimeError(f"{what} is not there after {START:.0f} s")
        time.sleep(0.005)


def first_line(process: subprocess.Popen[str], what: str) -> str:
    """Return the first line of a server. Raises RuntimeError if there is none in time."""
    assert process.stdout is not None
    poll = select.poll()  # and not select(), which knows no more than 1,024 files
    poll.register(process.stdout, select.POLLIN)
    line = process.stdout.readline() if poll.poll(START * 1000) else ""
    if not line:
        raise RuntimeError(f"{what} did not start")
    return line


def answers(port: int, asked: bytes, *heads: bytes) -> bool:
    """Whether what listens there answers this so; empty asks nothing, and waits for it to speak."""
    try:
        with socket.create_connection((HOST, port), 5) as connection:
            connection.sendall(asked)
            return connection.recv(100).startswith(heads)
    except OSError:
        return False
