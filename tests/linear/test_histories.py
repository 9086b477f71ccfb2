"""Histories of a real hub, with connections cut and sessions given up meanwhile, are linearizable (G1, G8 to G10)."""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.e2e.hubs import HubProcess
from tests.e2e.wire import Closed, Refused, Wire
from tests.linear.checker import NEVER, UNKNOWN, Model, Operation, linearizable, lock, register, work

pytestmark = pytest.mark.e2e

KEYS = ["k1", "k2", "k3"]
LOCKS = ["l1", "l2"]
ITEMS = [f"job:{number:02}" for number in range(12)]
MODELS: dict[str, tuple[Model, Any]] = {
    "k": (register, None),
    "l": (lock, (None, 0)),
    "j": (work, ("nowhere", 0)),
}
Heard = tuple[str, Any]
"""``ok`` or an error code, and what came with it."""


class History:
    """What everybody asked and heard, by the object it was about."""

    def __init__(self) -> None:
        self.of: dict[str, list[Operation]] = defaultdict(list)

    def add(self, about: str, agent: str, call: float, back: float, asked: tuple[Any, ...], heard: Any) -> None:
        self.of[about].append(Operation(agent, call, back, asked, heard))

    def check(self) -> None:
        for about, operations in self.of.items():
            model, initial = MODELS[about[0]]
            assert linearizable(operations, model, initial), "\n".join(map(str, [about, *operations]))


class Gone(Exception):
    """The session was given up before the answer was heard."""


class Agent:
    """An agent that is cut off now and then; it comes back, or gives its session up and begins another."""

    def __init__(self, number: int, url: str, history: History, ns: str) -> None:
        self.random = random.Random(number)
        self.history = history
        self.url = url
        self.ns = ns
        self.number = number
        self.stays = 0
        self.rids = 0
        self.seen: dict[str, tuple[Any, int]] = {}
        self.tokens: dict[str, int] = {}
        self.wire: Wire
        self.wires: list[Wire] = []

    @property
    def name(self) -> str:
        return f"agent-{self.number}.{self.stays}"

    async def begin(self) -> None:
        self.tokens.clear()
        while True:
            self.stays += 1
            self.wire = await self._connect()
            try:
                await self.wire.hello(agent=self.name, ns=self.ns)
                return
            except Closed:
                pass  # whether or not that session is there, it holds nothing

    async def _connect(self) -> Wire:
        wire = await Wire.connect(self.url)
        self.wires.append(wire)
        return wire

    async def ask(self, op: str, **fields: Any) -> Heard:
        """The outcome, whatever happens to the connection meanwhile. Gone if it will never be known."""
        while True:
            try:
                return "ok", await self.wire.ask(op, **fields)
            except Refused as refused:
                return refused.code, refused.error
            except Closed:
                await self._return()

    async def _return(self) -> None:
        if self.random.random() < 0.3:
            raise Gone
        while True:
            older, self.wire = self.wire, await self._connect()
            try:
                await self.wire.take_over(older)
                return
            except Refused:
                raise Gone from None
            except Closed:
                self.wire.welcome = older.welcome

    async def run(self, steps: int) -> None:
        await self.begin()
        for _ in range(steps):
            call = time.monotonic()
            asked = self._choose()
            try:
                await self._do(call, *asked)
            except Gone:
                self._give_up(call, asked)
                await self.begin()
        self._leave(time.monotonic(), {*self.tokens})
        for wire in self.wires:
            await wire.close()

    def _choose(self) -> tuple[str, tuple[Any, ...]]:
        held = list(self.tokens)
        kind = self.random.choice(["key", "key", "lock", "take"] + ["end"] * (2 * bool(held)))
        if kind == "end":
            about = self.random.choice(held)
            return about, (self.random.choice(["unlock"] if about[0] == "l" else ["done", "give back"]),)
        if kind == "take":
            return "", ("take",)
        if kind == "lock":
            return self.random.choice(LOCKS), ("lock",)
        about = self.random.choice(KEYS)
        value = f"{self.name}-{self.rids}"
        if self.random.random() < 0.4:
            return about, ("get",)
        if self.random.random() < 0.1:
            return about, ("delete",)
        return about, ("swap", self.seen.get(about, (None, 0))[0], value) if self.rids % 2 else ("set", value)

    async def _do(self, call: float, about: str, asked: tuple[Any, ...]) -> None:
        self.rids += 1
        code, said = await self._send(about, asked, f"r{self.rids}")
        heard: Any = code == "ok"
        if asked[0] == "get":
            entry = said["entry"]
            heard = None if entry is None else entry["value"]
            self.seen[about] = (None, 0) if entry is None else (heard, entry["rev"])
        elif asked[0] == "delete":
            heard = said["deleted"]
        elif asked[0] == "lock":
            heard = said["token"] if code == "ok" else None
            if code == "ok":
                self.tokens[about] = said["token"]
        elif asked[0] == "take":
            if code != "ok":
                return
            about, heard = said["entry"]["key"], said["delivery"]
            self.tokens[about] = said["token"]
        elif asked[0] in ("unlock", "done", "give back"):
            self.tokens.pop(about, None)
        self.history.add(about, self.name, call, time.monotonic(), asked, heard)

    async def _send(self, about: str, asked: tuple[Any, ...], rid: str) -> Heard:
        match asked:
            case ("get",):
                return await self.ask("get", key=about)
            case ("set", value):
                return await self.ask("set", key=about, value=value, rid=rid)
            case ("swap", _, value):
                rev = self.seen.get(about, (None, 0))[1]
                return await self.ask("set", key=about, value=value, if_rev=rev, rid=rid)
            case ("delete",):
                return await self.ask("delete", key=about, rid=rid)
            case ("lock",):
                return await self.ask("lock", name=about, ttl=600, rid=rid)
            case ("take",):
                return await self.ask("take", patterns=["job:*"], lease=600, rid=rid)
            case ("done",):
                return await self.ask("delete", key=about, guard={"token": self.tokens[about]}, rid=rid)
            case _:
                return await self.ask("unlock", token=self.tokens[about], rid=rid)

    def _give_up(self, call: float, asked: tuple[str, tuple[Any, ...]]) -> None:
        """What was asked last may have happened; and the session ends."""
        about, what = asked
        places = [about] if about else ITEMS
        if what[0] != "get":
            for place in places:
                self.history.add(place, self.name, call, NEVER, what, UNKNOWN)
        self._leave(call, {*places, *self.tokens} - {*KEYS})

    def _leave(self, since: float, places: set[str]) -> None:
        """Some time after this its session ends, and with it what it holds there."""
        for place in places:
            self.history.add(place, self.name, since, NEVER, ("leave",), UNKNOWN)


@pytest.fixture
async def cut_all_the_time() -> AsyncIterator[list[Agent]]:
    """Cuts one of these agents off every few milliseconds."""
    agents: list[Agent] = []
    chance = random.Random(7)

    async def cut() -> None:
        while True:
            await asyncio.sleep(0.008)
            if agents and hasattr(agent := chance.choice(agents), "wire"):
                agent.wire.cut()

    task = asyncio.create_task(cut())
    yield agents
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("round", range(3))
async def test_histories_of_keys_locks_and_work_are_linearizable(
    quick_hub: HubProcess, cut_all_the_time: list[Agent], round: int
) -> None:
    history, ns = History(), f"linear-{round}"
    boss = await Wire.connect(quick_hub.ws)
    await boss.hello(agent="boss", ns=ns)
    for item in ITEMS:
        began = time.monotonic()
        await boss.ask("set", key=item, value=item)
        history.add(item, "boss", began, time.monotonic(), ("put",), True)
    cut_all_the_time += [Agent(100 * round + number, quick_hub.ws, history, ns) for number in range(5)]
    await asyncio.gather(*(agent.run(80) for agent in cut_all_the_time))
    await boss.close()
    history.check()
    assert sum(len(operations) for operations in history.of.values()) > 200
    assert any(operation.back == NEVER for operations in history.of.values() for operation in operations)
