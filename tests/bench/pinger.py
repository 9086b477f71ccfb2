"""Another client: a process that pings a server every 2 ms and reports the slowest answer.

A process can also be late because the machine had no core for it. So it sleeps a millisecond before each ping, and
says by how much the worst of these sleeps was too long: pauses below that say nothing about the server.
"""

from __future__ import annotations

import asyncio
import json
import select
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec import Struct
from msgspec.json import decode

from .processes import Server, child, environment
from .systems import SYSTEMS, System

_SLEEP = 0.001
_PATIENCE = 60.0


class Pings(Struct):
    """Round trips since the last report, in seconds."""

    samples: list[float]
    oversleeps: list[float]


class Pinger:
    """The other end of it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    async def ask(self) -> Pings:
        """Return the figures of the pings since the last call."""
        assert self._process.stdin is not None
        self._process.stdin.write("?\n")
        self._process.stdin.flush()
        return decode(await self.line(), type=Pings)

    async def line(self) -> str:
        """The next line that it says."""
        assert self._process.stdout is not None
        said: str = await asyncio.wait_for(asyncio.to_thread(self._process.stdout.readline), _PATIENCE)
        if not said:
            raise RuntimeError("the pinger has ended: see its message above")
        return said


@asynccontextmanager
async def pinging(system: System, server: Server) -> AsyncIterator[Pinger]:
    """Ping the server during the block, from a process of its own."""
    words = json.dumps({"system": system.name, "mode": server.mode, "port": server.port, "pid": server.pid})
    command = [sys.executable, "-m", f"{__package__}.pinger", words]
    with child(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()) as process:
        pinger = Pinger(process)
        await pinger.line()
        yield pinger


def main() -> None:
    server = Server(**json.loads(sys.argv[1]))
    system = next(system for system in SYSTEMS if system.name == server.system)
    sock = system.dial(server)
    samples: list[float] = []
    oversleeps: list[float] = []
    print("ready", flush=True)
    while True:
        before = time.perf_counter()
        if select.select([sys.stdin], [], [], _SLEEP)[0]:
            if not sys.stdin.readline():
                return
            print(json.dumps({"samples": samples, "oversleeps": oversleeps}), flush=True)
            samples, oversleeps = [], []
            continue
        start = time.perf_counter()
        sock.sendall(system.ping)
        answered = False
        while not answered:
            data = sock.recv(65_536)
            answered = system.pong in data
            if pongs := system.pongs(data):
                sock.sendall(pongs)
        samples.append(time.perf_counter() - start)
        oversleeps.append(start - before - _SLEEP)
        time.sleep(_SLEEP)


if __name__ == "__main__":
    main()
