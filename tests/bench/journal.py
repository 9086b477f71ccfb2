"""The journal: sets that are on disk before they are answered, and how long a hub takes to come back.

`full` beside `appendfsync always`, `relaxed` beside `everysec`, in one run, on one disk. So many outstanding means so
many tasks that each set a key, await the reply, and begin again; how that becomes connections, `sets` says.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import statistics
import tempfile
import time
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path

from .arena import Arena, Server, start_hub, start_redis
from .callers import Caller, open_all
from .million import hub_load, load_all, redis_load, value_of
from .report import Goal, Result, Spread, Table, middle, ratio, us
from .sets import VALUE

OUTSTANDING = (1, 64, 512)
HUB_MODES = ("memory", "relaxed", "full")
REDIS_MODES = ("everysec", "always")


async def run(arena: Arena) -> Result:
    result = Result()
    with tempfile.TemporaryDirectory(prefix="waggle-bench-") as directory:
        await _sets(arena, Path(directory), result)
        await _start(arena, Path(directory), result)
    return result


async def _sets(arena: Arena, directory: Path, result: Result) -> None:
    with ExitStack() as stack:
        hubs = [stack.enter_context(start_hub(*_options(directory, mode))) for mode in HUB_MODES]
        arenas = dict(zip(HUB_MODES, (replace(arena, hub=hub, redis=None) for hub in hubs), strict=True))
        if arena.redis is not None:
            for mode in REDIS_MODES:
                (directory / mode).mkdir()
                server = stack.enter_context(start_redis(directory / mode, mode))
                arenas[mode] = replace(arena, redis=server)
        callers = {mode: await _open(mode, field) for mode, field in arenas.items()}
        for outstanding in OUTSTANDING:
            await _rounds(arena, callers, outstanding, result)
        for opened in callers.values():
            for caller in opened:
                await caller.close()


def _options(directory: Path, mode: str) -> list[str]:
    return ["--memory"] if mode == "memory" else ["--data", str(directory / mode), "--durability", mode]


async def _open(mode: str, field: Arena) -> list[Caller]:
    """The bare socket and the client that people use, on the server of this mode."""
    kind = "hub" if mode in HUB_MODES else "redis"
    opened = [caller for caller, _ in await open_all(field, blocking=False)]
    for caller in opened:
        if caller.kind != kind or caller.label == "hub, `websockets`":
            await caller.close()
    return [caller for caller in opened if caller.kind == kind and caller.label != "hub, `websockets`"]


async def _rounds(arena: Arena, callers: dict[str, list[Caller]], outstanding: int, result: Result) -> None:
    count = max(arena.scale(1_000, 300), outstanding * arena.scale(25, 12))
    rates: dict[tuple[str, str], list[float]] = {}
    samples: dict[tuple[str, str], list[float]] = {}
    for number in range(arena.scale(5, 3) + 1):
        for mode, opened in callers.items() if number % 2 == 0 else reversed(list(callers.items())):
            for caller in opened:
                taken, rate = await _by_tasks(caller, outstanding, count)
                if number:  # the first does not count
                    rates.setdefault((mode, caller.label), []).append(rate)
                    samples.setdefault((mode, caller.label), []).extend(taken)
    table = Table(
        f"Sets that are kept, {outstanding} outstanding",
        ["mode", "client", "sets/s", "p50", "p99", "rate to redis-py, always", "to redis-py, everysec"],
    )
    always, everysec = (rates.get((mode, "redis, redis-py asyncio")) for mode in ("always", "everysec"))
    for (mode, label), found in rates.items():
        spread = Spread.of(samples[mode, label])
        ratios = [ratio(middle(found), middle(rival) if rival else None) for rival in (always, everysec)]
        table.rows.append([mode, label, f"{middle(found):,.0f}", us(spread.p50), us(spread.p99), *ratios])
    result.tables.append(table)
    result.figures[f"{outstanding} outstanding"] = {
        f"{mode}, {label}": {"rate": middle(found), **Spread.of(samples[mode, label]).figures()}
        for (mode, label), found in rates.items()
    }
    if outstanding == 64:
        full = middle(rates["full", "hub, bare socket"])
        times = full / middle(always) if always else None
        result.goals.append(
            Goal(
                "64 sets at a time, `full`, bare socket",
                "3 times redis-py on appendfsync always",
                f"{full:,.0f}/s" + (f", {times:.1f} times" if times else ""),
                None if times is None else times >= 3,
            )
        )


async def _by_tasks(caller: Caller, tasks: int, count: int) -> tuple[list[float], float]:
    """How long each set took, and how many there were each second."""
    samples = []
    clock = time.perf_counter

    async def one(task: int) -> None:
        for number in range(count // tasks):
            start = clock()
            await caller.set(f"kept:{task}:{number % 100}", VALUE)
            samples.append(clock() - start)

    start = clock()
    await asyncio.gather(*(one(task) for task in range(tasks)))
    return samples, len(samples) / (clock() - start)


# --- a start on many entries -------------------------------------------------------------------------------------


async def _start(arena: Arena, directory: Path, result: Result) -> None:
    keys = arena.scale(1_000_000, 50_000)
    table = Table(f"A start on {keys:,} entries", ["", "size on disk", "bytes an entry", "seconds to start"])
    figures = {}
    kinds = ["hub"] if arena.redis is None else ["hub", "redis"]
    for kind in kinds:
        home = directory / f"million-{kind}"
        home.mkdir()
        with _kept(kind, home) as server:
            await _fill(server, keys)
        size = sum(file.stat().st_size for file in home.rglob("*") if file.is_file())
        starts = [await asyncio.to_thread(_time_start, kind, home) for _ in range(arena.scale(3, 1))]
        seconds = statistics.median(starts)
        table.rows.append([kind, f"{size / 1e6:,.0f} MB", f"{size / keys:.0f}", f"{seconds:.1f}"])
        figures[kind] = {"size": float(size), "start": seconds}
        shutil.rmtree(home)
    table.notes.append(
        f"Values of {len(value_of(0))} bytes, a ttl of 1 to 10 hours. The hub in `full`, from the start of the process "
        "until it answers; Redis with an append-only file, as it is after the load, until it has read it."
    )
    result.tables.append(table)
    result.figures["start"] = figures


def _kept(kind: str, home: Path) -> AbstractContextManager[Server]:
    return start_hub("--data", str(home)) if kind == "hub" else start_redis(home, "everysec")


async def _fill(server: Server, keys: int) -> None:
    load, close = await (hub_load if server.kind == "hub" else redis_load)(server)
    await load_all(load, keys)
    close()


def _time_start(kind: str, home: Path) -> float:
    """Seconds from the start of the process until it answers."""
    started = time.perf_counter()
    with _kept(kind, home) as server:
        while not _answers(server):
            time.sleep(0.005)
        return time.perf_counter() - started


def _answers(server: Server) -> bool:
    asked = b"PING\r\n" if server.kind == "redis" else b"GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n"
    try:
        with socket.create_connection((server.host, server.port), 5) as connection:
            connection.sendall(asked)
            return connection.recv(100).startswith((b"+PONG", b"HTTP/1.1 200"))
    except OSError:
        return False
