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
from tests.unit.engine.test_engine import INFO, Agent, Table, turns
from waggle.wire import messages as m
from waggle_hub.edge.decode import decode
from waggle_hub.engine.background import Settled
from waggle_hub.engine.engine import Engine
from waggle_hub.journal.interface import Done, JournalListener, StoreError
from waggle_hub.settings import Bounds, Limits
from waggle_hub.state.machine import Machine
from waggle_hub.state.persistence.records import HubRecord, WriteBatch
from waggle_hub.state.transaction import Transaction


class LateTable(Table):
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
async def table() -> AsyncIterator[LateTable]:
    table = LateTable()
    yield table
    await table.stop()


def held_up(table: LateTable) -> asyncio.Event:
    """Let backups be under way until this is set."""
    may = asyncio.Event()

    async def back_up(settled: Settled) -> m.BackedUp:
        await may.wait()
        return m.BackedUp("/b", 1, await settled(), 0.0)

    table.back_up = back_up
    return may


def torn(*_: object, **__: object) -> None:
    raise RuntimeError("a fault in the middle of a change")


def codes(agent: Agent) -> dict[str, str]:
    """By id, what each answer says: ok, or the code of its error."""
    lines = [line for line in agent.take() if "id" in line]
    assert len({line["id"] for line in lines}) == len(lines), "each command is answered once"
    return {line["id"]: line.get("error", {}).get("code", "ok") for line in lines}


# --- who is answered ---------------------------------------------------------------------------------------------


async def test_commands_that_began_to_wait_are_answered_and_those_that_waited_before_wait_on(table: LateTable) -> None:
    holder, _ = await table.join("holder")
    waiter, _ = await table.join("waiter")
    table.ask(holder, "held", "lock", name="n")
    table.ask(waiter, "before", "lock", name="n", wait=None)
    await table.keep()
    token = holder.take()[-1]["ok"]["token"]
    table.ask(waiter, "lock", "lock", name="n", wait=None)
    table.ask(waiter, "wait", "wait", all=[{"key": "k"}], timeout=60)
    table.ask(waiter, "take", "take", patterns=["*"], timeout=None)
    table.ask(waiter, "set", "set", key="k", value=1)
    table.ask(holder, "unlock", "unlock", token=token)
    await table.fail()
    assert codes(waiter) == dict.fromkeys(["lock", "wait", "take", "set"], "unavailable")
    assert codes(holder) == {"unlock": "unavailable"}
    table.journal.recover()
    table.ask(holder, "again", "unlock", token=token)
    await table.keep()
    assert codes(waiter) == {"before": "ok"}
    assert waiter.connection.reserved_bytes == holder.connection.reserved_bytes == 0


async def test_a_command_that_began_to_wait_is_answered_where_it_was_asked(table: LateTable) -> None:
    """It came by a connection that was about to take the session over, and has not."""
    older, welcome = await table.join("a")
    newer = await table.return_to(welcome)
    table.ask(newer, "wait", "wait", all=[{"key": "k"}], timeout=60)
    await table.fail()
    assert codes(newer) == {"hello": "unavailable", "wait": "unavailable"}
    assert older.take() == []
    table.ask(older, "ping", "ping")
    await turns()
    assert codes(older) == {"ping": "ok"}, "it speaks for the session again"


async def test_a_command_of_a_session_that_never_was_is_answered(table: LateTable) -> None:
    agent = table.sit()
    agent.ask("hello", agent="a")
    agent.ask("wait", all=[{"key": "k"}], timeout=60)
    await table.fail()
    assert codes(agent) == {"hello": "unavailable", "wait": "unavailable"}
    agent.ask("hello", agent="a")
    await turns()
    assert codes(agent) == {"hello": "ok"}, "the connection is as good as before"


@pytest.mark.parametrize("known", [True, False])
async def test_errands_that_were_not_released_are_answered_where_they_were_asked(table: LateTable, known: bool) -> None:
    """By a connection that was about to take a session over, or of a session that never was."""
    older, welcome = await table.join("a")
    newer = await table.return_to(welcome) if known else table.sit()
    if not known:
        newer.ask("hello", agent="b")
    may = held_up(table)
    table.ask(newer, "search", "search", text="word")
    table.ask(newer, "backup", "backup")
    await table.fail()
    may.set()
    await settled(table)
    assert codes(newer) == dict.fromkeys(["hello", "search", "backup"], "unavailable")
    assert older.take() == []
    assert newer.connection.reserved_bytes == older.connection.reserved_bytes == 0


@pytest.mark.parametrize("begun", [True, False])
async def test_commands_in_flight_when_the_hub_fails_are_answered_once(
    table: LateTable, monkeypatch: pytest.MonkeyPatch, begun: bool
) -> None:
    """Whether or not it was released that it began; some of it has its answer by then, which was not."""
    agent, _ = await table.join("a")
    may = held_up(table)
    table.ask(agent, "wait", "wait", all=[{"key": "k"}], timeout=60)
    table.ask(agent, "backup", "backup")
    if begun:
        await table.keep()
    table.ask(agent, "early", "search", text="word")
    await asyncio.wait(table.engine._background.tasks, return_when=asyncio.FIRST_COMPLETED)
    table.ask(agent, "set", "set", key="k", value=1)
    await turns()
    table.ask(agent, "late", "search", text="word")
    monkeypatch.setattr(Transaction, "record_event", torn)
    table.ask(agent, "torn", "set", key="k", value=2)
    await turns()
    may.set()
    await settled(table)
    await table.keep()
    assert codes(agent) == dict.fromkeys(["wait", "early", "backup", "set", "late", "torn"], "unavailable")
    assert agent.connection.reserved_bytes == 0
    table.ask(agent, "set", "set", key="k", value=1)
    await turns()
    assert codes(agent) == {"set": "unavailable"}, "an id may be used again"


async def test_an_answer_that_was_kept_for_an_agent_is_told_when_it_is_back_for_good(table: LateTable) -> None:
    holder, _ = await table.join("holder")
    waiter, welcome = await table.join("waiter")
    holder.ask("lock", name="n")
    waiter.ask("lock", name="n", wait=None)
    await table.keep()
    token = holder.take()[-1]["ok"]["token"]
    table.engine.leave(waiter.connection)
    holder.ask("unlock", token=token)
    await table.keep()
    back = await table.return_to(welcome)
    await table.fail()
    assert codes(back) == {"hello": "unavailable"}, "nothing is said of the lock: it has it"
    assert back.connection.reserved_bytes == 0
    table.journal.recover()
    again = await table.return_to(welcome)
    await table.keep()
    assert codes(again) == {"hello": "ok", "lock": "ok"}


async def test_an_agent_that_came_and_went_before_it_was_released_is_away(table: LateTable) -> None:
    agent, welcome = await table.join("a")
    table.engine.leave(agent.connection)
    await table.keep()
    fleeting = await table.return_to(welcome)
    table.engine.leave(fleeting.connection)
    await table.keep()
    assert welcome["session"] not in table.engine.fanout.connections
    other, _ = await table.join("b")
    other.ask("set", key="k", value=1)
    await table.fail()
    session = table.machine.state.sessions.get(welcome["session"])
    assert session is not None
    assert not session.connected, "its grace runs"


# --- what is due as somebody leaves ------------------------------------------------------------------------------


async def test_events_due_while_an_agent_leaves_are_delivered_to_the_others(table: LateTable) -> None:
    agent, welcome = await table.join("a")
    agent.ask("wait", all=[{"key": "k"}], timeout=1)
    await table.keep()
    table.now += 2
    table.engine.leave(agent.connection)
    await table.keep()
    session = table.machine.state.sessions.get(welcome["session"])
    assert session is not None
    assert not session.connected
    assert not session.pending
    other, _ = await table.join("b")
    other.ask("ping")
    await turns()
    await table.keep()
    assert codes(other) == {"ping": "ok"}


# --- the beginning and the end -----------------------------------------------------------------------------------


class DeadJournal(LateJournal):
    """One that cannot write from the start."""

    stopped = False

    def write(self, changes: WriteBatch, done: Done) -> None:
        done(OSError("read-only"))

    def stop(self) -> None:
        self.stopped = True


async def test_a_hub_that_cannot_write_that_it_runs_does_not_start() -> None:
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


async def test_after_an_orderly_end_nothing_more_is_written(table: LateTable) -> None:
    """There are keys to be looked at for a wait, and something falls due; none of that is decided any more."""
    table.machine.state.limits = Limits(scan=5)
    agent, _ = await table.join("a")
    for number in range(50):
        table.ask(agent, f"set {number}", "set", key=f"k{number}", value=1, ttl=5)
    agent.ask("take", patterns=["k49*"], timeout=None)
    await table.engine.close()
    table.now += 10
    table.engine._expiry.expire()
    table.engine.leave(agent.connection)
    await asyncio.sleep(0)
    await turns()
    hubs = [changes.records.get(("hub",)) for changes, _ in table.journal.waiting]
    last = hubs[-1]
    assert isinstance(last, HubRecord)
    assert last.running is None
    assert last.rev == max(commit.rev for changes, _ in table.journal.waiting for commit in changes.commits)


async def test_a_search_finds_nothing_that_was_taken_back(table: LateTable) -> None:
    agent, _ = await table.join("a")
    table.ask(agent, "kept", "set", key="kept", value="word")
    table.ask(agent, "first", "search", text="word")
    await settled(table)
    await table.keep()
    assert [hit["key"] for line in agent.take() if line["id"] == "first" for hit in line["ok"]["entries"]] == ["kept"]
    table.ask(agent, "over", "set", key="kept", value="another")
    table.ask(agent, "lost", "set", key="lost", value="word")
    table.ask(agent, "seen", "search", text="word")
    await settled(table)
    table.ask(agent, "meanwhile", "search", text="word")
    await turns()
    await table.fail()
    await settled(table)
    assert codes(agent) == dict.fromkeys(["over", "lost", "seen", "meanwhile"], "unavailable")
    table.journal.recover()
    await turns()
    table.ask(agent, "again", "search", text="word")
    await settled(table)
    await table.keep()
    (again,) = [line for line in agent.take() if line.get("id") == "again"]
    assert [hit["key"] for hit in again["ok"]["entries"]] == ["kept"]
    assert agent.connection.reserved_bytes == 0


async def settled(table: LateTable) -> None:
    """Let all errands come to their end."""
    while table.engine._background.tasks:
        await asyncio.gather(*table.engine._background.tasks, return_exceptions=True)
    await turns()
