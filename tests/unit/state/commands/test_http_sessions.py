"""Connectionless sessions: one for each agent name, which lives by what it holds and by its last use (protocol 10)."""

from __future__ import annotations

from itertools import count
from typing import Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.unit.state.persistent_harness import PersistentHarness
from tests.walk.expected_store import expected_store
from waggle.wire import messages as m
from waggle.wire.errors import BadRequest, Cancelled, LimitReached, Locked, NotHolder, WaggleError
from waggle_hub.settings import Limits
from waggle_hub.state.commands.session_lifecycle import ANONYMOUS
from waggle_hub.state.effects import BindSession, DeferredReply, Reply, SessionEnded
from waggle_hub.state.sessions import SessionIds


class CallTable(PersistentHarness):
    """A machine with four connected sessions, and with calls."""

    def __init__(self, limits: Limits | None = None) -> None:
        super().__init__(limits)
        self._drawn = count(1)

    def visit(self, agent: str | None, ns: str | None = None) -> str:
        """Return the session of this agent name; raise its error."""
        name = f"c-{next(self._drawn)}"
        session, self.outputs = self.machine.open_http_session(
            agent, ns, SessionIds(name, "secret", "unused"), self.now
        )
        self.machine.check()
        if isinstance(session, WaggleError):
            raise session
        return session

    def call(self, agent: str | None, op: str, /, ns: str | None = None, **fields: Any) -> Any:
        """Return the `ok` of a call; raise its error."""
        return self.do(self.visit(agent, ns), op, **fields)

    def begin(self, agent: str | None, op: str, **fields: Any) -> int:
        """Send a call that waits, and return its id."""
        return self.ask(self.visit(agent), op, **fields)

    def hang_up(self, agent: str, id: m.Id, rid: str | None = None, token: int | None = None) -> None:
        """Disconnect the client of a call."""
        session = self.machine.state.sessions.connectionless_of(agent)
        assert session is not None
        self.outputs = self.machine.drop_call(session.id, id, rid, token, self.now)
        self.machine.check()

    def here(self, agent: str) -> bool:
        """Return whether there is a session of calls under this agent name."""
        return self.machine.state.sessions.connectionless_of(agent) is not None


@pytest.fixture
def harness() -> CallTable:
    return CallTable()


# --- how long a session lives ---


def test_all_calls_under_one_agent_name_share_a_session(harness: CallTable) -> None:
    assert harness.visit("x") == harness.visit("x") != harness.visit("y")


def test_a_session_of_calls_ends_a_minute_after_its_last_use(harness: CallTable) -> None:
    harness.call("x", "ping")
    harness.tick(59.0)
    harness.call("x", "get", key="k")
    harness.tick(59.9)
    assert harness.here("x")
    harness.tick(0.2)
    assert not harness.here("x")
    assert any(isinstance(output, SessionEnded) for output in harness.outputs)


def test_a_session_of_calls_lives_as_long_as_it_holds_a_lock(harness: CallTable) -> None:
    harness.call("x", "lock", name="n", ttl=200)
    harness.tick(199.0)
    assert harness.here("x")
    harness.tick(1.1)
    assert not harness.here("x")


def test_a_session_of_calls_lives_as_long_as_its_ephemeral_entry(harness: CallTable) -> None:
    harness.call("x", "set", key="k", value=1, ttl=100, ephemeral=True)
    harness.tick(99.0)
    assert harness.here("x")
    harness.tick(1.1)
    harness.tick(0.0)
    assert not harness.here("x")


def test_an_ephemeral_entry_of_a_call_lives_until_its_deadline(harness: CallTable) -> None:
    harness.call("x", "set", key="k", value=1, ttl=61, ephemeral=True)
    harness.tick(60.5)
    assert harness.value("a", "k") == 1


def test_a_session_of_calls_ends_if_another_session_forces_its_last_lock(harness: CallTable) -> None:
    token = harness.call("x", "lock", name="n", ttl=1_000).token
    harness.tick(100.0)
    harness.do("a", "unlock", token=token, force=True, reason="stuck")
    harness.tick(0.0)
    assert not harness.here("x")
    assert not harness.losses()


def test_a_session_of_calls_lives_until_a_minute_after_its_last_waiting_call(harness: CallTable) -> None:
    id = harness.begin("x", "wait", all=[{"key": "k"}], timeout=300)
    harness.tick(299.0)
    assert harness.here("x")
    harness.set("k")
    assert harness.answer(id).met == [0]
    harness.tick(59.0)
    assert harness.here("x")
    harness.tick(1.1)
    assert not harness.here("x")


def test_a_session_of_calls_is_shown_in_agents_and_seen(harness: CallTable) -> None:
    harness.call("x", "ping")
    assert harness.value("a", "x", ns="$agents")["connected"] is True
    harness.tick(61.0)
    assert harness.value("a", "x", ns="$agents") is None
    assert harness.value("a", "x", ns="$seen") == {"last": 1_000.0}


def test_the_end_of_a_session_of_calls_keeps_the_locks_of_a_connected_agent_of_that_name(harness: CallTable) -> None:
    token = harness.do("a", "lock", name="n", ttl=1_000).token
    harness.call("agent-a", "ping")
    harness.tick(61.0)
    assert not harness.here("agent-a")
    assert harness.do("a", "renew", token=token)


def test_a_lock_can_be_released_by_any_call_under_its_agent_name(harness: CallTable) -> None:
    token = harness.call("x", "lock", name="n").token
    with pytest.raises(NotHolder):
        harness.call("y", "renew", token=token)
    assert harness.call("x", "renew", token=token)
    assert harness.call("x", "unlock", token=token)


def test_a_rid_has_its_effect_once_for_each_agent_name(harness: CallTable) -> None:
    for agent in ("x", "x", "y"):
        harness.call(agent, "update", key="n", incr=1, rid="r")
    assert harness.value("a", "n") == 2


def test_a_call_uses_its_own_namespace(harness: CallTable) -> None:
    harness.call("x", "set", ns="one", key="k", value=1)
    id = harness.ask(harness.visit("x", "one"), "wait", all=[{"key": "w"}])
    assert harness.call("x", "get", ns="two", key="k").entry is None
    assert harness.call("x", "get", ns="one", key="k").entry is not None
    harness.visit("x", "two")
    harness.keep()
    harness.go_back()
    harness.do("a", "set", ns="one", key="w", value=1)
    assert harness.answer(id).met == [0]


def test_a_bad_name_or_namespace_is_refused(harness: CallTable) -> None:
    for agent, ns in (("", None), (ANONYMOUS, None), ("x" * 101, None), ("x", "no spaces"), ("x", "$agents")):
        with pytest.raises(BadRequest):
            harness.visit(agent, ns)


def test_sessions_of_calls_count_towards_the_limit_of_sessions() -> None:
    harness = CallTable(Limits(sessions=5))
    harness.visit("x")
    with pytest.raises(LimitReached):
        harness.visit("y")
    assert harness.call(None, "ping")


# --- what cannot be asked ---


def test_an_ephemeral_entry_of_a_call_needs_a_ttl_and_keeps_one(harness: CallTable) -> None:
    without: tuple[dict[str, Any], ...] = ({}, {"keep_ttl": True})
    for fields in without:
        with pytest.raises(BadRequest, match="ttl"):
            harness.call("x", "set", key="k", value=1, ephemeral=True, **fields)
    harness.call("x", "set", key="k", value=1, ephemeral=True, ttl=5)
    with pytest.raises(BadRequest, match="ttl"):
        harness.do("a", "touch", key="k", ttl=None)
    with pytest.raises(BadRequest, match="ttl"):
        harness.do(
            harness.visit("x"), "txn", **{"if": [], "then": [{"op": "set", "key": "j", "value": 1, "ephemeral": True}]}
        )


def test_a_call_cannot_use_an_op_that_needs_a_connection(harness: CallTable) -> None:
    for op, fields in (("hello", {}), ("bye", {}), ("subscribe", {"patterns": ["*"]}), ("unsubscribe", {"sub": 1})):
        with pytest.raises(BadRequest):
            harness.call("x", op, **fields)


@pytest.mark.parametrize(("op", "fields"), [
    ("lock", {"name": "n"}), ("take", {"patterns": ["*"]}), ("status", {"status": 1}),
    ("cancel", {"target": 1}),
    ("set", {"key": "k", "value": 1, "ttl": 5, "ephemeral": True}), ("set", {"key": "k", "value": 1, "rid": "r"}),
])  # fmt: skip
def test_an_anonymous_call_cannot_use_what_needs_an_owner(harness: CallTable, op: str, fields: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match="X-Waggle-Agent"):
        harness.call(None, op, **fields)


def test_anonymous_calls_read_write_and_wait_and_are_not_shown_in_agents(harness: CallTable) -> None:
    before = harness.machine.state.log.rev
    assert harness.call(None, "get", key="k").rev == before
    id = harness.begin(None, "wait", all=[{"key": "k"}])
    harness.call(None, "set", key="k", value=1)
    (waited,) = [output for output in harness.outputs if isinstance(output, DeferredReply)]
    assert waited.id == id
    assert harness.do("a", "get", key="k").entry.by == ANONYMOUS
    assert ANONYMOUS not in harness.keys("a", ns="$agents")
    harness.tick(61.0)
    assert not harness.here(ANONYMOUS)


# --- calls that are dropped ---


def test_a_dropped_call_is_cancelled(harness: CallTable) -> None:
    held = harness.do("a", "lock", name="n").token
    id = harness.begin("x", "lock", name="n", wait=None)
    harness.hang_up("x", id)
    with pytest.raises(Cancelled):
        harness.answer(id)
    harness.do("a", "unlock", token=held)
    assert harness.do("b", "lock", name="n")


def test_a_lock_granted_to_a_dropped_call_is_released(harness: CallTable) -> None:
    token = harness.call("x", "lock", name="n", rid="r").token
    harness.hang_up("x", 1, "r", token)
    assert harness.told() == [[("unlock", "n")]]
    again = harness.call("x", "lock", name="n", rid="r")
    assert again.token > token
    assert harness.call("x", "renew", token=again.token)


def test_a_dropped_call_releases_no_lock_of_another_session(harness: CallTable) -> None:
    token = harness.do("a", "lock", name="n").token
    harness.visit("x")
    harness.hang_up("x", 1, None, token)
    with pytest.raises(Locked):
        harness.do("b", "lock", name="n")


def test_an_entry_taken_by_a_dropped_call_goes_to_the_next_taker(harness: CallTable) -> None:
    harness.set("job")
    taken = harness.call("x", "take", patterns=["*"])
    harness.hang_up("x", 1, None, taken.token)
    assert harness.do("b", "take", patterns=["*"]).delivery == 2


def test_a_call_that_is_retried_by_another_call_is_cancelled(harness: CallTable) -> None:
    held = harness.do("a", "lock", name="n").token
    first = harness.begin("x", "lock", name="n", wait=60, rid="r")
    second = harness.begin("x", "lock", name="n", wait=60, rid="r")
    with pytest.raises(Cancelled):
        harness.answer(first)
    harness.do("a", "unlock", token=held)
    assert harness.answer(second).token > held


# --- restarts ---


def test_a_lock_outlives_a_restart_with_its_session(harness: CallTable) -> None:
    session, token = harness.visit("x"), harness.call("x", "lock", name="n", ttl=5, rid="r").token
    harness.keep()
    harness.crash(down=100.0)
    assert harness.value("a", "x", ns="$agents")["session"] == session
    assert harness.visit("x") == session
    assert harness.call("x", "renew", token=token)
    assert msgspec.json.decode(harness.call("x", "lock", name="n", rid="r"))["token"] == token
    assert harness.call("x", "unlock", token=token)


def test_a_session_of_calls_that_holds_nothing_ends_a_minute_after_a_restart(harness: CallTable) -> None:
    harness.visit("x")
    harness.keep()
    harness.crash(down=1_000.0)
    harness.tick(59.0)
    assert harness.here("x")
    harness.tick(1.1)
    assert not harness.here("x")


@pytest.mark.parametrize("down", [1.0, 1_000.0])
def test_a_restart_drops_all_waiting_calls(harness: CallTable, down: float) -> None:
    held = harness.do("a", "lock", name="n", ttl=10_000).token
    waiter = harness.ask("b", "lock", name="n", wait=None)
    for op, fields in (("lock", {"name": "n", "wait": 5}), ("take", {"patterns": ["j"], "timeout": 5}),
                       ("wait", {"all": [{"key": "w"}], "timeout": 5})):  # fmt: skip
        harness.begin("x", op, **fields)
    harness.keep()
    harness.crash(down)
    assert ("queue", "n") in [event for events in harness.told() for event in events]
    assert not harness.answers()
    harness.return_to("a")
    harness.return_to("b")
    harness.do("a", "unlock", token=held)
    assert harness.answer(waiter).token > held
    harness.tick(61.0)
    assert not harness.here("x")


def test_a_waiting_call_waits_on_when_the_journal_fails(harness: CallTable) -> None:
    id = harness.begin("x", "wait", all=[{"key": "w"}])
    harness.keep()
    harness.call("x", "set", key="k", value=1)
    harness.go_back()
    harness.set("w")
    assert harness.answer(id).met == [0]


def test_a_session_of_calls_binds_no_connection(harness: CallTable) -> None:
    harness.visit("x")
    assert not any(isinstance(output, BindSession) for output in harness.outputs)


# --- a walk ---

AGENTS = st.sampled_from(["x", "y", None])
COMMANDS = st.sampled_from([
    ("ping", {}), ("set", {"key": "k", "value": 1}), ("delete", {"key": "e"}), ("delete", {"key": "k"}),
    ("set", {"key": "e", "value": 1, "ephemeral": True, "ttl": 90}), ("touch", {"key": "e", "ttl": 7}),
    ("lock", {"name": "n", "ttl": 100}), ("lock", {"name": "n", "ttl": 3, "wait": 50, "rid": "r"}),
    ("lock", {"name": "n", "wait": None}), ("lock", {"pattern": "*", "wait": 70, "rid": "s"}),
    ("take", {"patterns": ["k"], "lease": 80, "timeout": 70}), ("wait", {"all": [{"key": "e"}], "timeout": 65}),
    ("unlock", {"name": "n", "force": True, "reason": "walk"}), ("txn", {"if": [], "then": [
        {"op": "delete", "key": "e"}, {"op": "set", "key": "k", "value": 1, "if_rev": 0}]}),
])  # fmt: skip


class Walk(RuleBasedStateMachine):
    """A random walk of calls, disconnects, time and restarts that checks how long each session lives."""

    @initialize()
    def open_session(self) -> None:
        self.harness = CallTable(Limits(http_idle=60.0))
        self.used: dict[str, float] = {}
        self.ids = count(1_000)
        self.open: dict[m.Id, tuple[str, str | None]] = {}
        self.born = 0

    @rule(agent=AGENTS, asked=COMMANDS)
    def call(self, agent: str | None, asked: tuple[str, dict[str, Any]]) -> None:
        harness, id = self.harness, next(self.ids)
        session = harness.visit(agent)
        name = agent or ANONYMOUS
        self.used[name] = harness.now
        self.hear()
        command = msgspec.convert({"op": asked[0], "id": id, **asked[1]}, m.AnyCommand)
        harness.outputs = harness.machine.apply(command, session, harness.now)
        if not any(isinstance(output, Reply) for output in harness.outputs):
            self.open[id] = (name, asked[1].get("rid"))
        self.hear()

    @rule(choice=st.integers(0, 20), grant=st.booleans())
    def hang_up(self, choice: int, grant: bool) -> None:
        harness = self.harness
        if self.open:
            id, (name, rid) = list(self.open.items())[choice % len(self.open)]
            harness.hang_up(name, id, rid)
            self.hear()
            assert id not in self.open
        elif grant and harness.machine.state.lock_table.held:
            claim = next(iter(harness.machine.state.lock_table.held.values()))
            harness.hang_up(claim.agent, 1, claim.rid, claim.token)
            self.hear()
            assert claim.token not in harness.machine.state.lock_table.held

    @rule(seconds=st.sampled_from([0.0, 0.5, 2.5, 10.0, 30.0, 61.0, 120.0]))
    def wait(self, seconds: float) -> None:
        self.harness.tick(seconds)
        self.hear()

    @rule(down=st.sampled_from([0.5, 70.0]))
    def crash(self, down: float) -> None:
        self.harness.keep()
        here = [name for name in self.used if self.harness.here(name)]
        self.harness.crash(down)
        self.born = self.harness.machine.state.log.rev
        self.open.clear()
        self.used |= dict.fromkeys(here, self.harness.now)
        self.hear()

    def hear(self) -> None:
        """Note that a pending call was answered, and its session used."""
        heard, self.harness.outputs = self.harness.outputs, []
        self.harness.proceed()
        for answer in (output for output in heard + self.harness.outputs if isinstance(output, DeferredReply)):
            session = self.harness.machine.state.sessions.get(answer.session)
            assert session is not None
            del self.open[answer.id]
            self.used[session.agent] = max(self.used[session.agent], session.last_seen_at)
        self.harness.outputs = []

    @invariant()
    def nobody_is_here_without_reason(self) -> None:
        if not hasattr(self, "harness"):
            return
        self.harness.machine.check()
        self.harness.expire()
        self.hear()
        for name, used in self.used.items():
            session = self.harness.machine.state.sessions.connectionless_of(name)
            if session is None:
                assert self.harness.now >= used + 60.0
            else:
                assert session.holds_anything or self.harness.now < used + 60.002
        self.harness.keep()
        expected_store(self.harness.machine.state).check_disk(self.harness.disk, self.born)


Walk.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestWalk = Walk.TestCase
