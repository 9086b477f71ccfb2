"""Ways to run `waggle`: within this process, in one of its own, for a while, or in a terminal.

A process of its own takes a quarter of a second to start. It is for what only a process has: signals, a terminal, the
programs that it starts, and what the system does with its output. Everything else runs within the process of the test.
"""

from __future__ import annotations

import fcntl
import io
import os
import pty
import select
import socket
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn
from unittest.mock import patch

import waggle.cli

WAGGLE = str(Path(sys.executable).with_name("waggle"))
SOON = 20.0
"""Seconds in which what is due must have come, on a machine that has other things to do."""

Completed = subprocess.CompletedProcess[str]
Shell = Callable[..., Completed]
"""Runs `waggle` with these arguments to its end: the fixtures `shell` and `process`."""


def environment(**variables: str) -> dict[str, str]:
    """Return the environment of this process without variables of a hub, and with ``variables``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WAGGLE_")}
    return {**kept, **variables}


def run_process(env: dict[str, str], args: Sequence[str], stdin: str) -> Completed:
    """Run `waggle` in a process of its own, with this environment, to its end."""
    return subprocess.run([WAGGLE, *args], input=stdin, env=env, capture_output=True, text=True, timeout=60)


def run_here(env: dict[str, str], args: Sequence[str], stdin: str) -> Completed:
    """Run `waggle` within this process, as if it had this environment and these standard streams, to its end."""
    given, printed, said = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(3))
    given.write(stdin)
    given.seek(0)
    code: object = 0
    with (
        patch.dict(os.environ, env, clear=True),
        patch.multiple(sys, argv=[WAGGLE, *args], stdin=given, stdout=printed, stderr=said),
        patch.object(os, "execv", _become_another),
    ):
        try:
            waggle.cli.main()
        except SystemExit as exit:
            code = exit.code
    assert code is None or isinstance(code, int), code
    printed.seek(0)
    said.seek(0)
    return subprocess.CompletedProcess(args, code or 0, printed.read(), said.read())


def _become_another(*command: object) -> NoReturn:
    raise AssertionError(f"this test needs the fixture `process`: {command}")


class Running:
    """A running `waggle` whose input stays open and empty."""

    def __init__(self, env: dict[str, str], *args: str) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([WAGGLE, *args], env=env, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.output, self.said = self.process.stdout, self.process.stderr

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        with self.process:
            pass

    def line(self) -> str:
        return self.output.readline()

    def until_synced(self) -> None:
        """Read up to where the snapshot ends: from here on, it is subscribed."""
        while line := self.line():
            if "\tsynced\t" in line or '"synced"' in line:
                return
        raise AssertionError(self.said.read())

    def end(self) -> tuple[int, str]:
        """Wait for its end: the exit code, and what it said to people."""
        return self.process.wait(SOON), self.said.read()


class Restarting:
    """A hub by `waggle serve` that can be stopped, and started again at the same place, with nothing in it."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = str(free.getsockname()[1])
        self.env = environment(WAGGLE_URL=f"http://127.0.0.1:{self._port}")
        self.start()

    def start(self) -> None:
        """Start it, and wait until it is there."""
        serve = [WAGGLE, "serve", "--memory", "--port", self._port]
        self._process = subprocess.Popen(serve, env=self.env, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline()

    def stop(self) -> None:
        """Stop it, as one does."""
        self._process.terminate()
        with self._process:
            assert self._process.wait(SOON) == 0

    def __enter__(self) -> Restarting:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        with self._process:
            pass


class Terminal:
    """A terminal of this size, in which `waggle` runs, or another program."""

    def __init__(
        self, env: dict[str, str], *args: str, width: int = 80, height: int = 24, program: Sequence[str] = (WAGGLE,)
    ) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        env = {name: value for name, value in env.items() if name not in ("COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            [*program, *args],
            env={**env, "TERM": "xterm-256color"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # so that Ctrl-C is a signal
        )
        os.close(theirs)
        self._written = b""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(SOON)
        os.close(self._ours)

    def type(self, text: str) -> None:
        """Type on the keyboard."""
        os.write(self._ours, text.encode())

    def until(self, part: str) -> str:
        """Read up to ``part``; all that was written so far."""
        while part.encode() not in self._written:
            if not self._read():
                raise AssertionError(f"it has ended without {part!r}: {self._written.decode()}")
        return self._written.decode()

    def end(self) -> tuple[int, str]:
        """Read to its end: the exit code, and all that it has written."""
        while self._read():
            pass
        return self.process.wait(SOON), self._written.decode().replace("\r\n", "\n")

    def _read(self) -> bytes:
        assert select.select([self._ours], [], [], SOON)[0], f"nothing more is written: {self._written.decode()}"
        try:
            part = os.read(self._ours, 65536)
        except OSError:
            return b""  # what Linux says when the other end is closed
        self._written += part
        return part
