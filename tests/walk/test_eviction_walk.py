"""Random walks in a hub that is full: what is evicted, in which order, and what never is.

The model is a dict of entries and a list of the cached ones by last use. A write that has no room takes the place of
what was used least recently, of as little as will do; where all that is cached would not do, it is refused and nothing
is lost.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from tests.journals import LateJournal
from tests.walk.hub_harness import INFO
from tests.walk.walks import PARTS, CheckedMachine, take_walks
from waggle_hub.delivery.connection import Connection
from waggle_hub.delivery.fanout import PendingReply
from waggle_hub.edge.decode import decode
from waggle_hub.engine.engine import Engine
from waggle_hub.settings import Bounds, Limits
from waggle_hub.state.log import Commit
from waggle_hub.state.machine import Machine

LIMITS = Limits(keys=9, bytes=260)
KEYS = st.sampled_from([f"k{number}" for number in range(8)])
SIZES = st.integers(1, 90)
KINDS = st.sampled_from(["cached", "cached", "cached", "persistent", "transient", "versioned"])


class Full(Exception):
    """There is no room, and none to be made."""


class Shelf:
    """The entries, (kind, size) each, and the cached ones by last use, oldest first."""

    def __init__(self, keys: int, size: int) -> None:
        self.keys, self.bytes = keys, size
        self.entries: dict[str, tuple[str, int]] = {}
        self.used: list[str] = []

    def use(self, key: str) -> None:
        if key in self.used:
            self.used.remove(key)
            self.used.append(key)

    def write(self, key: str, kind: str, size: int) -> list[str]:
        """Write; what had to go for it. Full if it cannot be."""
        gone: list[str] = []
        kept = dict(self.entries)
        spare = [other for other in self.used if other != key]
        while self._over(kept, key, size):
            if not spare:
                raise Full
            gone.append(spare.pop(0))
            del kept[gone[-1]]
        for other in [*gone, key]:
            self.remove(other)
        self.entries[key] = (kind, size)
        if kind == "cached":
            self.used.append(key)
        return gone

    def _over(self, kept: dict[str, tuple[str, int]], key: str, size: int) -> bool:
        before = kept.get(key)
        if before is None and len(kept) + 1 > self.keys:
            return True
        grows = before is None or size > before[1]
        return grows and sum(one[1] for one in {**kept, key: ("", size)}.values()) > self.bytes

    def remove(self, key: str) -> None:
        self.entries.pop(key, None)
        if key in self.used:
            self.used.remove(key)


class Walk(CheckedMachine):
    """One agent that fills the hub."""

    @initialize()
    def begin(self) -> None:
        self.machine = Machine(LIMITS, "epoch")
        bounds = Bounds()
        self.engine = Engine(self.machine, LateJournal, bounds, lambda: 1_000.0, INFO, loop=None)
        self.connection = Connection(bounds)
        self.ask("hello", agent="a")
        keyspace = self.machine.state.keyspace
        self.shelf = Shelf(LIMITS.keys - keyspace.keys, LIMITS.bytes - keyspace.bytes)

    def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        """The reply; what was evicted for it is in `evicted`, by revision."""
        self.engine._batch.clear()
        self.engine.submit(self.connection, decode(json.dumps({"id": 1, "op": op, **fields})))
        commits = [item for item in self.engine._batch if isinstance(item, Commit)]
        self.evicted = [[e.key for e in commit.events if e.type == "evict"] for commit in commits]
        assert all(not keys or len(keys) == len(c.events) for keys, c in zip(self.evicted, commits, strict=True))
        assert all(e.by == "$hub" for c in commits for e in c.events if e.type == "evict")
        (line,) = [item for item in self.engine._batch if isinstance(item, PendingReply)]
        reply: dict[str, Any] = json.loads(str(line.text))
        return reply

    def expect(self, reply: dict[str, Any], key: str, kind: str, size: int) -> None:
        try:
            gone = self.shelf.write(key, kind, size)
        except Full:
            assert reply["error"]["code"] == "limit"
            gone = []
        else:
            assert "ok" in reply, reply
        assert [key for keys in self.evicted for key in keys] == gone

    @rule(key=KEYS, kind=KINDS, size=SIZES)
    def set(self, key: str, kind: str, size: int) -> None:
        kept = self.machine.state.keyspace.get("default", key)
        history = [] if kept is None or kind != "versioned" else [kept, *kept.earlier]
        if history:  # its earlier versions count too
            return
        value = "x" * size
        self.expect(self.ask("set", key=key, value=value, kind=kind), key, kind, len(key) + size + 2)

    @rule(key=KEYS)
    def get(self, key: str) -> None:
        reply = self.ask("get", key=key)
        assert (reply["ok"]["entry"] is not None) == (key in self.shelf.entries)
        self.shelf.use(key)

    @rule(key=KEYS, size=st.integers(1, 20))
    def grow(self, key: str, size: int) -> None:
        """An update keeps its kind; the value it makes is longer."""
        kind, before = self.shelf.entries.get(key, ("persistent", len(key) + 2))
        if kind == "versioned":
            return
        if key not in self.shelf.entries:
            reply = self.ask("update", key=key, merge={"n": 1})
            self.expect(reply, key, "persistent", len(key) + len('{"n":1}'))
        else:
            text = json.loads(self.machine.state.keyspace.get("default", key).value)  # type: ignore[union-attr]
            if isinstance(text, dict):
                return
            patch = [{"op": "replace", "path": "", "value": text + "y" * size}]
            self.expect(self.ask("update", key=key, patch=patch), key, kind, before + size)

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        assert self.ask("delete", key=key)["ok"]["deleted"] == (key in self.shelf.entries)
        self.shelf.remove(key)

    @rule(keys=st.lists(KEYS, min_size=2, max_size=5, unique=True), size=SIZES, kind=KINDS)
    def txn(self, keys: list[str], size: int, kind: str) -> None:
        """Several at once: which is evicted is the hub's to choose, but only what is cached, the oldest first."""
        if kind == "versioned":
            return
        steps = [{"op": "set", "key": key, "value": "x" * size, "kind": kind} for key in keys]
        used = list(self.shelf.used)
        reply = self.ask("txn", **{"if": [], "then": steps})
        gone = [key for victims in self.evicted for key in victims]
        assert all(key in used for key in gone)
        spared = [key for key in used[: used.index(gone[-1])] if key not in gone] if gone else []
        assert all(key in keys for key in spared), "only what is being written is passed over"
        for key in gone:
            self.shelf.remove(key)
        if "ok" in reply:
            for key in keys:
                assert self.shelf.write(key, kind, len(key) + size + 2) == []
        else:
            assert reply["error"]["code"] == "limit"

    def check(self) -> None:
        self.machine.check()
        self.engine._lru.check()
        state = self.machine.state
        held = {
            key: (entry.kind, entry.size)
            for key in [f"k{number}" for number in range(8)]
            if (entry := state.keyspace.get("default", key)) is not None
        }
        assert held == self.shelf.entries
        assert [key for _, key in self.engine._lru._sizes] == self.shelf.used
        assert state.keyspace.keys <= LIMITS.keys
        assert state.keyspace.bytes <= LIMITS.bytes


@pytest.mark.parametrize("part", PARTS)
def test_hub_and_model_evict_the_same_entries(part: int) -> None:
    take_walks(Walk, walks=150, steps=40)
