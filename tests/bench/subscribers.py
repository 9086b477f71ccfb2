"""Many subscribers, and one publisher."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from .generator import Load, Loaded
from .machine import Cpu
from .processes import Server
from .systems import System
from .systems.port import EVENT

PAYLOAD = 100


@dataclass(frozen=True)
class Heard:
    """Figures of the subscribers: deliveries a second, how long they took, and what one cost."""

    rate: float
    p50: float
    p99: float
    server: float
    """Processor seconds of the server for a delivery."""
    size: float
    """Bytes of a delivery."""
    share: float
    """The load generator's share of a core: at 100 % it was measured, not the server."""


@dataclass(frozen=True)
class Subscribers:
    """Sockets that are subscribed, and one that publishes."""

    load: Load
    system: System
    server: Server
    publisher: socket.socket
    members: Sequence[socket.socket]

    async def burst(self, channel: str, events: int, batch: int) -> Heard:
        """So many events as fast as it goes, `batch` in each write."""
        batch = min(batch, events)
        payloads = [payload(number) for number in range(batch)]
        tape = [self.system.publish(channel, payloads, n * batch) for n in range(events // batch)]
        return await self._heard(tape, batch, 0.0)

    async def steady(self, channel: str, events: int, rate: float) -> Heard:
        """So many events, one by one, so many a second."""
        tape = [self.system.publish(channel, [payload(number)], number) for number in range(events)]
        return await self._heard(tape, 1, rate)

    async def _heard(self, tape: Sequence[bytes], each: int, rate: float) -> Heard:
        cpu = Cpu(self.server.pid)
        found: Loaded = await self.load.hear(self.publisher, self.members, tape, EVENT, each=each, rate=rate)
        return Heard(
            rate=found.rate,
            p50=found.p50,
            p99=found.p99,
            server=cpu.seconds()[0] / found.count,
            size=found.bytes / found.count,
            share=found.cpu / found.seconds,
        )


def payload(number: int) -> bytes:
    """JSON of `PAYLOAD` bytes with the marker in it."""
    head = b'{"n":%d,"text":"%b' % (1000 + number, EVENT)
    return head + b"x" * (PAYLOAD - len(head) - 2) + b'"}'


@contextmanager
def gathered(load: Load, system: System, server: Server, members: int, *patterns: str) -> Iterator[Subscribers]:
    """Connect members that are all subscribed to these patterns, for the block."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(system.dial(server)) for _ in range(members)]
        for sock in sockets:
            system.subscribe(sock, patterns)
        yield Subscribers(load, system, server, stack.enter_context(system.dial(server)), sockets)
