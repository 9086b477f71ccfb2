"""Random walks: the hub against the model, with everything that can happen to an agent happening.

Each walk drives the real engine, machine and fan-out without a socket, a loop or a clock, beside a plain model of what
they should do. After every step state, log and replies are the same; every line that an agent takes out is the next
one it is owed; and when a walk ends and all is read, nobody has missed anything.

Limits are small, so that logs are compacted, readers fall behind and out, graves are forgotten and sessions refused.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from tests.walk.hub_harness import Agent, HubHarness
from tests.walk.walks import PARTS, CheckedMachine, take_walks
from waggle_hub.settings import Bounds, Limits

LIMITS = Limits(sessions=6, tombstones=3, log_events=14, ephemeral=2, subscriptions=3, outcomes=3, keys=22, clear=2,
                scan=6, history=2, grace=4.0, seen=6.0, snapshot_bytes=900)  # fmt: skip
BOUNDS = Bounds(unsent=700, frame=400, catchup_keys=2, catchup_events=3, conflated=3_000)

KEYS = st.sampled_from(["a", "a:1", "a:2", "b", "b:1", "ab:1"])
SPACES = st.sampled_from([None, "default", "other"])
PATTERNS = st.sampled_from(["*", "a*", "a:?", "*:1", "b", "?b*", "[ab]:*", "nothing*"])
TTLS = st.sampled_from([None, None, 0.125, 0.5, 1.0, 3.0, 8.0])
VALUES = st.sampled_from([None, 0, True, 1.5, "text", {"n": [1, {"m": None}]}, "ü" * 40])
TOLD = ["set", "delete", "expire", "evict", "touch", "message"]
TYPES = st.sampled_from([None, None, None, ["set", "delete", "expire", "touch", "message"], ["message", "touch"]])
UPDATES = st.sampled_from([
    {"incr": 1}, {"incr": -2}, {"incr": 0.5}, {"append": 1}, {"append": {"n": 1}},
    {"merge": {"n": None, "m": {"a": 1}}}, {"merge": 7}, {"merge": [1]},
    {"patch": [{"op": "add", "path": "/n", "value": [1]}]},
    {"patch": [{"op": "remove", "path": "/n"}, {"op": "add", "path": "/m", "value": 2}]},
    {"patch": [{"op": "test", "path": "", "value": 7}, {"op": "replace", "path": "", "value": []}]},
])  # fmt: skip
RIDS = st.sampled_from([None, None, None, "r1", "r2", "r3", "r4"])
STEPS = st.one_of(
    st.builds(lambda key, value, ttl: {"op": "set", "key": key, "value": value, "ttl": ttl}, KEYS, VALUES, TTLS),
    st.builds(lambda key, kind: {"op": "set", "key": key, "value": 7, "kind": kind}, KEYS,
              st.sampled_from(["persistent", "versioned"])),
    st.builds(lambda key: {"op": "set", "key": key, "value": "mine", "ephemeral": True}, KEYS),
    st.builds(lambda key: {"op": "set", "key": key, "value": 1, "if_rev": 0}, KEYS),
    st.builds(lambda key, ns: {"op": "delete", "key": key, "ns": ns}, KEYS, st.sampled_from(["default", "other"])),
    st.builds(lambda key, ttl: {"op": "touch", "key": key, "ttl": ttl}, KEYS, TTLS),
    st.builds(lambda key, how: {"op": "update", "key": key, **how}, KEYS, UPDATES),
    st.builds(lambda channel: {"op": "publish", "channel": channel, "data": "psst"}, KEYS),
)  # fmt: skip


def given_only(**asked: Any) -> dict[str, Any]:
    """The fields that were drawn: None is what is left out."""
    return {name: value for name, value in asked.items() if value is not None}


class Walk(CheckedMachine):
    """Everything an agent, time, the loop, the journal and the network can do."""

    @initialize(eager=st.booleans(), rev=st.sampled_from([0, 1_700_000_000_000_000]), lane=st.booleans())
    def begin(self, eager: bool, rev: int, lane: bool) -> None:
        self.harness = HubHarness(LIMITS, BOUNDS, rev, lane=lane)
        self.eager = eager
        self.versions: dict[tuple[str, str], int] = {}
        self.checked = rev
        for agent in self.harness.agents[:2]:
            self.harness.hello(agent, agent=agent.name)
            self.harness.ask(agent, "subscribe", patterns=["*"], snapshot=True, prev=True)

    def teardown(self) -> None:
        if hasattr(self, "harness"):
            self.harness.settle()
            self.harness.check()
            self.harness.check_rest()

    def agent(self, number: int) -> Agent:
        """A agent that has a session: the one with this number, or else another."""
        agents = self._with_session()
        return agents[number % len(agents)]

    def _with_session(self) -> tuple[Agent, ...]:
        return tuple(
            agent for agent in self.harness.agents if agent.session is not None and agent.connection is not None
        )

    def done(self) -> None:
        """In an eager walk, what was decided is shown at once."""
        if self.eager:
            self._show()

    def _show(self) -> None:
        self.harness.turn()
        self.harness.commit()

    # --- commands ---

    anybody = st.integers(0, 3)
    somebody_has_a_session = precondition(lambda self: bool(self._with_session()))

    @somebody_has_a_session
    @rule(
        n=anybody,
        key=KEYS,
        ns=SPACES,
        value=VALUES,
        ttl=TTLS,
        keep=st.sampled_from([None, None, True]),
        kind=st.sampled_from([None, "transient", "versioned"]),
        ephemeral=st.sampled_from([None, None, True]),
        meta=st.sampled_from([None, None, {}, {"host": "x"}]),
        if_rev=st.sampled_from([None, None, "absent", "right", "wrong"]),
        rid=RIDS,
    )
    def set(self, n: int, key: str, ns: str | None, value: Any, if_rev: str | None, keep: Any, **rest: Any) -> None:
        item = self.harness.model.entries.get((ns or "default", key))
        there = 0 if item is None else item.rev
        rev = {None: None, "absent": 0, "right": there, "wrong": there + 1}[if_rev]
        asked = given_only(key=key, ns=ns, if_rev=rev, keep_ttl=keep, **rest)
        self.harness.ask(self.agent(n), "set", **asked, value=value)
        self.done()

    @somebody_has_a_session
    @rule(n=anybody, op=st.sampled_from(["get", "get", "history", "ping", "namespaces", "hello"]), key=KEYS,
          ns=st.sampled_from([None, "other", "$agents", "$seen"]))  # fmt: skip
    def look(self, n: int, op: str, key: str, ns: str | None) -> None:
        asked = given_only(key=f"agent-{n}" if ns and ns[0] == "$" else key, ns=ns)
        self.harness.ask(self.agent(n), op, **asked if op in ("get", "history") else {})
        self.done()

    @somebody_has_a_session
    @rule(n=anybody, key=KEYS, ns=SPACES, right=st.sampled_from([None, None, True, False]), rid=RIDS)
    def delete(self, n: int, key: str, ns: str | None, right: bool | None, rid: str | None) -> None:
        item = self.harness.model.entries.get((ns or "default", key))
        rev = None if right is None else (item.rev if item else 0) + (not right)
        self.harness.ask(self.agent(n), "delete", **given_only(key=key, ns=ns, if_rev=rev, rid=rid))
        self.done()

    @somebody_has_a_session
    @rule(n=anybody, key=KEYS, ns=SPACES, ttl=TTLS, rid=RIDS)
    def touch(self, n: int, key: str, ns: str | None, ttl: float | None, rid: str | None) -> None:
        self.harness.ask(self.agent(n), "touch", **given_only(key=key, ns=ns, rid=rid), ttl=ttl)
        self.done()

    @somebody_has_a_session
    @rule(n=anybody, ns=st.sampled_from(["default", "other", "$agents"]), pattern=PATTERNS, limit=st.integers(1, 4),
          values=st.booleans())  # fmt: skip
    def list(self, n: int, ns: str, pattern: str, limit: int, values: bool) -> None:
        self.harness.list_all(self.agent(n), ns, pattern, limit, values)
        self.done()

    @somebody_has_a_session
    @rule(n=anybody, ns=SPACES, pattern=PATTERNS, rid=RIDS)
    def clear(self, n: int, ns: str | None, pattern: str, rid: str | None) -> None:
        self.harness.ask(self.agent(n), "clear", **given_only(pattern=pattern, ns=ns, rid=rid), confirm=True)
        self.done()

    @somebody_has_a_session
    @rule(n=anybody, key=KEYS, ns=SPACES, how=UPDATES, ttl=TTLS, rid=RIDS)
    def update(self, n: int, how: dict[str, Any], **asked: Any) -> None:
        self.harness.ask(self.agent(n), "update", **given_only(**asked), **how)
        self.done()

    @somebody_has_a_session
    @rule(n=anybody, holds=st.sampled_from(["always", "there", "absent", "rev", "equals"]), key=KEYS,
          then=st.lists(STEPS, max_size=4), otherwise=st.lists(STEPS, max_size=2), rid=RIDS)  # fmt: skip
    def txn(self, n: int, holds: str, key: str, then: Any, otherwise: Any, rid: str | None) -> None:
        conditions = {
            "always": [],
            "there": [{"key": key, "exists": True}],
            "absent": [{"key": key, "exists": False}],
            "rev": [{"key": key, "ns": "default", "rev": 0}],
            "equals": [{"key": key, "equals": 7}],
        }[holds]
        asked = {"if": conditions, "then": then, "else": otherwise}
        self.harness.ask(self.agent(n), "txn", **asked, **given_only(rid=rid))
        self.done()

    @somebody_has_a_session
    @rule(n=anybody, channel=KEYS, ns=SPACES, data=VALUES, rid=RIDS)
    def publish(self, n: int, channel: str, ns: str | None, data: Any, rid: str | None) -> None:
        self.harness.ask(self.agent(n), "publish", **given_only(channel=channel, ns=ns, rid=rid), data=data)
        self.done()

    @somebody_has_a_session
    @rule(n=anybody, status=VALUES, rid=RIDS)
    def status(self, n: int, status: Any, rid: str | None) -> None:
        self.harness.ask(self.agent(n), "status", **given_only(rid=rid), status=status)
        self.done()

    @somebody_has_a_session
    @rule(n=anybody, times=st.integers(2, 12), turns=st.booleans())
    def flood(self, n: int, times: int, turns: bool) -> None:
        """Much at once: slow readers fall behind, and out of the log."""
        for number in range(times):
            self.harness.ask(self.agent(n), "publish", channel="a:1", data="x" * 60 + str(number))
            if turns:
                self.harness.turn()
        self.done()

    @somebody_has_a_session
    @rule(
        n=anybody,
        slow=anybody,
        rounds=st.integers(1, 5),
        times=st.integers(4, 20),
        reads=st.integers(0, 4),
        own=st.booleans(),
        then=st.sampled_from(["read", "read", "take over", "drop", "idle"]),
    )
    def outrun(self, n: int, slow: int, rounds: int, times: int, reads: int, own: bool, then: str) -> None:
        """One agent hardly reads while another writes, and then something happens to it."""
        writer, reader = self.agent(n), self.agent(slow)
        for number in range(rounds * times):
            self.harness.ask(writer, "publish", channel="b", data=number)
            if number % 5 == 4 and own and writer is not reader:
                self.harness.ask(reader, "publish", channel="b", data="own")
            self.harness.turn()
            self.harness.commit()
            if writer is not reader:
                self.harness.read(writer, 3)
            if number % times == times - 1:
                self.harness.read(reader, reads)
            if any(agent.connection is None or agent.session is None for agent in (writer, reader)):
                return
        self.harness.read(reader, reads)
        if then == "idle":
            self.harness.fanout.mark_idle()
        elif then == "drop":
            self.drop(self.harness.agents.index(reader))
        elif then == "take over":
            self.take_over(self.harness.agents.index(reader), forgetful=False, leave_first=False)
        self.done()

    @somebody_has_a_session
    @rule(n=anybody, key=KEYS, ttl=st.sampled_from([0.125, 0.5]), later=st.sampled_from([None, 8.0]))
    def keep_alive(self, n: int, key: str, ttl: float, later: float | None) -> None:
        """An entry is touched just before its deadline, and the deadline that it had passes."""
        agent = self.agent(n)
        self.harness.ask(agent, "set", key=key, value="kept", ttl=ttl)
        self.done()
        if self.harness.model.stays.get(agent.session or "") is not None:
            self.harness.ask(self.agent(n), "subscribe", patterns=["*"], snapshot=True)
        self.done()
        self.harness.ask(agent, "touch", key=key, ttl=later)
        self.harness.now += ttl
        self.done()

    @somebody_has_a_session
    @rule(n=anybody, case=st.sampled_from(["ttl", "keep_ttl", "forbidden", "unsubscribe", "since"]))
    def ask_what_is_refused(self, n: int, case: str) -> None:
        refused: dict[str, tuple[str, dict[str, Any]]] = {
            "ttl": ("set", {"key": "a", "value": 1, "ttl": 0}),
            "keep_ttl": ("set", {"key": "a", "value": 1, "ttl": 1, "keep_ttl": True}),
            "forbidden": ("set", {"key": "a", "value": 1, "ns": "$agents"}),
            "unsubscribe": ("unsubscribe", {"sub": 1_000_000}),
            "since": ("subscribe", {"patterns": ["*"], "since": {"epoch": "epoch", "rev": self.harness.model.rev + 9}}),
        }
        op, asked = refused[case]
        assert "error" in self.harness.ask(self.agent(n), op, **asked)
        self.done()

    # --- subscriptions ---

    @somebody_has_a_session
    @rule(
        n=anybody,
        patterns=st.lists(PATTERNS, min_size=1, max_size=3),
        ns=st.sampled_from([None, "*", "*", "other", "$agents"]),
        types=TYPES,
        values=st.sampled_from([None, False]),
        prev=st.sampled_from([None, True]),
        snapshot=st.booleans(),
        echo=st.sampled_from([None, None, False]),
        conflate=st.sampled_from([None, None, None, 0.5, 3.0, 3_601.0]),
        since=st.sampled_from([None, None, "now", "before", "long ago", "floor", "another life"]),
    )
    def subscribe(self, n: int, patterns: Any, snapshot: bool, since: str | None, **rest: Any) -> None:
        rev = self.harness.model.rev
        back = {"now": 0, "before": 3, "long ago": 15, "floor": rev - self.harness.model.floor, "another life": 0}
        asked = given_only(patterns=patterns, snapshot=snapshot, **rest)
        if since is not None:
            epoch = "gone" if since == "another life" else "epoch"
            asked["since"] = {"epoch": epoch, "rev": max(0, rev - back[since])}
        self.harness.ask(self.agent(n), "subscribe", **asked)
        self.done()

    @somebody_has_a_session
    @rule(n=anybody, which=st.integers(0, 5))
    def unsubscribe(self, n: int, which: int) -> None:
        agent = self.agent(n)
        assert agent.session is not None
        subs = sorted(self.harness.model.stays[agent.session].subs) if agent.session in self.harness.model.stays else []
        if subs:
            self.harness.ask(agent, "unsubscribe", sub=subs[which % len(subs)])
            self.done()

    @somebody_has_a_session
    @rule(
        n=anybody,
        later=anybody,
        steps=st.lists(STEPS, min_size=2, max_size=6),
        more=st.lists(STEPS, max_size=4),
        snapshot=st.booleans(),
        echo=st.sampled_from([None, False]),
        then=st.sampled_from(["wait", "wait", "wait", "idle", "outrun", "take over"]),
    )
    def conflate(self, n: int, later: int, steps: Any, more: Any, snapshot: bool, echo: Any, then: str) -> None:
        """Two agents follow the latest of everything, one of them from the middle of an interval on."""
        asked = {"patterns": ["*"], "ns": "default", "types": [*TOLD], "conflate": 2.0}
        for number, changes, fields in ((n, steps, {"snapshot": snapshot}), (later, more, given_only(echo=echo))):
            for agent in self.harness.agents:
                self.harness.read(agent, 20)
            if not self._with_session():
                return
            self.harness.ask(self.agent(number), "subscribe", **asked, **fields)
            self._show()
            for step in changes:
                self.harness.ask(self.agent(n + later), **{"ns": "default", **step})
            self._show()
        if then == "idle":
            self.harness.fanout.mark_idle()
        elif then == "outrun":
            self.flood(n + later, times=10, turns=False)
        elif then == "take over":
            self.take_over(self.harness.agents.index(self.agent(later)), forgetful=False, leave_first=False)
        self.harness.now += 2.0
        self.harness.deliver()
        for agent in self.harness.agents:
            self.harness.read(agent, 20)

    # --- sessions ---

    @rule(n=anybody, named=st.booleans(), ns=st.sampled_from([None, None, "other"]),
          meta=st.sampled_from([None, {"role": "tester"}]))  # fmt: skip
    def hello(self, n: int, named: bool, ns: str | None, meta: Any) -> None:
        agent = self.harness.agents[n]
        if agent.connection is None or agent.session is None:
            name = self.harness.agents[n % 3].name if named else None
            self.harness.hello(agent, **given_only(agent=name, ns=ns, meta=meta))
            self.done()

    @rule(n=anybody, forgetful=st.booleans(), leave_first=st.booleans())
    def take_over(self, n: int, forgetful: bool, leave_first: bool) -> None:
        agent = self.harness.agents[n]
        if agent.session is not None:
            self.harness.take_over(agent, set(agent.follows) if forgetful else set(), leave_first)
            self.done()

    @rule(n=anybody, case=st.sampled_from(["secret", "session", "ahead"]))
    def take_over_what_is_not_mine(self, n: int, case: str) -> None:
        agent = self.harness.agents[n]
        if agent.session is not None:
            changed: dict[str, dict[str, Any]] = {
                "secret": {"secret": "wrong"},
                "session": {"session": "s-0"},
                "ahead": {"cursors": {"1": self.harness.model.rev + 1_000}},
            }
            asked = {"session": agent.session, "secret": agent.secret, **changed[case]}
            self.harness.refused_hello(agent, **asked)
            self.done()

    @rule(n=anybody)
    def drop(self, n: int) -> None:
        agent = self.harness.agents[n]
        if agent.connection is not None:
            self.harness.leave(agent)
            self.done()

    @somebody_has_a_session
    @rule(n=anybody, sure=st.integers(0, 3))
    def bye(self, n: int, sure: int) -> None:
        if sure == 0:
            self.harness.ask(self.agent(n), "bye")
            self.done()

    @precondition(lambda self: self.harness.orphans)
    @rule(heard=st.booleans())
    def an_older_connection_ends(self, heard: bool) -> None:
        orphan = self.harness.orphans.pop()
        if heard:
            self.harness.refused_orphan(orphan)
        if orphan.replaced and not self._not_yet_told():
            assert orphan.closing is not None
            assert orphan.closing[0] == 4002
        self.harness.hang_up(orphan, None)
        self.done()

    # --- time, the loop, the journal, the network ---

    @rule(eighths=st.sampled_from([0, 1, 1, 4, 8, 24, 40]))
    def time_passes(self, eighths: int) -> None:
        self.harness.now += eighths / 8

    @rule(expire=st.booleans())
    def a_deadline_comes(self, expire: bool) -> None:
        deadline = self.harness.model.next_deadline()
        if deadline is not None and deadline > self.harness.now:
            self.harness.now = deadline
        if expire:
            self.expire(250)

    @rule(most=st.sampled_from([1, 2, 250]))
    def expire(self, most: int) -> None:
        self.harness.expire(most)
        self.done()

    @rule(commits=st.sampled_from([0, 1, 1_000]))
    def the_loop_turns(self, commits: int) -> None:
        self.harness.turn()
        self.harness.commit(commits)

    @rule(n=anybody, writes=st.sampled_from([1, 2, 3, 10, 60]))
    def read(self, n: int, writes: int) -> None:
        self.harness.read(self.harness.agents[n], writes)
        self.done()

    @rule()
    def everybody_reads_everything(self) -> None:
        self.harness.settle()
        self.harness.check_rest()

    @rule()
    def what_is_due_of_conflated_subscriptions_is_delivered(self) -> None:
        self.harness.deliver()

    @rule()
    def idle_agents_hear_a_mark(self) -> None:
        self.harness.fanout.mark_idle()

    # --- what always holds ---

    def check(self) -> None:
        self.harness.check()

    @invariant()
    def versions_only_grow(self) -> None:
        """Over deletes, and over graves that were forgotten, too."""
        if hasattr(self, "harness"):
            log = self.harness.machine.state.log
            for commit in log.commits_after(max(self.checked, log.floor)):
                for event in commit.events:
                    if event.type == "set":
                        assert event.entry is not None
                        assert event.entry.version > self.versions.get((event.ns, event.key), 0)
                        self.versions[event.ns, event.key] = event.entry.version
            self.checked = log.rev

    @invariant()
    def what_a_session_held_is_gone_with_it(self) -> None:
        if hasattr(self, "harness"):
            state = self.harness.machine.state
            owners = {item.owner for item in self.harness.model.entries.values()} - {None}
            assert (
                owners
                == {entry.owner for entry in state.keyspace.ephemeral_entries()}
                <= self.harness.model.stays.keys()
            )
            assert self._not_yet_told() or self.harness.fanout._cursors.keys() <= self.harness.model.stays.keys()

    def _not_yet_told(self) -> bool:
        """Whether something that was decided has not been released."""
        return bool(self.harness.engine._batch or self.harness.journal.waiting)


@pytest.mark.parametrize("part", PARTS)
def test_hub_and_model_agree_after_whatever_agents_time_and_network_do(part: int) -> None:
    take_walks(Walk, walks=300, steps=70)
