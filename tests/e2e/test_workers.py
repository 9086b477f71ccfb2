"""Many processes that want the same, some of them killed or stopped: nothing is lost, and nothing is done by two.

For `make test` this takes some 20 seconds; with WAGGLE_LONG=1 it is 2,000 items, and a minute of locks.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.e2e.hubs import StartHub
from tests.e2e.lock_contender import TTL
from tests.e2e.wire import Join, Json, Wire

pytestmark = pytest.mark.e2e

LONG = bool(os.environ.get("WAGGLE_LONG"))

WORKERS = 8
DOOMED = ("worker-0", "worker-1")
"""Those that are killed, again and again."""
ITEMS = 2000 if LONG else 400
BUSY = 0.2 if LONG else 0.1
"""Seconds of work for an item."""
RESPITE = 3.0 if LONG else 1.0
"""Seconds between one kill and the next."""

AGENTS = 20
SECONDS = 60.0 if LONG else 8.0
STOPPED_AT_ONCE = 3
STOPPED = TTL + 0.7
"""Seconds for which an agent is stopped: beyond what its lock lasts."""
QUIET = 30.0
"""Seconds without any event: something is stuck."""


class WorkerPool:
    """Processes by name."""

    def __init__(self, program: str, *args: str) -> None:
        self._program, self._args = str(Path(__file__).with_name(program)), args
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *more: str) -> None:
        command = [sys.executable, self._program, *self._args, name, *more]
        self._running[name] = subprocess.Popen(command)

    def signal(self, name: str, number: signal.Signals) -> None:
        self._running[name].send_signal(number)

    def kill(self, name: str) -> None:
        self._running[name].kill()
        self._running[name].wait()

    def gone(self) -> list[str]:
        """Those that have ended by themselves."""
        return [name for name, process in self._running.items() if process.poll() is not None]


@contextmanager
def worker_pool(program: str, *args: str) -> Iterator[WorkerPool]:
    """Processes that are killed at the end, all of them."""
    started = WorkerPool(program, *args)
    try:
        yield started
    finally:
        for name in started._running:
            started.kill(name)


async def all_here(wire: Wire, pattern: str, count: int) -> None:
    """Wait until so many have come: a process takes a while to start."""
    await wire.ask("wait", all=[{"pattern": pattern, "ns": "$agents", "count": count}], timeout=QUIET)


class Held(NamedTuple):
    """A lock from its grant to its end."""

    key: str
    token: int
    by: str
    end: int
    reason: str


def holds(log: list[Json]) -> list[Held]:
    """All locks that were granted and have ended, in the order of their grants; one at a time for each key."""
    held: list[Held] = []
    now: dict[str, Json] = {}
    for event in log:
        if event["type"] == "lock":
            assert event["key"] not in now, "two hold it at the same time"
            now[event["key"]] = event
        elif event["type"] == "unlock":
            grant = now.pop(event["key"])
            assert grant["token"] == event["token"]
            held.append(Held(grant["key"], grant["token"], grant["by"], event["rev"], event["reason"]))
    return sorted(held, key=lambda each: each.token)


# --- work --------------------------------------------------------------------------------------------------------


async def fill(wire: Wire) -> None:
    """Put all items there."""
    for first in range(0, ITEMS, 100):
        items = range(first, min(first + 100, ITEMS))
        await wire.ask("txn", **{"if": []}, then=[{"op": "set", "key": f"item:{n}", "value": n} for n in items])


async def watch_and_kill(wire: Wire, workers: WorkerPool) -> tuple[list[Json], int]:
    """The events until all items are done; who is doomed is killed with an item in its hands, and comes back."""
    log: list[Json] = []
    kills, done, next_kill = 0, 0, time.monotonic() + RESPITE
    while done < ITEMS:
        event = await wire.event("set", "delete", "lock", "unlock", within=QUIET)
        log.append(event)
        done += event["type"] == "delete"
        doomed = DOOMED[kills % len(DOOMED)]
        if event["type"] == "lock" and event["by"] == doomed and time.monotonic() > next_kill:
            workers.kill(doomed)
            workers.start(doomed, str(BUSY))
            kills, next_kill = kills + 1, time.monotonic() + RESPITE
    return log + [event for event in await wire.settle() if event["type"] in ("set", "delete", "lock", "unlock")], kills


@pytest.mark.timeout(400)
async def test_workers_that_are_killed_again_and_again_lose_no_item(start_hub: StartHub, join: Join, ns: str) -> None:
    hub = start_hub()
    witness = await join(at=hub, agent="witness")
    witness.remember = False
    await fill(witness)
    await witness.subscribe("item:*", "done:*")
    with worker_pool("worker.py", hub.url, ns) as workers:
        for number in range(WORKERS):
            workers.start(f"worker-{number}", str(BUSY))
        await all_here(witness, "worker-*", WORKERS)
        began = time.monotonic()
        log, kills = await watch_and_kill(witness, workers)
        assert workers.gone() == []
    seconds = time.monotonic() - began

    items = {f"item:{number}" for number in range(ITEMS)}
    deleted = {event["key"]: event for event in log if event["type"] == "delete"}
    assert set(deleted) == items, "each is done"
    assert len([event for event in log if event["type"] == "delete"]) == ITEMS, "and once"

    held = holds(log)
    for each in held:
        ended_by_work = deleted[each.key]["rev"] == each.end
        assert ended_by_work == (each.reason == "released")
        assert not ended_by_work or deleted[each.key]["by"] == each.by, "by who had it"
    given_up = [each for each in held if each.reason != "released"]
    assert {each.by for each in given_up} <= set(DOOMED), "nobody else has lost any"
    assert {each.reason for each in given_up} <= {"expired", "session_ended"}

    deliveries = Counter(each.key for each in held)
    told = {event["key"].replace("done", "item"): event["value"] for event in log if event["type"] == "set"}
    assert {key: value["delivery"] for key, value in told.items()} == deliveries, "each delivery is counted"
    assert {value["token"] for value in told.values()} == {each.token for each in held if each.reason == "released"}
    redelivered = deliveries.total() - ITEMS
    assert 0 < redelivered == len(given_up) <= kills
    print(f"{ITEMS} items, {WORKERS} workers, {kills} kills, {redelivered} redelivered, {seconds:.1f} s")


# --- locks -------------------------------------------------------------------------------------------------------


async def watch_and_stop(wire: Wire, agents: WorkerPool) -> tuple[list[Json], set[int]]:
    """The events of a while; again and again an agent is stopped between its two writes, for longer than its ttl.

    Gives the tokens of those locks, too. At the end all have gone on for long enough to say what came of it.
    """
    log: list[Json] = []
    stopped: dict[str, float] = {}
    tokens: set[int] = set()
    end = time.monotonic() + SECONDS
    while time.monotonic() < end or stopped:
        for name in [name for name, until in stopped.items() if time.monotonic() >= until]:
            agents.signal(name, signal.SIGCONT)
            del stopped[name]
        event = await _next(wire)
        if event is None:
            continue
        log.append(event)
        between_its_writes = event["type"] == "set" and event["value"]["step"] == "first"
        if between_its_writes and len(stopped) < STOPPED_AT_ONCE and time.monotonic() < end:
            agents.signal(event["by"], signal.SIGSTOP)
            stopped[event["by"]] = time.monotonic() + STOPPED
            tokens.add(event["value"]["token"])
    last = time.monotonic() + 2.0
    while time.monotonic() < last:
        event = await _next(wire)
        if event is not None:
            log.append(event)
    return log, tokens


async def _next(wire: Wire) -> Json | None:
    """The next event, if there is one soon."""
    try:
        return await wire.event("set", "lock", "unlock", "message", within=0.2)
    except TimeoutError:
        return None


@pytest.mark.timeout(200)
async def test_a_holder_that_was_stopped_beyond_its_time_is_refused_every_time(
    start_hub: StartHub, join: Join, ns: str
) -> None:
    hub = start_hub()
    witness = await join(at=hub, agent="witness")
    witness.remember = False
    await witness.subscribe("*")
    with worker_pool("lock_contender.py", hub.url, ns) as agents:
        for number in range(AGENTS):
            agents.start(f"agent-{number}")
        await all_here(witness, "agent-*", AGENTS)
        log, stopped = await watch_and_stop(witness, agents)
        assert agents.gone() == []

    held = {each.token: each for each in holds(log)}
    grants = [event["token"] for event in log if event["type"] == "lock"]
    assert grants == sorted(grants), "tokens rise"
    assert {each.reason for each in held.values()} == {"released", "expired"}

    writes = [event for event in log if event["type"] == "set"]
    for write in writes:
        hold = held.get(write["value"]["token"])  # None: held still
        assert hold is None or (hold.key == write["key"] and hold.token < write["rev"] < hold.end), "a stale write"

    tried = [event["data"] for event in log if event["type"] == "message"]
    refused = {(each["token"], each["step"]) for each in tried if each["outcome"] == "refused"}
    done = {(each["token"], each["step"]) for each in tried if each["outcome"] == "done"}
    written = {(write["value"]["token"], write["value"]["step"]) for write in writes}
    assert done <= written, "what was said to be written is"
    assert not refused & written, "and what was refused is not"
    expired = {token for token, hold in held.items() if hold.reason == "expired"}
    stale = {token for token, _ in refused}
    assert stale <= expired, "nobody is refused who holds it"
    assert {(token, "last") for token in stopped} <= written | refused, "every one of them has tried"
    assert len(stale & stopped) >= len(stopped) / 2, "few were so fast that they had written twice"
    print(
        f"{AGENTS} agents, {SECONDS:.0f} s: {len(grants)} grants, {len(writes)} writes, {len(stopped)} stops,"
        f" {len(expired)} expired, {len(refused)} writes refused"
    )
