"""A recorded script of commands and their times, and what a fresh hub makes of it, to the byte.

As a program it plays the script of the seed it is given and writes what came out, so that another process, with
another seed for its hashes, can be compared: ``python -m tests.walk.scripted 7``.
"""

from __future__ import annotations

import json
import sys
from itertools import count
from random import Random
from typing import Any

from tests.journals import LateJournal
from tests.walk.hub_harness import INFO
from waggle_hub.delivery.connection import Connection
from waggle_hub.edge.decode import decode
from waggle_hub.engine.engine import Engine
from waggle_hub.journal.interface import JournalListener
from waggle_hub.settings import Bounds, Limits
from waggle_hub.state.log import Event
from waggle_hub.state.machine import Machine
from waggle_hub.state.sessions import SessionIds

LIMITS = Limits(sessions=8, tombstones=5, log_events=60, ephemeral=4, outcomes=5, keys=60, clear=3, scan=20, grace=4.0)
BOUNDS = Bounds(unsent=2_000, frame=700, catchup_keys=10, catchup_events=5)
AGENTS = 5
KEYS = [f"{kind}:{number}" for kind in ("task", "file", "note") for number in range(4)]
PATTERNS = ["*", "task:*", "*:1", "[fn]*", "?ile:*", "note:3"]

Step = tuple[str, int, str]
"""One step: its kind, the agent, and a number or the text of a command."""


def script(seed: int, length: int = 2_000) -> list[Step]:
    """Steps that are drawn before any of them is taken."""
    random = Random(seed)
    steps: list[Step] = [("hello", agent, "") for agent in range(AGENTS)]
    kinds = (
        ["say"] * 60 + ["read"] * 12 + ["turn"] * 10 + ["commit"] * 8 + ["pass"] * 6 + ["expire"] * 3 + ["deliver"] * 3
    )
    kinds += ["leave", "take over", "take over", "hello"]
    for number in range(length):
        kind = random.choice(kinds)
        text = json.dumps({"id": number, **_command(random)}) if kind == "say" else str(random.randint(0, 9))
        steps.append((kind, random.randrange(AGENTS), text))
    return steps


def _command(random: Random) -> dict[str, Any]:
    key, pattern = random.choice(KEYS), random.choice(PATTERNS)
    ttl = random.choice([None, None, 0.25, 0.7, 2, 5.05])
    commands: list[dict[str, Any]] = [
        {"op": "set", "key": key, "value": {"n": random.random()}, "ttl": ttl},
        {"op": "set", "key": key, "value": None, "kind": random.choice(["transient", "versioned"])},
        {"op": "set", "key": key, "value": "mine", "ephemeral": True, "rid": str(random.randint(0, 9))},
        {"op": "set", "key": key, "value": 1, "if_rev": 0},
        {"op": "delete", "key": key},
        {"op": "touch", "key": key, "ttl": ttl},
        {"op": "get", "key": key},
        {"op": "list", "pattern": pattern, "limit": 5},
        {"op": "clear", "pattern": pattern, "confirm": True},
        {"op": "txn", "if": [], "then": [{"op": "set", "key": name, "value": 2} for name in random.sample(KEYS, 3)]},
        {"op": "publish", "channel": key, "data": [random.random()] * random.randint(0, 20)},
        {"op": "status", "status": random.random()},
        {"op": "subscribe", "patterns": random.sample(PATTERNS, 2), "snapshot": random.random() < 0.6,
         "ns": random.choice([None, "*", "$agents"]), "prev": random.random() < 0.3, "echo": random.random() < 0.7,
         "conflate": random.choice([None, None, 0.5])},
        {"op": "unsubscribe", "sub": random.randint(1, 12)},
    ]  # fmt: skip
    return random.choice(commands)


class Player:
    """A fresh hub on which a script is played."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0
        self.machine = Machine(LIMITS, "epoch", 10**15)
        self.machine.set_durability("full")
        self.engine = Engine(
            self.machine, self._open_journal, BOUNDS, lambda: self.now, INFO,
            loop=None, random_ids=self._fresh, timer=count().__next__,
        )  # fmt: skip
        self.fanout = self.engine.fanout
        self.connections = [Connection(BOUNDS) for _ in range(AGENTS)]
        self.sessions = [SessionIds("", "", "")] * AGENTS
        self.heard: list[str] = []
        self._drawn = 0

    def _open_journal(self, listener: JournalListener) -> LateJournal:
        self.journal = LateJournal(listener)
        return self.journal

    def _fresh(self) -> SessionIds:
        self._drawn += 1
        self.fresh = SessionIds(f"s{self._drawn}", f"x{self._drawn}", f"agent{self._drawn}")
        return self.fresh

    def play(self, steps: list[Step]) -> bytes:
        """ExpectedStore that every agent heard, and every event, in order."""
        for kind, agent, text in steps:
            self._step(kind, agent, text)
        for agent in range(AGENTS):
            self._step("turn", 0, "")
            self._step("commit", 0, "9")
            self._read(agent, 10_000)
        events = [_whole(event) for commit in self.journal.kept for event in commit.events]
        return "\n".join([*self.heard, *events]).encode()

    def _step(self, kind: str, agent: int, text: str) -> None:
        match kind:
            case "say":
                self.engine.submit(self.connections[agent], decode(text))
            case "read":
                self._read(agent, int(text))
            case "turn":
                self.engine.flush()
            case "commit":
                for _ in range(min(int(text), len(self.journal.waiting))):
                    self.journal.commit()
            case "pass":
                self.now += int(text) * 0.117
            case "expire":
                self.engine._queue_effects(self.machine.expire(self.now, int(text)), None)
            case "deliver":
                self.fanout.conflate(self.now)
            case "leave":
                self._leave(agent)
            case "take over":
                known = self.sessions[agent]
                self._hello(agent, session=known.session, secret=known.secret)
            case _:
                self._hello(agent, agent=f"agent-{agent % 3}")
                self.sessions[agent] = self.fresh

    def _hello(self, agent: int, /, **asked: str) -> None:
        self._leave(agent)
        self.engine.submit(self.connections[agent], decode(json.dumps({"id": "hello", "op": "hello", **asked})))

    def _leave(self, agent: int) -> None:
        self.engine.leave(self.connections[agent])
        self.connections[agent].close(1000)
        self.connections[agent] = Connection(BOUNDS)

    def _read(self, agent: int, most: int) -> None:
        connection = self.connections[agent]
        for _ in range(most):
            text = connection.take()
            if text is not None:
                self.heard.append(f"{agent} {text}")
            elif connection.ready:
                self.fanout.ready(connection)
                self.fanout.catch_up()
            else:
                return


def _whole(e: Event) -> str:
    return repr((e.type, e.rev, e.ns, e.key, e.at, e.by, e.origin, e.entry, e.prev, e.data, e.reason, e.late))


if __name__ == "__main__":
    sys.stdout.buffer.write(Player().play(script(int(sys.argv[1]))))
