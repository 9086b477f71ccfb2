"""Random walks over the lives of a hub: it crashes, is stopped and started again, and its journal fails and recovers.

Whatever was seen is there afterwards, nothing is seen that was taken back, and every agent that comes back goes on
where it was, or is told why it cannot (G2, G5, G7 to G10).

Limits are small, so that the log is compacted, graves are forgotten, and looking takes several slices.
"""

from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from tests.walk.restart_harness import Agent, RestartHarness
from tests.walk.walks import PARTS, CheckedMachine, take_walks
from waggle_hub.settings import Bounds, Limits
from waggle_hub.state.persistence import recovery
from waggle_hub.state.store import tombstones

LIMITS = Limits(sessions=9, tombstones=4, log_events=40, ephemeral=3, subscriptions=5, keys=34, clear=3, scan=3,
                history=2, work_queues=3, grace=4.0, seen=30.0, snapshot_bytes=2_000)  # fmt: skip
BOUNDS = Bounds(unsent=900, frame=500, catchup_keys=3, catchup_events=4, conflated=3_000)

KEYS = st.sampled_from(["a", "a:1", "a:2", "b", "b:1"])
SPACES = st.sampled_from([None, None, "default", "other", "third"])
PATTERNS = st.sampled_from(["*", "a*", "a:?", "*:1", "b"])
TTLS = st.sampled_from([None, None, 0.5, 3.0, 8.0])
KINDS = st.sampled_from([None, None, None, "transient", "cached", "versioned", "versioned"])
VALUES = st.sampled_from([None, 0, 1.5, "text", {"n": [1, {"m": None}]}, "ü" * 40])
TYPES = st.sampled_from([None, None, ["set", "delete", "expire", "touch", "message"], ["message", "touch"],
                         ["lock", "unlock", "renew", "queue"]])  # fmt: skip
RIDS = st.sampled_from([None, None, None, "r1", "r2", "r3", "r4", "r5"])
STEPS = st.one_of(
    st.builds(lambda key, value, ttl: {"op": "set", "key": key, "value": value, "ttl": ttl}, KEYS, VALUES, TTLS),
    st.builds(lambda key, kind: {"op": "set", "key": key, "value": 7, "kind": kind or "persistent"}, KEYS, KINDS),
    st.builds(lambda key: {"op": "set", "key": key, "value": 1, "if_rev": 0}, KEYS),
    st.builds(lambda key: {"op": "delete", "key": key}, KEYS),
    st.builds(lambda key, ttl: {"op": "touch", "key": key, "ttl": ttl}, KEYS, TTLS),
    st.builds(lambda channel: {"op": "publish", "channel": channel, "data": "psst"}, KEYS),
)  # fmt: skip
CONDITIONS = st.one_of(
    st.builds(lambda key, value: {"key": key, "where": {"value": value}}, KEYS, VALUES),
    st.builds(lambda key: {"key": key, "absent": True}, KEYS),
    st.builds(lambda pattern, count: {"pattern": pattern, "count": count}, PATTERNS, st.integers(1, 4)),
    st.builds(lambda pattern: {"pattern": pattern, "unlocked": True}, PATTERNS),
    st.builds(lambda key: {"key": key, "since": 0, "ns": "other"}, KEYS),
)

NAMES = st.sampled_from(["a", "b:1"])


def _write(key: str, ns: str | None, kind: str | None) -> dict[str, Any]:
    return {"op": "set", "key": key, "ns": ns, "kind": kind, "value": 7}


PATIENCE = st.sampled_from([2.0, 60.0])
FEW = st.sampled_from(["a", "a:1", "b:1"])
HERE = st.sampled_from([None, None, "other"])
ASKS = st.lists(
    st.one_of(
        st.builds(_write, FEW, HERE, KINDS),
        st.builds(_write, FEW, HERE, KINDS),
        st.builds(lambda key, ns: {"op": "delete", "key": key, "ns": ns}, FEW, HERE),
        st.builds(lambda key, ns: {"op": "delete", "key": key, "ns": ns}, FEW, HERE),
        st.builds(lambda key, ttl: {"op": "touch", "key": key, "ttl": ttl or 1.0}, FEW, TTLS),
        st.builds(lambda steps: {"op": "txn", "if": [], "then": steps}, st.lists(STEPS, max_size=3)),
        st.builds(lambda channel, ns: {"op": "publish", "channel": channel, "ns": ns, "data": 1}, FEW, HERE),
        st.builds(lambda name, ttl: {"op": "lock", "name": name, "wait": None, "ttl": ttl or 1.0}, NAMES, TTLS),
        st.builds(lambda text, rid: {"op": "take", "patterns": [text], "timeout": None, "rid": rid}, PATTERNS, RIDS),
        st.builds(lambda one, timeout: {"op": "wait", "all": [one], "timeout": timeout}, CONDITIONS, PATIENCE),
        st.builds(lambda text: {"op": "subscribe", "patterns": [text], "ns": "*", "snapshot": True}, PATTERNS),
        st.builds(lambda value: {"op": "status", "status": value}, st.integers(0, 3)),
        *(st.just({"op": op}) for op in ("with a lock", "with a lock", "take over", "drop", "tick")),
    ),
    max_size=5,
)
"""What happens in one go, each by another agent."""


def given_only(**asked: Any) -> dict[str, Any]:
    """The fields that were drawn: None is what is left out."""
    return {name: value for name, value in asked.items() if value is not None}


class Walk(CheckedMachine):
    """ExpectedStore that can happen to a hub and its agents."""

    @initialize(eager=st.booleans(), ahead=st.sampled_from([(1_000_000, 10_000, 1_000), (120, 8, 4)]))
    def begin(self, eager: bool, ahead: tuple[int, int, int]) -> None:
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(logging.getLogger("waggle_hub"), "disabled", True)
        self.patch.setattr(recovery, "_RESERVED_REVS", ahead[0])
        self.patch.setattr(recovery, "_RESERVED_SUBS", ahead[1])
        self.patch.setattr(tombstones, "_CEILING_STEP", ahead[2])
        self.harness = RestartHarness(LIMITS, BOUNDS)
        self.eager = eager
        for agent in self.harness.agents[:2]:
            self.harness.hello(agent, agent=agent.name)
            self.harness.ask(agent, "subscribe", patterns=["*"], snapshot=True, prev=True)
        self.harness.settle()

    def teardown(self) -> None:
        if hasattr(self, "harness"):
            try:
                self.harness.end()
            finally:
                self.patch.undo()

    def agent(self, number: int) -> Agent:
        """An agent that sits: the one with this number, or else another."""
        connected = self._connected()
        return connected[number % len(connected)]

    def _connected(self) -> list[Agent]:
        return [agent for agent in self.harness.agents if agent.is_connected]

    def ask(self, n: int, op: str, **asked: Any) -> None:
        agent = self.agent(n)
        given = given_only(**asked)
        self.harness.ask(agent, op, **given)
        if self.eager:
            self.harness.show()

    anybody = st.integers(0, 3)
    somebody_is_connected = precondition(lambda self: bool(self._connected()))

    # --- entries ---

    @somebody_is_connected
    @rule(n=anybody, key=KEYS, ns=SPACES, value=VALUES, ttl=TTLS, kind=KINDS, rid=RIDS,
          ephemeral=st.sampled_from([None, None, True]), if_rev=st.sampled_from([None, None, None, 0]),
          meta=st.sampled_from([None, None, {"host": "x"}]))  # fmt: skip
    def set(self, n: int, value: Any, **asked: Any) -> None:
        self.ask(n, "set", **asked, value=1 if value is None else value)

    @somebody_is_connected
    @rule(n=anybody, key=KEYS, ns=SPACES, kinds=st.lists(KINDS, min_size=2, max_size=6))
    def overwrite(self, n: int, key: str, ns: str | None, kinds: list[str | None]) -> None:
        """One key, again and again, with this and that kind."""
        for number, kind in enumerate(kinds):
            self.ask(n, "set", key=key, ns=ns, kind=kind, value=number)

    @somebody_is_connected
    @rule(n=anybody, key=KEYS, ns=SPACES, rid=RIDS)
    def delete(self, n: int, **asked: Any) -> None:
        self.ask(n, "delete", **asked)

    @somebody_is_connected
    @rule(n=anybody, key=KEYS, ns=SPACES, ttl=TTLS, rid=RIDS)
    def touch(self, n: int, ttl: Any, **asked: Any) -> None:
        self.harness.ask(self.agent(n), "touch", **given_only(**asked), ttl=ttl)

    @somebody_is_connected
    @rule(n=anybody, key=KEYS, ns=SPACES, ttl=TTLS, rid=RIDS)
    def update(self, n: int, **asked: Any) -> None:
        self.ask(n, "update", **asked, incr=1)

    @somebody_is_connected
    @rule(n=anybody, steps=st.lists(STEPS, min_size=1, max_size=5), rid=RIDS)
    def txn(self, n: int, steps: Any, rid: str | None) -> None:
        self.ask(n, "txn", **{"if": [], "then": steps}, rid=rid)

    @somebody_is_connected
    @rule(n=anybody, ns=SPACES, pattern=PATTERNS)
    def clear(self, n: int, **asked: Any) -> None:
        self.ask(n, "clear", **asked, confirm=True)

    @somebody_is_connected
    @rule(n=anybody, channel=KEYS, ns=SPACES, data=VALUES, rid=RIDS)
    def publish(self, n: int, data: Any, **asked: Any) -> None:
        self.ask(n, "publish", **asked, data=data or 0)

    @somebody_is_connected
    @rule(n=anybody, status=VALUES)
    def status(self, n: int, status: Any) -> None:
        self.ask(n, "status", status=status or 0)

    @somebody_is_connected
    @rule(n=anybody, op=st.sampled_from(["get", "get", "history", "ping", "locks", "inspect"]), key=KEYS,
          ns=st.sampled_from(["default", "other"]))  # fmt: skip
    def look(self, n: int, op: str, key: str, ns: str) -> None:
        self.ask(n, op, **{"key": key, "ns": ns} if op in ("get", "history") else {})

    # --- subscriptions ---

    @somebody_is_connected
    @rule(n=anybody, patterns=st.lists(PATTERNS, min_size=1, max_size=2), types=TYPES,
          ns=st.sampled_from([None, "*", "*", "other", "third", "$agents"]), snapshot=st.booleans(),
          prev=st.sampled_from([None, True]), echo=st.sampled_from([None, None, False]),
          conflate=st.sampled_from([None, None, None, 1.0]))  # fmt: skip
    def subscribe(self, n: int, **asked: Any) -> None:
        self.ask(n, "subscribe", **asked)

    @somebody_is_connected
    @rule(n=anybody, which=st.integers(0, 5))
    def unsubscribe(self, n: int, which: int) -> None:
        agent = self.agent(n)
        subs = sorted(agent.readers)
        if subs:
            self.harness.ask(agent, "unsubscribe", sub=subs[which % len(subs)])

    # --- locks, waits, work ---

    @somebody_is_connected
    @rule(n=anybody, what=st.sampled_from([{"name": "a"}, {"name": "b"}, {"names": ["a", "b:1"]}, {"pattern": "a*"},
                                           {"patterns": ["*:1", "b"]}]),
          ns=SPACES, mode=st.sampled_from([None, None, "shared"]), wait=st.sampled_from([0, 2.0, None, None]),
          ttl=st.sampled_from([None, 0.5, 6.0]), task=st.sampled_from([None, "t"]), rid=RIDS)  # fmt: skip
    def lock(self, n: int, what: Any, wait: Any, **asked: Any) -> None:
        self.harness.ask(self.agent(n), "lock", **what, **given_only(**asked), wait=wait)
        if self.eager:
            self.harness.show()

    @somebody_is_connected
    @precondition(lambda self: self.harness.machine.state.lock_table.held)
    @rule(n=anybody, which=st.integers(0, 5), op=st.sampled_from(["unlock", "unlock", "renew", "force", "finish"]),
          ttl=st.sampled_from([None, 0.5, 9.0]))  # fmt: skip
    def with_a_lock(self, n: int, which: int, op: str, ttl: float | None) -> None:
        held = list(self.harness.machine.state.lock_table.held.values())
        claim = held[which % len(held)]
        owners = [number for number, agent in enumerate(self._connected()) if _session_of(agent) == claim.session.id]
        n = owners[0] if owners else n
        if op == "finish":
            self.ask(n, "delete", key=claim.keys[0], ns=claim.ns, guard={"token": claim.token})
        elif op == "force":
            self.ask(n, "unlock", token=claim.token, force=True, reason="walked")
        elif op == "renew":
            self.ask(n, "renew", token=claim.token, ttl=ttl)
        else:
            self.ask(n, "unlock", token=claim.token)

    @somebody_is_connected
    @rule(n=anybody, conditions=st.lists(CONDITIONS, min_size=1, max_size=2), need=st.sampled_from(["all", "any"]),
          timeout=st.sampled_from([0, 2.0, 6.0, 100.0]))  # fmt: skip
    def wait(self, n: int, conditions: Any, need: str, timeout: float) -> None:
        self.ask(n, "wait", **{need: conditions}, timeout=timeout)

    @somebody_is_connected
    @rule(n=anybody, patterns=st.lists(PATTERNS, min_size=1, max_size=2), ns=SPACES, rid=RIDS,
          timeout=st.sampled_from([0, 2.0, None, None]), lease=st.sampled_from([None, 0.5, 6.0]),
          max_deliveries=st.sampled_from([None, None, 1, 2]))  # fmt: skip
    def take(self, n: int, timeout: Any, **asked: Any) -> None:
        self.harness.ask(self.agent(n), "take", **given_only(**asked), timeout=timeout)
        if self.eager:
            self.harness.show()

    @somebody_is_connected
    @rule(n=anybody, which=st.integers(0, 5))
    def cancel(self, n: int, which: int) -> None:
        agent = self.agent(n)
        ids = [id for id in agent.open if id not in agent.next]
        if ids:
            self.harness.ask(agent, "cancel", target=ids[which % len(ids)])

    @somebody_is_connected
    @rule(n=anybody, which=st.integers(0, 5))
    def ask_again(self, n: int, which: int) -> None:
        """The rid of something that waits, or was done, is asked once more."""
        agent = self.agent(n)
        known = [asked for asked in agent.asked.values() if "rid" in asked and asked["op"] in ("lock", "take", "set")]
        if known:
            asked = dict(known[-1 - which % len(known)])
            rid = asked.pop("rid").split(" ", 1)[1]
            self.harness.ask(agent, asked.pop("op"), **asked, rid=rid)

    @somebody_is_connected
    @rule(n=anybody, key=KEYS, kind=KINDS, give_up=st.booleans(), most=st.sampled_from([None, 1]))
    def work(self, n: int, key: str, kind: str | None, give_up: bool, most: int | None) -> None:
        """Something to do is taken, and perhaps given up."""
        agent = self.agent(n)
        self.harness.ask(agent, "set", **given_only(key=key, kind=kind), value="work")
        self.harness.ask(agent, "take", **given_only(patterns=[key], max_deliveries=most), timeout=60.0)
        self.harness.engine.continue_scan()
        claim = self.harness.machine.state.lock_table.taken.get(("default", key))
        if give_up and claim is not None:
            self.harness.ask(agent, "unlock", token=claim.token)

    # --- agents ---

    @rule(n=anybody, ns=st.sampled_from([None, "other"]), how=st.sampled_from(["new", "back", "back", "back"]))
    def hello(self, n: int, ns: str | None, how: str) -> None:
        agent = self.harness.agents[n]
        if agent.is_connected:
            return
        if how == "back":
            self.harness.come_back(agent, **given_only(agent=agent.name, ns=ns))
        else:
            self.harness.hello(agent, **given_only(agent=None if n == 3 else agent.name, ns=ns))

    @rule(n=anybody, forget=st.sampled_from([False, False, False, True]), leave_first=st.booleans())
    def take_over(self, n: int, forget: bool, leave_first: bool) -> None:
        agent = self.harness.agents[n]
        if agent.session is not None:
            self.harness.take_over(agent, forget, leave_first)

    @rule(n=anybody)
    def drop(self, n: int) -> None:
        agent = self.harness.agents[n]
        if agent.connection is not None:
            self.harness.leave(agent)

    @somebody_is_connected
    @rule(n=anybody, sure=st.integers(0, 3))
    def bye(self, n: int, sure: int) -> None:
        if sure == 0:
            self.ask(n, "bye")

    @precondition(lambda self: self.harness.orphans)
    @rule()
    def older_connections_end(self) -> None:
        self.harness.end_orphans()

    # --- time, the loop, the network ---

    @rule(seconds=st.sampled_from([0.125, 0.5, 2.0, 5.0]), tick=st.booleans())
    def time_passes(self, seconds: float, tick: bool) -> None:
        self.harness.now += seconds
        if tick:
            self.harness.tick()

    @rule(turns=st.sampled_from([1, 1, 3]), commits=st.sampled_from([0, 0, 1, 1_000]))
    def the_loop_turns(self, turns: int, commits: int) -> None:
        for _ in range(turns):
            self.harness.turn()
            self.harness.engine.continue_scan()
        self.harness.commit(commits)

    @rule(n=anybody, writes=st.sampled_from([1, 3, 60]))
    def read(self, n: int, writes: int) -> None:
        self.harness.read(self.harness.agents[n], writes)

    @rule()
    def everybody_reads_everything(self) -> None:
        self.harness.settle()
        self.harness.check_rest()

    @rule()
    def idle_agents_hear_a_mark(self) -> None:
        self.harness.deliver()
        self.harness.fanout.mark_idle()

    # --- what a hub does not survive, or does ---

    @rule(landed=st.sampled_from([0, 0, 1, 2, 1_000]), down=st.sampled_from([0.0, 1.0, 7.0, 50.0]), back=st.booleans())
    def crash(self, landed: int, down: float, back: bool) -> None:
        self.harness.crash(landed, down)
        if back:
            self.all_come_back()

    @rule(leave_first=st.booleans(), down=st.sampled_from([0.0, 1.0, 7.0]), back=st.booleans())
    def stop(self, leave_first: bool, down: float, back: bool) -> None:
        self.harness.stop(leave_first, down)
        if back:
            self.all_come_back()

    def all_come_back(self) -> None:
        for agent in self.harness.agents:
            if agent.session is not None:
                self.harness.take_over(agent, forget=False, leave_first=True)

    @precondition(lambda self: not self.harness.failing)
    @rule(turns=st.integers(0, 1))
    def the_journal_fails(self, turns: int) -> None:
        if turns or not self.harness.journal.waiting:
            self.harness.turn()
        self.harness.fail()

    @precondition(lambda self: self.harness.failing)
    @rule()
    def the_journal_recovers(self) -> None:
        self.harness.recover()

    def do(self, n: int, asks: list[dict[str, Any]]) -> None:
        for number, asked in enumerate(asks, n):
            fields = {name: value for name, value in asked.items() if name in ("wait", "timeout") or value is not None}
            op = fields.pop("op")
            if op == "tick":
                self.time_passes(2.0, tick=True)
            elif op == "drop":
                self.drop(number % 4)
            elif op == "take over":
                self.take_over(number % 4, forget=False, leave_first=False)
            elif not self._connected():
                return
            elif op == "with a lock":
                if self.harness.machine.state.lock_table.held:
                    self.with_a_lock(number, number, ["unlock", "renew", "finish"][number % 3], None)
            else:
                self.harness.ask(self.agent(number), op, **fields)

    @precondition(lambda self: not self.harness.failing)
    @rule(n=anybody, kept=ASKS, lost=ASKS, meanwhile=ASKS, recovers=st.booleans(), after=ASKS,
          end=st.sampled_from(["", "crash", "stop"]))  # fmt: skip
    def fail_in_the_middle(
        self, n: int, kept: Any, lost: Any, meanwhile: Any, recovers: bool, after: Any, end: str
    ) -> None:  # fmt: skip
        self.do(n, kept)
        self.harness.show()
        self.do(n, lost)
        self.harness.turn()
        self.harness.fail()
        self.do(n, meanwhile)
        self.harness.engine.continue_scan()
        if recovers:
            self.harness.recover()
        self.do(n, after)
        if end == "crash":
            self.harness.show()
            self.crash(landed=0, down=1.0, back=True)
        elif end == "stop":
            self.stop(leave_first=False, down=1.0, back=True)
        self.do(n, after)

    @rule(
        n=anybody, kept=ASKS, lost=ASKS, landed=st.sampled_from([0, 0, 1]), down=st.sampled_from([0.0, 3.0]), after=ASKS
    )
    def crash_in_the_middle(self, n: int, kept: Any, lost: Any, landed: int, down: float, after: Any) -> None:
        self.do(n, kept)
        self.harness.show()
        self.do(n, lost)
        self.harness.turn()
        self.crash(landed, down, back=True)
        self.do(n, after)

    def check(self) -> None:
        self.harness.check()


def _session_of(agent: Agent) -> str | None:
    return None if agent.connection is None else agent.connection.session


@pytest.mark.parametrize("part", PARTS)
def test_hub_and_oracle_agree_after_crashes_restarts_and_failures(part: int) -> None:
    take_walks(Walk, walks=150, steps=60)
