"""Callers: one session for each name, that lives by what it holds and by its last use."""

from __future__ import annotations

from itertools import count
from typing import Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.unit.state.kepttable import KeptTable
from tests.walk.everything import everything
from waggle.wire import messages as m
from waggle.wire.errors import BadRequest, Cancelled, LimitReached, Locked, NotHolder, WaggleError
from waggle_hub.settings import Limits
from waggle_hub.state.commands.session_lifecycle import NAMELESS
from waggle_hub.state.effects import BindSession, DeferredReply, Reply, SessionEnded
from waggle_hub.state.sessions import SessionIds


class CallTable(KeptTable):
    """Four sessions, and those who call."""

    def __init__(self, limits: Limits | None = None) -> None:
        super().__init__(limits)
        self._drawn = count(1)

    def visit(self, agent: str | None, ns: str | None = None) -> str:
        """The session of those who call under this name; raises its error."""
        name = f"c-{next(self._drawn)}"
        session, self.outputs = self.machine.open_http_session(
            agent, ns, SessionIds(name, "secret", "unused"), self.now
        )
        self.machine.check()
        if isinstance(session, WaggleError):
            raise session
        return session

    def call(self, agent: str | None, op: str, /, ns: str | None = None, **fields: Any) -> Any:
        """The `ok` of a call; raises its error."""
        return self.do(self.visit(agent, ns), op, **fields)

    def begin(self, agent: str | None, op: str, **fields: Any) -> int:
        """A call that waits; its id."""
        return self.ask(self.visit(agent), op, **fields)

    def hang_up(self, agent: str, id: m.Id, rid: str | None = None, token: int | None = None) -> None:
        """Who asked this is gone."""
        session = self.machine.state.sessions.connectionless_of(agent)
        assert session is not None
        self.outputs = self.machine.drop_call(session.id, id, rid, token, self.now)
        self.machine.check()

    def here(self, agent: str) -> bool:
        """Whether those who call under this name have a session."""
        return self.machine.state.sessions.connectionless_of(agent) is not None


@pytest.fixture
def table() -> CallTable:
    return CallTable()


# --- how long a session lives ---


def test_all_who_call_under_a_name_share_a_session(table: CallTable) -> None:
    assert table.visit("x") == table.visit("x") != table.visit("y")


def test_it_ends_a_minute_after_its_last_use(table: CallTable) -> None:
    table.call("x", "ping")
    table.tick(59.0)
    table.call("x", "get", key="k")
    table.tick(59.9)
    assert table.here("x")
    table.tick(0.2)
    assert not table.here("x")
    assert any(isinstance(output, SessionEnded) for output in table.outputs)


def test_it_lives_as_long_as_it_holds_a_lock_and_not_longer(table: CallTable) -> None:
    table.call("x", "lock", name="n", ttl=200)
    table.tick(199.0)
    assert table.here("x")
    table.tick(1.1)
    assert not table.here("x")


def test_it_lives_as_long_as_its_ephemeral_entry(table: CallTable) -> None:
    table.call("x", "set", key="k", value=1, ttl=100, ephemeral=True)
    table.tick(99.0)
    assert table.here("x")
    table.tick(1.1)
    table.tick(0.0)
    assert not table.here("x")


def test_an_ephemeral_entry_goes_with_it_no_sooner(table: CallTable) -> None:
    table.call("x", "set", key="k", value=1, ttl=61, ephemeral=True)
    table.tick(60.5)
    assert table.value("a", "k") == 1


def test_when_somebody_else_frees_what_it_held_it_ends(table: CallTable) -> None:
    token = table.call("x", "lock", name="n", ttl=1_000).token
    table.tick(100.0)
    table.do("a", "unlock", token=token, force=True, reason="stuck")
    table.tick(0.0)
    assert not table.here("x")
    assert not table.losses()


def test_it_lives_as_long_as_a_call_waits_and_a_minute_after(table: CallTable) -> None:
    id = table.begin("x", "wait", all=[{"key": "k"}], timeout=300)
    table.tick(299.0)
    assert table.here("x")
    table.set("k")
    assert table.answer(id).met == [0]
    table.tick(59.0)
    assert table.here("x")
    table.tick(1.1)
    assert not table.here("x")


def test_it_is_present_under_its_name_and_remembered(table: CallTable) -> None:
    table.call("x", "ping")
    assert table.value("a", "x", ns="$agents")["connected"] is True
    table.tick(61.0)
    assert table.value("a", "x", ns="$agents") is None
    assert table.value("a", "x", ns="$seen") == {"last": 1_000.0}


def test_its_end_frees_nothing_that_an_agent_of_the_same_name_holds(table: CallTable) -> None:
    token = table.do("a", "lock", name="n", ttl=1_000).token
    table.call("agent-a", "ping")
    table.tick(61.0)
    assert not table.here("agent-a")
    assert table.do("a", "renew", token=token)


def test_a_lock_belongs_to_the_callers_of_its_name(table: CallTable) -> None:
    token = table.call("x", "lock", name="n").token
    with pytest.raises(NotHolder):
        table.call("y", "renew", token=token)
    assert table.call("x", "renew", token=token)
    assert table.call("x", "unlock", token=token)


def test_a_rid_has_its_effect_once_for_each_name(table: CallTable) -> None:
    for agent in ("x", "x", "y"):
        table.call(agent, "update", key="n", incr=1, rid="r")
    assert table.value("a", "n") == 2


def test_the_namespace_is_that_of_the_call(table: CallTable) -> None:
    table.call("x", "set", ns="one", key="k", value=1)
    id = table.ask(table.visit("x", "one"), "wait", all=[{"key": "w"}])
    assert table.call("x", "get", ns="two", key="k").entry is None
    assert table.call("x", "get", ns="one", key="k").entry is not None
    table.visit("x", "two")
    table.keep()
    table.go_back()
    table.do("a", "set", ns="one", key="w", value=1)
    assert table.answer(id).met == [0]


def test_a_bad_name_or_namespace_is_refused(table: CallTable) -> None:
    for agent, ns in (("", None), (NAMELESS, None), ("x" * 101, None), ("x", "no spaces"), ("x", "$agents")):
        with pytest.raises(BadRequest):
            table.visit(agent, ns)


def test_callers_count_among_the_sessions_of_the_hub() -> None:
    table = CallTable(Limits(sessions=5))
    table.visit("x")
    with pytest.raises(LimitReached):
        table.visit("y")
    assert table.call(None, "ping")


# --- what cannot be asked ---


def test_an_ephemeral_entry_needs_a_ttl_and_keeps_one(table: CallTable) -> None:
    without: tuple[dict[str, Any], ...] = ({}, {"keep_ttl": True})
    for fields in without:
        with pytest.raises(BadRequest, match="ttl"):
            table.call("x", "set", key="k", value=1, ephemeral=True, **fields)
    table.call("x", "set", key="k", value=1, ephemeral=True, ttl=5)
    with pytest.raises(BadRequest, match="ttl"):
        table.do("a", "touch", key="k", ttl=None)
    with pytest.raises(BadRequest, match="ttl"):
        table.do(
            table.visit("x"), "txn", **{"if": [], "then": [{"op": "set", "key": "j", "value": 1, "ephemeral": True}]}
        )


def test_what_needs_a_connection_is_refused(table: CallTable) -> None:
    for op, fields in (("hello", {}), ("bye", {}), ("subscribe", {"patterns": ["*"]}), ("unsubscribe", {"sub": 1})):
        with pytest.raises(BadRequest):
            table.call("x", op, **fields)


@pytest.mark.parametrize(("op", "fields"), [
    ("lock", {"name": "n"}), ("take", {"patterns": ["*"]}), ("status", {"status": 1}),
    ("cancel", {"target": 1}),
    ("set", {"key": "k", "value": 1, "ttl": 5, "ephemeral": True}), ("set", {"key": "k", "value": 1, "rid": "r"}),
])  # fmt: skip
def test_who_has_no_name_can_have_nothing_of_their_own(table: CallTable, op: str, fields: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match="X-Waggle-Agent"):
        table.call(None, op, **fields)


def test_the_nameless_read_write_and_wait_and_nobody_sees_them(table: CallTable) -> None:
    before = table.machine.state.log.rev
    assert table.call(None, "get", key="k").rev == before
    id = table.begin(None, "wait", all=[{"key": "k"}])
    table.call(None, "set", key="k", value=1)
    (waited,) = [output for output in table.outputs if isinstance(output, DeferredReply)]
    assert waited.id == id
    assert table.do("a", "get", key="k").entry.by == NAMELESS
    assert NAMELESS not in table.keys("a", ns="$agents")
    table.tick(61.0)
    assert not table.here(NAMELESS)


# --- calls that are dropped ---


def test_a_dropped_call_is_cancelled(table: CallTable) -> None:
    held = table.do("a", "lock", name="n").token
    id = table.begin("x", "lock", name="n", wait=None)
    table.hang_up("x", id)
    with pytest.raises(Cancelled):
        table.answer(id)
    table.do("a", "unlock", token=held)
    assert table.do("b", "lock", name="n")


def test_a_grant_that_nobody_heard_of_is_given_back(table: CallTable) -> None:
    token = table.call("x", "lock", name="n", rid="r").token
    table.hang_up("x", 1, "r", token)
    assert table.told() == [[("unlock", "n")]]
    again = table.call("x", "lock", name="n", rid="r")
    assert again.token > token
    assert table.call("x", "renew", token=again.token)


def test_nobody_gives_back_what_is_not_theirs(table: CallTable) -> None:
    token = table.do("a", "lock", name="n").token
    table.visit("x")
    table.hang_up("x", 1, None, token)
    with pytest.raises(Locked):
        table.do("b", "lock", name="n")


def test_a_taken_entry_that_nobody_heard_of_is_there_for_the_next(table: CallTable) -> None:
    table.set("job")
    taken = table.call("x", "take", patterns=["*"])
    table.hang_up("x", 1, None, taken.token)
    assert table.do("b", "take", patterns=["*"]).delivery == 2


def test_a_call_that_is_asked_again_by_its_rid_is_told_so(table: CallTable) -> None:
    held = table.do("a", "lock", name="n").token
    first = table.begin("x", "lock", name="n", wait=60, rid="r")
    second = table.begin("x", "lock", name="n", wait=60, rid="r")
    with pytest.raises(Cancelled):
        table.answer(first)
    table.do("a", "unlock", token=held)
    assert table.answer(second).token > held


# --- restarts ---


def test_a_lock_outlives_a_restart_with_its_session(table: CallTable) -> None:
    session, token = table.visit("x"), table.call("x", "lock", name="n", ttl=5, rid="r").token
    table.keep()
    table.crash(down=100.0)
    assert table.value("a", "x", ns="$agents")["session"] == session
    assert table.visit("x") == session
    assert table.call("x", "renew", token=token)
    assert msgspec.json.decode(table.call("x", "lock", name="n", rid="r"))["token"] == token
    assert table.call("x", "unlock", token=token)


def test_one_that_holds_nothing_rests_for_a_minute_after_a_restart(table: CallTable) -> None:
    table.visit("x")
    table.keep()
    table.crash(down=1_000.0)
    table.tick(59.0)
    assert table.here("x")
    table.tick(1.1)
    assert not table.here("x")


@pytest.mark.parametrize("down", [1.0, 1_000.0])
def test_a_restart_drops_the_calls_that_wait(table: CallTable, down: float) -> None:
    held = table.do("a", "lock", name="n", ttl=10_000).token
    waiter = table.ask("b", "lock", name="n", wait=None)
    for op, fields in (("lock", {"name": "n", "wait": 5}), ("take", {"patterns": ["j"], "timeout": 5}),
                       ("wait", {"all": [{"key": "w"}], "timeout": 5})):  # fmt: skip
        table.begin("x", op, **fields)
    table.keep()
    table.crash(down)
    assert ("queue", "n") in [event for events in table.told() for event in events]
    assert not table.answers()
    table.return_to("a")
    table.return_to("b")
    table.do("a", "unlock", token=held)
    assert table.answer(waiter).token > held
    table.tick(61.0)
    assert not table.here("x")


def test_when_the_journal_fails_calls_wait_on(table: CallTable) -> None:
    id = table.begin("x", "wait", all=[{"key": "w"}])
    table.keep()
    table.call("x", "set", key="k", value=1)
    table.go_back()
    table.set("w")
    assert table.answer(id).met == [0]


def test_it_binds_no_connection_by_itself(table: CallTable) -> None:
    table.visit("x")
    assert not any(isinstance(output, BindSession) for output in table.outputs)


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
    """Calls, their ends, time, and restarts: who holds something is here, who does not is gone after a minute."""

    @initialize()
    def sit(self) -> None:
        self.table = CallTable(Limits(http_idle=60.0))
        self.used: dict[str, float] = {}
        self.ids = count(1_000)
        self.open: dict[m.Id, tuple[str, str | None]] = {}
        self.born = 0

    @rule(agent=AGENTS, asked=COMMANDS)
    def call(self, agent: str | None, asked: tuple[str, dict[str, Any]]) -> None:
        table, id = self.table, next(self.ids)
        session = table.visit(agent)
        name = agent or NAMELESS
        self.used[name] = table.now
        self.hear()
        command = msgspec.convert({"op": asked[0], "id": id, **asked[1]}, m.AnyCommand)
        table.outputs = table.machine.apply(command, session, table.now)
        if not any(isinstance(output, Reply) for output in table.outputs):
            self.open[id] = (name, asked[1].get("rid"))
        self.hear()

    @rule(choice=st.integers(0, 20), grant=st.booleans())
    def hang_up(self, choice: int, grant: bool) -> None:
        table = self.table
        if self.open:
            id, (name, rid) = list(self.open.items())[choice % len(self.open)]
            table.hang_up(name, id, rid)
            self.hear()
            assert id not in self.open
        elif grant and table.machine.state.lock_table.held:
            claim = next(iter(table.machine.state.lock_table.held.values()))
            table.hang_up(claim.agent, 1, claim.rid, claim.token)
            self.hear()
            assert claim.token not in table.machine.state.lock_table.held

    @rule(seconds=st.sampled_from([0.0, 0.5, 2.5, 10.0, 30.0, 61.0, 120.0]))
    def wait(self, seconds: float) -> None:
        self.table.tick(seconds)
        self.hear()

    @rule(down=st.sampled_from([0.5, 70.0]))
    def crash(self, down: float) -> None:
        self.table.keep()
        here = [name for name in self.used if self.table.here(name)]
        self.table.crash(down)
        self.born = self.table.machine.state.log.rev
        self.open.clear()
        self.used |= dict.fromkeys(here, self.table.now)
        self.hear()

    def hear(self) -> None:
        """What was answered is open no longer, and its session was used."""
        heard, self.table.outputs = self.table.outputs, []
        self.table.proceed()
        for answer in (output for output in heard + self.table.outputs if isinstance(output, DeferredReply)):
            session = self.table.machine.state.sessions.get(answer.session)
            assert session is not None
            del self.open[answer.id]
            self.used[session.agent] = max(self.used[session.agent], session.last_seen_at)
        self.table.outputs = []

    @invariant()
    def nobody_is_here_without_reason(self) -> None:
        if not hasattr(self, "table"):
            return
        self.table.machine.check()
        self.table.expire()
        self.hear()
        for name, used in self.used.items():
            session = self.table.machine.state.sessions.connectionless_of(name)
            if session is None:
                assert self.table.now >= used + 60.0
            else:
                assert session.holds_anything or self.table.now < used + 60.002
        self.table.keep()
        everything(self.table.machine.state).check_disk(self.table.disk, self.born)


Walk.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestWalk = Walk.TestCase
