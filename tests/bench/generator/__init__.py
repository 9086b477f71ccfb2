"""The load generator: `load.c`, compiled when it is needed, and run on sockets that are open already.

Python knows the protocols and prepares; the program in C does what must not cost much. One run is one line of JSON.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct, json

__all__ = ["Load", "Loaded", "compiler"]

SOURCE = Path(__file__).with_name("load.c")
BEYOND = 30.0
"""Seconds beyond its own limit after which a run is ended."""
FOREVER = 1 << 30

Tape = Sequence[bytes]
"""Requests as they go over the wire."""


class Loaded(Struct):
    """Result of one run; times in seconds. `count` is of answers, or of deliveries."""

    count: int
    seconds: float
    cpu: float
    """Processor seconds of the generator: at less than `seconds` the server was the slower one."""
    bytes: int
    p50: float
    p90: float
    p99: float
    max: float

    @property
    def rate(self) -> float:
        return self.count / self.seconds


def compiler() -> str | None:
    return shutil.which("cc")


class Load:
    """The compiled generator, in this directory."""

    def __init__(self, directory: Path) -> None:
        self._program = directory / "load"
        cc = compiler()
        if cc is None:
            raise RuntimeError("there is no C compiler: apt-get install gcc libc6-dev")
        subprocess.run([cc, "-O2", "-o", str(self._program), str(SOURCE)], check=True, timeout=60)

    async def ask(
        self,
        sockets: Sequence[socket.socket],
        tapes: Sequence[Tape],
        marker: bytes,
        *,
        seconds: float,
        each: int = 1,
        window: int = 1,
        once: bool = False,
    ) -> Loaded:
        """Every socket plays its tape, over and over for `seconds`, or `once`, with `window` requests under way; each
        request is answered by `each` markers. A tape that is to be played once has to be through by `seconds`."""
        found = await self._run("ask", seconds, len(sockets), tapes, each, window, once, marker, sockets)
        expected = each * sum(map(len, tapes))
        if once and found.count < expected:
            raise TimeoutError(f"{found.count:,} of {expected:,} answers came within {seconds:.0f} s")
        return found

    async def hear(
        self,
        publisher: socket.socket,
        subscribers: Sequence[socket.socket],
        tape: Tape,
        marker: bytes,
        *,
        each: int = 1,
        rate: float = 0.0,
        seconds: float = 20.0,
    ) -> Loaded:
        """The tape is published, at once or `rate` requests a second; each request makes `each` markers arrive at every
        subscriber. Raises TimeoutError if not all have come within `seconds`."""
        sockets = [publisher, *subscribers]
        found = await self._run("hear", seconds, len(subscribers), [tape], each, rate, False, marker, sockets)
        expected = each * len(tape) * len(subscribers)
        if found.count < expected:
            raise TimeoutError(f"{found.count:,} of {expected:,} deliveries came within {seconds:.0f} s")
        return found

    async def _run(
        self,
        how: str,
        seconds: float,
        count: int,
        tapes: Sequence[Tape],
        each: int,
        pace: float,
        once: bool,
        marker: bytes,
        sockets: Sequence[socket.socket],
    ) -> Loaded:
        numbers = [sock.fileno() for sock in sockets]
        words = [how, seconds, count, len(tapes[0]), each, pace, int(once), marker.decode(), *numbers]
        process = subprocess.Popen(
            [str(self._program), *map(str, words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=numbers
        )
        tape = b"".join(struct.pack("=I", len(request)) + request for tape in tapes for request in tape)
        try:
            out, _ = await asyncio.to_thread(process.communicate, tape, seconds + BEYOND)
        finally:
            process.kill()
            process.wait()
        if process.returncode:
            raise RuntimeError("the load generator has failed: see its message above")
        return json.decode(out, type=Loaded)
