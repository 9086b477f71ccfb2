"""Agents for the crash suite: each writes keys of its own, one command at a time, and remembers what it was told.

A command that was under way when the hub died is asked again with its rid once the session has been taken over: so
each agent knows exactly what must be there.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

from tests.e2e.wire import Closed, Json, Wire

KEYS = 6
TYPES = ("set", "delete", "lock", "unlock")


class Down(Exception):
    """The hub is gone."""


class Agent:
    """One agent with its session, over all lives of the hub."""

    def __init__(self, number: int, seed: int) -> None:
        self.name = f"agent-{number}"
        self.random = random.Random(seed)
        self.wire: Wire | None = None
        self.older: Wire | None = None
        self.entries: dict[str, tuple[int, int, Any] | None] = {}
        """Of each key the revision, version and value it was told of; None once it was deleted."""
        self.versions: dict[str, int] = {}
        """The highest version of each key."""
        self.token: int | None = None
        """The lock that it holds."""
        self.tokens: list[int] = []
        self.rev = 0
        """The highest revision it was told."""
        self.acknowledged = 0
        self.repeated = 0
        self._asked: Json | None = None
        """The command that is under way."""
        self._rid = 0

    async def come(self, url: str) -> None:
        """Say hello for the first time, or go on with the session."""
        self.wire = await Wire.connect(url)
        if self.older is None:
            await self.wire.hello(agent=self.name, ns="crash")
        else:
            assert (await self.wire.take_over(self.older))["resumed"] is True
        assert self.wire.welcome["rev"] >= self.rev, "revisions never go back"
        self.rev = self.wire.welcome["rev"]
        if self._asked is not None:
            self.repeated += 1
            await self._do(self._asked)

    async def work(self) -> None:
        """Work until the hub is gone."""
        try:
            while True:
                await self._do(self._next())
        except Closed:
            self.older, self.wire = self.wire, None

    def _next(self) -> Json:
        key = f"{self.name}:{self.random.randrange(KEYS)}"
        self._rid += 1
        rid = f"{self.name}-{self._rid}"
        match self.random.randrange(10):
            case 0:
                return {"op": "delete", "key": key, "rid": rid}
            case 1:
                return {"op": "update", "key": key, "merge": {"n": self._rid}, "rid": rid}
            case 2 if self.token is None:
                return {"op": "lock", "name": f"lock:{self.name}", "ttl": 600, "rid": rid}
            case 2 | 3 if self.token is not None:
                return {"op": "unlock", "token": self.token, "rid": rid}
            case 4:
                then = [{"op": "set", "key": f"{self.name}:{n}", "value": {"n": self._rid}} for n in range(2)]
                return {"op": "txn", "if": [], "then": then, "rid": rid}
            case 5:
                return {"op": "set", "key": key, "value": {"n": self._rid}, "kind": "versioned", "rid": rid}
            case _:
                return {"op": "set", "key": key, "value": {"n": self._rid}, "rid": rid}

    async def _do(self, asked: Json) -> None:
        assert self.wire is not None
        self._asked = asked
        ok = await self.wire.ask(**asked)
        self._asked = None
        self.acknowledged += 1
        self._learn(asked, ok)

    def _learn(self, asked: Json, ok: Json) -> None:
        match asked["op"]:
            case "set":
                self._wrote(asked["key"], ok["rev"], ok["version"], asked["value"])
            case "update":
                self._wrote(asked["key"], ok["rev"], ok["version"], ok["value"])
            case "txn":
                for step, result in zip(asked["then"], ok["results"], strict=True):
                    self._wrote(step["key"], result["rev"], result["version"], step["value"])
            case "delete":
                assert ok["deleted"] is (self.entries.get(asked["key"]) is not None), "what was there was there once"
                self.entries[asked["key"]] = None
            case "lock":
                assert ok["token"] > max(self.tokens, default=0), "tokens only grow"
                self.tokens.append(ok["token"])
                self.token = ok["token"]
            case _:
                self.token = None
        self.rev = max(self.rev, ok.get("rev", 0), ok.get("token", 0))

    def _wrote(self, key: str, rev: int, version: int, value: Any) -> None:
        assert version == self.versions.get(key, 0) + 1, "each write has its effect once, and none is forgotten"
        self.versions[key] = version
        self.entries[key] = (rev, version, value)

    async def check(self) -> None:
        """Everything it was told is so."""
        assert self.wire is not None
        for key, known in self.entries.items():
            entry = (await self.wire.ask("get", key=key))["entry"]
            found = None if entry is None else (entry["rev"], entry["version"], entry["value"])
            assert found == known, f"{key}: {found} is there, {known} was acknowledged"
        held = (await self.wire.ask("locks", pattern=f"lock:{self.name}"))["locks"]
        assert [lock["token"] for lock in held] == ([] if self.token is None else [self.token])


class Watcher:
    """One that sees every event, takes up where it was after each crash, and believes nothing."""

    def __init__(self) -> None:
        self.wire: Wire | None = None
        self.older: Wire | None = None
        self.seen: dict[tuple[int, str, str], Json] = {}
        self.first = 0

    async def come(self, url: str) -> None:
        """Watch from the start, or go on; then hear everything again, and compare."""
        self.wire = await Wire.connect(url)
        if self.older is None:
            await self.wire.hello(agent="watcher", ns="crash")
            self.first = (await self.wire.ask("ping"))["rev"]
            await self.wire.subscribe("*")
        else:
            assert (await self.wire.take_over(self.older))["resumed"] is True
            await self._hear_again(url)

    async def watch(self) -> None:
        """Watch until the hub is gone."""
        assert self.wire is not None
        try:
            while True:
                self._see(await self.wire.event(within=600))
        except Closed:
            self.older, self.wire = self.wire, None

    def _see(self, line: Json) -> None:
        assert line["type"] != "lost", "nothing is lost"
        if line["type"] in TYPES and line["rev"] > self.first:
            self.seen[line["rev"], line["type"], line["key"]] = _facts(line)

    async def _hear_again(self, url: str) -> None:
        """No event was seen that the hub denies now."""
        assert self.wire is not None
        second = await Wire.connect(url)
        await second.hello(ns="crash")
        since = {"epoch": self.wire.welcome["epoch"], "rev": self.first}
        told = await second.ask("subscribe", patterns=["*"], since=since)
        if told["resumed"]:
            again = {}
            while (line := await second.event("mark", *TYPES))["type"] != "mark":
                again[line["rev"], line["type"], line["key"]] = _facts(line)
            for name, facts in self.seen.items():
                assert again.get(name) == facts, f"{name} was seen as {facts}, and is {again.get(name)} now"
        else:
            assert told["reason"] == "compacted"
            self.first, self.seen = told["rev"], {}  # what it missed meanwhile is below that
        await second.close()


def _facts(line: Json) -> Json:
    return {field: value for field, value in line.items() if field not in ("sub", "after", "more")}


async def settle(agents: list[Agent], watcher: Watcher, works: list[asyncio.Task[None]]) -> None:
    """Wait until everybody has noticed that the hub is gone."""
    await asyncio.wait_for(asyncio.gather(*works), 30)
    assert all(agent.wire is None for agent in agents)
    assert watcher.wire is None
