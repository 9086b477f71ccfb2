"""The engine when its journal fails, and at its beginning and its end: what is answered, by whom, and what is never
written."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.journals import LateJournal
from tests.unit.engine.test_engine import INFO, Agent, EngineHarness, turns
from waggle.wire import messages as m
from waggle_hub.edge.decode import decode
from waggle_hub.engine.background import Settled
from waggle_hub.engine.engine import Engine
from waggle_hub.journal.interface import Done, JournalListener, StoreError
from waggle_hub.settings import Bounds, Limits
from waggle_hub.state.machine import Machine
from waggle_hub.state.persistence.records import HubRecord, WriteBatch
from waggle_hub.state.transaction import Transaction


class LateEngineHarness(EngineHarness):
    """An engine whose journal says that something is kept when it is told to."""

    def __init__(self) -> None:
        super().__init__(self._open_journal)

    def _open_journal(self, listener: JournalListener) -> LateJournal:
        self.journal = LateJournal(listener)
        return self.journal

    async def keep(self) -> None:
        """Everything is kept."""
        await turns()
        while self.journal.waiting:
            self.journal.commit()
            await turns()

    async def fail(self) -> None:
        """Nothing of what is on its way is kept."""
        await turns()
        self.journal.commit(OSError("no space"))
        await turns()

    async def join(self, name: str) -> tuple[Agent, dict[str, Any]]:
        """An agent, and what it was told when it came."""
        agent = self.sit()
        agent.ask("hello", agent=name)
        await self.keep()
        (welcome,) = agent.take()
        return agent, welcome["ok"]

    def ask(self, agent: Agent, id: str, op: str, **fields: Any) -> None:
        """A command under an id of its own."""
        self.engine.submit(agent.connection, decode(json.dumps({"id": id, "op": op, **fields})))

    async def return_to(self, welcome: dict[str, Any]) -> Agent:
        """Another connection that takes a session over; not kept yet."""
        agent = self.sit()
        agent.ask("hello", session=welcome["session"], secret=welcome["secret"])
        await turns()
        return agent


@pytest_asyncio.fixture
async def harness() -> AsyncIterator[LateEngineHarness]:
    harness = LateEngineHarness()
    yield harness
    await harness.stop()


def held_up(harness: LateEngineHarness) -> asyncio.Event:
    """Let backups be under way until this is set."""
    may = asyncio.Event()

    async def back_up(settled: Settled) -> m.BackedUp:
        await may.wait()
        return m.BackedUp("/b", 1, await settled(), 0.0)

    harness.back_up = back_up
    return may


def torn(*_: object, **__: object) -> None:
    raise RuntimeError("a fault in the middle of a change")


def codes(agent: Agent) -> dict[str, str]:
    """By id, what each answer says: ok, or the code of its error."""
    lines = [line for line in agent.take() if "id" in line]
    assert len({line["id"] for line in lines}) == len(lines), "each command is answered once"
    return {line["id"]: line.get("error", {}).get("code", "ok") for line in lines}


# --- replies ---------------------------------------------------------------------------------------------


async def test_a_rollback_answers_commands_that_began_to_wait_and_keeps_earlier_ones_waiting(
    harness: LateEngineHarness,
) -> None:
    holder, _ = await harness.join("holder")
    waiter, _ = await harness.join("waiter")
    harness.ask(holder, "held", "lock", name="n")
    harness.ask(waiter, "before", "lock", name="n", wait=None)
    await harness.keep()
    token = holder.take()[-1]["ok"]["token"]
    harness.ask(waiter, "lock", "lock", name="n", wait=None)
    harness.ask(waiter, "wait", "wait", all=[{"key": "k"}], timeout=60)
    harness.ask(waiter, "take", "take", patterns=["*"], timeout=None)
    harness.ask(waiter, "set", "set", key="k", value=1)
    harness.ask(holder, "unlock", "unlock", token=token)
    await harness.fail()
    assert codes(waiter) == dict.fromkeys(["lock", "wait", "take", "set"], "unavailable")
    assert codes(holder) == {"unlock": "unavailable"}
    harness.journal.recover()
    harness.ask(holder, "again", "unlock", token=token)
    await harness.keep()
    assert codes(waiter) == {"before": "ok"}
    assert waiter.connection.reserved_bytes == holder.connection.reserved_bytes == 0


async def test_a_rollback_answers_a_waiting_command_on_the_connection_that_sent_it(harness: LateEngineHarness) -> None:
    """The connection was about to take the session over, and the takeover was rolled back."""
    older, welcome = await harness.join("a")
    newer = await harness.return_to(welcome)
    harness.ask(newer, "wait", "wait", all=[{"key": "k"}], timeout=60)
    await harness.fail()
    assert codes(newer) == {"hello": "unavailable", "wait": "unavailable"}
    assert older.take() == []
    harness.ask(older, "ping", "ping")
    await turns()
    assert codes(older) == {"ping": "ok"}, "it speaks for the session again"


async def test_a_rollback_answers_commands_of_a_session_that_it_takes_back(harness: LateEngineHarness) -> None:
    agent = harness.sit()
    agent.ask("hello", agent="a")
    agent.ask("wait", all=[{"key": "k"}], timeout=60)
    await harness.fail()
    assert codes(agent) == {"hello": "unavailable", "wait": "unavailable"}
    agent.ask("hello", agent="a")
    await turns()
    assert codes(agent) == {"hello": "ok"}, "the connection is as good as before"


@pytest.mark.parametrize("known", [True, False])
async def test_a_rollback_answers_unreleased_background_tasks_on_their_own_connection(
    harness: LateEngineHarness, known: bool
) -> None:
    """By a connection that was about to take a session over, or of a session that never was."""
    older, welcome = await harness.join("a")
    newer = await harness.return_to(welcome) if known else harness.sit()
    if not known:
        newer.ask("hello", agent="b")
    may = held_up(harness)
    harness.ask(newer, "search", "search", text="word")
    harness.ask(newer, "backup", "backup")
    await harness.fail()
    may.set()
    await settled(harness)
    assert codes(newer) == dict.fromkeys(["hello", "search", "backup"], "unavailable")
    assert older.take() == []
    assert newer.connection.reserved_bytes == older.connection.reserved_bytes == 0


@pytest.mark.parametrize("begun", [True, False])
async def test_commands_in_flight_when_the_hub_fails_are_answered_once(
    harness: LateEngineHarness, monkeypatch: pytest.MonkeyPatch, begun: bool
) -> None:
    """Whether or not it was released that it began; some of it has its answer by then, which was not."""
    agent, _ = await harness.join("a")
    may = held_up(harness)
    harness.ask(agent, "wait", "wait", all=[{"key": "k"}], timeout=60)
    harness.ask(agent, "backup", "backup")
    if begun:
        await harness.keep()
    harness.ask(agent, "early", "search", text="word")
    await asyncio.wait(harness.engine._background.tasks, return_when=asyncio.FIRST_COMPLETED)
    harness.ask(agent, "set", "set", key="k", value=1)
    await turns()
    harness.ask(agent, "late", "search", text="word")
    monkeypatch.setattr(Transaction, "record_event", torn)
    harness.ask(agent, "torn", "set", key="k", value=2)
    await turns()
    may.set()
    await settled(harness)
    await harness.keep()
    assert codes(agent) == dict.fromkeys(["wait", "early", "backup", "set", "late", "torn"], "unavailable")
    assert agent.connection.reserved_bytes == 0
    harness.ask(agent, "set", "set", key="k", value=1)
    await turns()
    assert codes(agent) == {"set": "unavailable"}, "an id may be used again"


async def test_a_reply_kept_for_an_absent_agent_is_sent_after_a_return_that_is_stored(
    harness: LateEngineHarness,
) -> None:
    holder, _ = await harness.join("holder")
    waiter, welcome = await harness.join("waiter")
    holder.ask("lock", name="n")
    waiter.ask("lock", name="n", wait=None)
    await harness.keep()
    token = holder.take()[-1]["ok"]["token"]
    harness.engine.leave(waiter.connection)
    holder.ask("unlock", token=token)
    await harness.keep()
    back = await harness.return_to(welcome)
    await harness.fail()
    assert codes(back) == {"hello": "unavailable"}, "nothing is said of the lock: it has it"
    assert back.connection.reserved_bytes == 0
    harness.journal.recover()
    again = await harness.return_to(welcome)
    await harness.keep()
    assert codes(again) == {"hello": "ok", "lock": "ok"}


async def test_a_session_whose_takeover_left_before_its_release_is_disconnected(harness: LateEngineHarness) -> None:
    agent, welcome = await harness.join("a")
    harness.engine.leave(agent.connection)
    await harness.keep()
    fleeting = await harness.return_to(welcome)
    harness.engine.leave(fleeting.connection)
    await harness.keep()
    assert welcome["session"] not in harness.engine.fanout.connections
    other, _ = await harness.join("b")
    other.ask("set", key="k", value=1)
    await harness.fail()
    session = harness.machine.state.sessions.get(welcome["session"])
    assert session is not None
    assert not session.connected, "its grace runs"


# --- what is due as an agent leaves ------------------------------------------------------------------------------


async def test_events_due_while_an_agent_leaves_are_delivered_to_the_others(harness: LateEngineHarness) -> None:
    agent, welcome = await harness.join("a")
    agent.ask("wait", all=[{"key": "k"}], timeout=1)
    await harness.keep()
    harness.now += 2
    harness.engine.leave(agent.connection)
    await harness.keep()
    session = harness.machine.state.sessions.get(welcome["session"])
    assert session is not None
    assert not session.connected
    assert not session.pending
    other, _ = await harness.join("b")
    other.ask("ping")
    await turns()
    await harness.keep()
    assert codes(other) == {"ping": "ok"}


# --- the beginning and the end -----------------------------------------------------------------------------------


class DeadJournal(LateJournal):
    """One that cannot write from the start."""

    stopped = False

    def write(self, changes: WriteBatch, done: Done) -> None:
        done(OSError("read-only"))

    def stop(self) -> None:
        self.stopped = True


async def test_an_engine_does_not_start_if_the_journal_cannot_be_written() -> None:
    """Whatever it gave away would be given once more by the next."""
    machine = Machine(Limits(), "epoch")
    machine.set_durability("full")
    loop = asyncio.get_running_loop()
    engine = Engine(machine, DeadJournal, Bounds(), lambda: 0.0, INFO, loop=loop)
    with pytest.raises(StoreError, match="read-only"):
        await engine.start()
    journal = engine._journal
    assert isinstance(journal, DeadJournal)
    assert journal.stopped


async def test_after_close_nothing_more_is_written(harness: LateEngineHarness) -> None:
    """There are keys to be looked at for a wait, and something falls due; none of that is decided any more."""
    harness.machine.state.limits = Limits(scan=5)
    agent, _ = await harness.join("a")
    for number in range(50):
        harness.ask(agent, f"set {number}", "set", key=f"k{number}", value=1, ttl=5)
    agent.ask("take", patterns=["k49*"], timeout=None)
    await harness.engine.close()
    harness.now += 10
    harness.engine._expiry.expire()
    harness.engine.leave(agent.connection)
    await asyncio.sleep(0)
    await turns()
    hubs = [changes.records.get(("hub",)) for changes, _ in harness.journal.waiting]
    last = hubs[-1]
    assert isinstance(last, HubRecord)
    assert last.running is None
    assert last.rev == max(commit.rev for changes, _ in harness.journal.waiting for commit in changes.commits)


async def test_a_search_finds_nothing_that_was_rolled_back(harness: LateEngineHarness) -> None:
    agent, _ = await harness.join("a")
    harness.ask(agent, "kept", "set", key="kept", value="word")
    harness.ask(agent, "first", "search", text="word")
    await settled(harness)
    await harness.keep()
    assert [hit["key"] for line in agent.take() if line["id"] == "first" for hit in line["ok"]["entries"]] == ["kept"]
    harness.ask(agent, "over", "set", key="kept", value="another")
    harness.ask(agent, "lost", "set", key="lost", value="word")
    harness.ask(agent, "seen", "search", text="word")
    await settled(harness)
    harness.ask(agent, "meanwhile", "search", text="word")
    await turns()
    await harness.fail()
    await settled(harness)
    assert codes(agent) == dict.fromkeys(["over", "lost", "seen", "meanwhile"], "unavailable")
    harness.journal.recover()
    await turns()
    harness.ask(agent, "again", "search", text="word")
    await settled(harness)
    await harness.keep()
    (again,) = [line for line in agent.take() if line.get("id") == "again"]
    assert [hit["key"] for hit in again["ok"]["entries"]] == ["kept"]
    assert agent.connection.reserved_bytes == 0


async def settled(harness: LateEngineHarness) -> None:
    """Let all errands come to their end."""
    while harness.engine._background.tasks:
        await asyncio.gather(*harness.engine._background.tasks, return_exceptions=True)
    await turns()
