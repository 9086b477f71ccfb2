"""How the cost of a set grows with what else is there: keys, connections, patterns, waits, locks.

What is measured is the processor time of the hub for a set, under the load generator: that hardly depends on what else
the machine does. The exponent is that of a power of the number, fitted to all points: 0 is flat, 1 is in proportion; a
logarithm is near 0.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from tests.bench.machine import Cpu
from tests.bench.measurement import Measurement
from tests.bench.processes import Server
from tests.bench.results import Chart, Column, Point, Result, Table
from tests.bench.rounds import exponent, middle
from tests.bench.systems.port import VALUE, read_until
from tests.bench.systems.waggle import WAGGLE
from tests.bench.systems.wire import frame

from .capacity import tape

BATCH = 64
LINES = 100
"""Commands of one message, while the hub is prepared."""
EACH = 1_000
"""Of what a session may have: subscriptions, locks."""

Prepare = Callable[[Server, ExitStack, int, int], None]
"""Lets there be so many, of which the first so many are there already."""


async def run(measurement: Measurement) -> Result:
    many = measurement.scale(5, 4)
    ten = [10**power for power in range(1, many)]
    kinds: dict[str, tuple[Prepare, list[int]]] = {
        "keys": (_keys, [*ten, 10**many, 3 * 10**many]),
        "connections": (_connections, [10, 100, 1_000, 2_000]),
        "patterns": (_patterns, [*ten[:4], 2 * ten[-1]]),
        "waits": (_waits, [*ten[:4], 2 * ten[-1]]),
        "locks": (_locks, [*ten[:4], 2 * ten[-1]]),
    }
    chart = Chart("growth", "The cost of a set, beside other things", "how many others", "server CPU a set", "s")
    columns = [
        Column("exponent", "exponent", "less"), Column("beside the fewest", "s", "less"),
        Column("beside the most", "s", "less"), Column("the most", "count"),
    ]  # fmt: skip
    table = Table("growth-fit", "How the cost of a set grows", columns, plot=False)
    for kind, (prepare, sizes) in kinds.items():
        line = await _line(measurement, prepare, sizes)
        chart.lines[kind] = line
        fitted = exponent([(point.x, middle(point.rounds)) for point in line])
        table.rows[kind] = [[fitted], line[0].rounds, line[-1].rounds, [line[-1].x]]
    return Result([table], [chart])


async def _line(measurement: Measurement, prepare: Prepare, sizes: Sequence[int]) -> list[Point]:
    line = []
    with ExitStack() as stack:
        server = stack.enter_context(measurement.start(WAGGLE))
        sock = stack.enter_context(WAGGLE.dial(server))
        requests = tape(WAGGLE, 0, BATCH)
        await measurement.load.ask([sock], [requests], WAGGLE.marker, seconds=0.3, each=BATCH)
        before = 0
        for size in sizes:
            prepare(server, stack, before, size)
            before, rounds = size, []
            for _ in range(measurement.scale(5, 2)):
                cpu = Cpu(server.pid)
                found = await measurement.load.ask([sock], [requests], WAGGLE.marker, seconds=0.3, each=BATCH)
                rounds.append(cpu.seconds()[0] / found.count)
            line.append(Point(size, rounds))
    return line


def _keys(server: Server, stack: ExitStack, before: int, size: int) -> None:
    with WAGGLE.dial(server) as sock:
        for begin in range(before, size, LINES):
            pairs = [(f"key:{number}", VALUE) for number in range(begin, min(size, begin + LINES))]
            sock.sendall(WAGGLE.sets(pairs, 0))
            read_until(sock, WAGGLE.marker, len(pairs))


def _connections(server: Server, stack: ExitStack, before: int, size: int) -> None:
    for number in range(before, size):
        WAGGLE.subscribe(stack.enter_context(WAGGLE.dial(server)), [f"own:{number}:*"])


def _patterns(server: Server, stack: ExitStack, before: int, size: int) -> None:
    _commands(server, stack, [b'"op":"subscribe","patterns":["job:%d:*"]' % n for n in range(before, size)], 1)


def _waits(server: Server, stack: ExitStack, before: int, size: int) -> None:
    waits = [b'"op":"wait","timeout":3600,"all":[{"key":"never:%d"}]' % n for n in range(before, size)]
    _commands(server, stack, waits, 0)


def _locks(server: Server, stack: ExitStack, before: int, size: int) -> None:
    _commands(server, stack, [b'"op":"lock","name":"file:%d","ttl":3600' % n for n in range(before, size)], 1)


def _commands(server: Server, stack: ExitStack, commands: Sequence[bytes], answers: int) -> None:
    """Ask all of this, by sessions that stay; each is answered so often at once."""
    for begin in range(0, len(commands), EACH):
        sock = stack.enter_context(WAGGLE.dial(server))
        for first in range(begin, min(len(commands), begin + EACH), LINES):
            some = commands[first : min(first + LINES, begin + EACH)]
            _ask(sock, [b'{"id":%d,%b}' % (first + n, command) for n, command in enumerate(some)], answers * len(some))


def _ask(sock: socket.socket, lines: Sequence[bytes], answers: int) -> None:
    sock.sendall(frame(b"\n".join([*lines, b'{"id":"done","op":"ping"}'])))
    read_until(sock, b'"ok"', answers + 1)
