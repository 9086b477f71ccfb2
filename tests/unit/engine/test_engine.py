"""The engine between machine, journal and fan-out: which changes are seen, when, and which never are."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.journals import LateJournal, WriterJournal
from waggle.wire import messages as m
from waggle_hub.delivery import encoding
from waggle_hub.delivery.connection import TaskConnection
from waggle_hub.delivery.fanout import Fanout
from waggle_hub.delivery.frame import Payload
from waggle_hub.edge.decode import decode
from waggle_hub.engine.background import BackUp, Settled, refuse_backup
from waggle_hub.engine.engine import Engine
from waggle_hub.journal.interface import OpenJournal
from waggle_hub.journal.memory import NullJournal
from waggle_hub.journal.sqlite.store import SqliteStore
from waggle_hub.settings import Bounds, Limits
from waggle_hub.state.commands import entries
from waggle_hub.state.machine import Machine
from waggle_hub.state.transaction import Transaction

INFO = m.Welcome(session="", secret="", agent="", resumed=False, epoch="", rev=0, grace=0.0,
                 hub=m.HubInfo("waggle", "0"), features=[], durability="memory", limits={}, subs={})  # fmt: skip


class Agent:
    """A connection whose lines are collected."""

    def __init__(self, engine: Engine) -> None:
        self.connection = TaskConnection(engine.bounds)
        self.lines: list[dict[str, Any]] = []
        self.writes = 0
        self._engine = engine
        self._writer = asyncio.create_task(self.connection.write(self._send, engine.fanout.ready))

    async def _send(self, text: Payload) -> None:
        self.writes += 1
        self.lines += [json.loads(line) for line in str(text).split("\n")]

    def ask(self, op: str, **fields: Any) -> None:
        self._engine.submit(self.connection, decode(json.dumps({"id": op, "op": op, **fields})))

    def take(self) -> list[dict[str, Any]]:
        taken, self.lines = self.lines, []
        return taken

    async def stop(self) -> None:
        self._writer.cancel()
        await asyncio.gather(self._writer, return_exceptions=True)


async def turns() -> None:
    """Let the loop turn until everything that is ready has run."""
    for _ in range(10):
        await asyncio.sleep(0)


class EngineHarness:
    """An engine on the running loop, its time set by hand."""

    def __init__(self, open_journal: OpenJournal = NullJournal, bounds: Bounds | None = None) -> None:
        self.now = 1_000.0
        self.machine = Machine(Limits(), "epoch")
        self.agents: list[Agent] = []
        self.back_up: BackUp = refuse_backup
        loop = asyncio.get_running_loop()
        self.engine = Engine(
            self.machine, open_journal, bounds or Bounds(), lambda: self.now, INFO, loop=loop, back_up=self._back_up
        )
        journal = self.engine._journal
        self.machine.set_durability(journal.durability)
        if isinstance(journal, LateJournal):
            journal.disk.write(self.machine.collect_changes([]))
        elif isinstance(journal, WriterJournal):
            SqliteStore.write(journal.gate, self.machine.collect_changes([]))
        self.engine.run()

    async def _back_up(self, settled: Settled) -> m.BackedUp:
        return await self.back_up(settled)

    def sit(self) -> Agent:
        agent = Agent(self.engine)
        self.agents.append(agent)
        return agent

    async def stop(self) -> None:
        self.engine.stop()
        for agent in self.agents:
            await agent.stop()
        self.engine._journal.stop()


@pytest_asyncio.fixture
async def harness(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[EngineHarness]:
    kind = getattr(request, "param", NullJournal)
    harness = EngineHarness(partial(kind, directory=tmp_path) if kind is WriterJournal else kind)
    yield harness
    await harness.stop()


def journal_of(harness: EngineHarness) -> LateJournal | WriterJournal:
    journal = harness.engine._journal
    assert isinstance(journal, LateJournal | WriterJournal)
    return journal


late = pytest.mark.parametrize("harness", [LateJournal, WriterJournal], indirect=True)
in_memory = pytest.mark.parametrize("harness", [LateJournal], indirect=True)


async def test_in_memory_a_change_is_seen_in_the_turn_that_decides_it(harness: EngineHarness) -> None:
    agent = harness.sit()
    agent.ask("hello", agent="a")
    agent.ask("subscribe", patterns=["*"])
    agent.ask("set", key="k", value=1)
    await turns()
    assert [line.get("id") or line["type"] for line in agent.take()] == ["hello", "subscribe", "set", "set"]


async def test_decisions_of_one_loop_turn_leave_in_one_write(harness: EngineHarness) -> None:
    writer, reader = harness.sit(), harness.sit()
    for agent in (writer, reader):
        agent.ask("hello")
        agent.ask("subscribe", patterns=["*"], ns="default")
    await turns()
    before = reader.writes
    for number in range(100):
        writer.ask("set", key=f"k{number}", value=number)
    await turns()
    assert reader.writes == before + 1
    assert [line["value"] for line in reader.take() if line.get("type") == "set"] == list(range(100))


@late
async def test_no_change_or_reply_is_seen_before_the_journal_has_written_it(harness: EngineHarness) -> None:
    journal, writer, reader = journal_of(harness), harness.sit(), harness.sit()
    writer.ask("hello")
    reader.ask("hello")
    reader.ask("subscribe", patterns=["*"])
    await turns()
    assert reader.take() == writer.take() == []
    journal.commit()
    await turns()
    assert [line["id"] for line in reader.take()] == ["hello", "subscribe"]
    writer.take()
    writer.ask("set", key="k", value=1)
    await turns()
    reader.ask("get", key="k")
    await turns()
    assert reader.take() == writer.take() == []
    journal.commit()
    await turns()
    assert [line["type"] for line in reader.take()] == ["set"]
    assert [line["id"] for line in writer.take()] == ["set"]
    journal.commit()
    await turns()
    (got,) = reader.take()
    assert got["ok"]["entry"]["value"] == 1


@late
async def test_a_subscription_begins_between_two_changes_that_wait_for_the_journal(harness: EngineHarness) -> None:
    journal, agent = journal_of(harness), harness.sit()
    agent.ask("hello")
    agent.ask("set", key="before", value=1)
    agent.ask("subscribe", patterns=["*"], snapshot=True)
    agent.ask("set", key="after", value=2)
    agent.ask("delete", key="before")
    await turns()
    journal.commit()
    await turns()
    events = [line for line in agent.take() if "type" in line]
    assert [(line["type"], line.get("key")) for line in events] == [
        ("set", "before"), ("synced", None), ("set", "after"), ("delete", "before"), ("mark", None),
    ]  # fmt: skip


@late
async def test_a_cursor_that_closes_in_the_same_batch_gets_the_events_before_it(harness: EngineHarness) -> None:
    journal, agent = journal_of(harness), harness.sit()
    agent.ask("hello")
    agent.ask("subscribe", patterns=["*"])
    await turns()
    journal.commit()
    await turns()
    agent.take()
    agent.ask("set", key="k", value=1)
    agent.ask("unsubscribe", sub=1)
    agent.ask("set", key="k", value=2)
    await turns()
    journal.commit()
    await turns()
    assert [line["value"] for line in agent.take() if line.get("type") == "set"] == [1]


@late
async def test_a_takeover_takes_effect_when_its_batch_is_released(harness: EngineHarness) -> None:
    journal, first, second, other = journal_of(harness), harness.sit(), harness.sit(), harness.sit()
    first.ask("hello", agent="a")
    first.ask("subscribe", patterns=["*"])
    other.ask("hello")
    await turns()
    journal.commit()
    await turns()
    welcome, subscribed = (line["ok"] for line in first.take())
    other.ask("set", key="k", value=1)
    cursors = {str(subscribed["sub"]): subscribed["rev"]}
    second.ask("hello", session=welcome["session"], secret=welcome["secret"], cursors=cursors)
    await turns()
    assert first.connection.closing is None
    assert second.take() == []
    journal.commit()
    await turns()
    assert first.connection.closing is not None
    assert first.connection.closing[0] == 4002
    lines = second.take()
    assert lines[0]["ok"]["resumed"] is True
    assert [line["type"] for line in lines[1:]] == ["set", "mark"]


@late
async def test_no_event_of_a_batch_that_failed_is_ever_seen(harness: EngineHarness) -> None:
    journal, writer, reader = journal_of(harness), harness.sit(), harness.sit()
    writer.ask("hello")
    reader.ask("hello")
    reader.ask("subscribe", patterns=["*"])
    await turns()
    journal.commit()
    await turns()
    reader.take()
    writer.take()
    writer.ask("set", key="kept", value=1)
    await turns()
    writer.ask("set", key="lost", value=2)
    await turns()
    writer.ask("set", key="later", value=3)
    await turns()
    journal.commit()
    journal.commit(OSError("disk full"))
    await turns()
    writer.ask("get", key="lost")
    await turns()
    *outcomes, got = writer.take()
    assert [line.get("error", {}).get("code", "ok") for line in outcomes] == ["ok", "unavailable", "unavailable"]
    assert got["ok"]["entry"] is None
    assert [line["key"] for line in reader.take()] == ["kept"]


async def test_due_entries_expire_by_the_timer_in_slices(harness: EngineHarness) -> None:
    agent = harness.sit()
    agent.ask("hello")
    agent.ask("subscribe", patterns=["*"])
    for number in range(600):
        agent.ask("set", key=f"k{number}", value=number, ttl=0.001)
    await turns()
    agent.take()
    harness.now += 1
    harness.engine._expiry.expire()
    while harness.machine.state.keyspace.keys > 2:
        await turns()
    await turns()
    expired = [line["key"] for line in agent.take() if line.get("type") == "expire"]
    assert expired == [f"k{number}" for number in range(600)]


async def test_a_fault_in_a_rule_fails_only_its_own_command(
    harness: EngineHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = harness.sit()
    agent.ask("hello")
    with monkeypatch.context() as broken:
        broken.setattr(Machine, "apply", lambda *_: 1 / 0)
        agent.ask("get", key="k")
    agent.ask("ping")
    await turns()
    _, fault, pong = agent.take()
    assert fault["error"]["code"] == "internal"
    assert fault["error"]["id"] in fault["error"]["message"]
    assert "ok" in pong


@late
async def test_after_a_failure_no_connection_is_held_for_missing_replies(harness: EngineHarness) -> None:
    """The reserved reply was longer than the error in its place: the next command must be read."""
    journal, agent = journal_of(harness), harness.sit()
    agent.ask("hello")
    agent.ask("set", key="k", value="x" * 3_000_000)
    agent.ask("get", key="k")
    assert agent.connection.congested
    await turns()
    journal.commit(OSError("disk full"))
    await turns()
    assert [line["error"]["code"] for line in agent.take()] == ["unavailable"] * 3
    assert agent.connection.reserved_bytes == 0
    assert not agent.connection.congested


@late
async def test_after_a_failure_nothing_unkept_is_read_from_log_or_snapshot(harness: EngineHarness) -> None:
    journal, writer, behind, showing = journal_of(harness), harness.sit(), harness.sit(), harness.sit()
    for agent in (writer, behind, showing):
        agent.ask("hello")
    writer.ask("set", key="k", value="kept")
    behind.ask("subscribe", patterns=["*"], since={"epoch": "epoch", "rev": 0})
    showing.ask("subscribe", patterns=["*"], snapshot=True)
    await turns()
    writer.ask("set", key="k", value="lost")
    writer.ask("set", key="l", value="lost")
    writer.ask("delete", key="k")
    writer.ask("publish", channel="c", data="lost")
    await turns()
    journal.commit()
    journal.commit(OSError("disk full"))
    await turns()
    assert [line["value"] for line in behind.take() if line.get("type") == "set"] == ["kept"]
    assert [line["value"] for line in showing.take() if line.get("type") == "set"] == ["kept"]
    assert [line["error"]["code"] for line in writer.take() if "error" in line] == ["unavailable"] * 4


@late
async def test_while_the_journal_is_late_a_snapshot_shows_what_was_kept(harness: EngineHarness) -> None:
    journal, writer, reader = journal_of(harness), harness.sit(), harness.sit()
    writer.ask("hello")
    reader.ask("hello")
    writer.ask("set", key="k", value="old")
    reader.ask("subscribe", patterns=["*"], snapshot=True)
    await turns()
    for key in "jkl":
        writer.ask("set", key=key, value="new")
    await turns()
    journal.commit()
    await turns()
    said = [line for line in reader.take() if "type" in line]
    assert [(line["type"], line.get("value")) for line in said] == [("set", "old"), ("synced", None), ("mark", None)]
    journal.commit()
    await turns()
    assert [line["value"] for line in reader.take()] == ["new"] * 3


async def test_commands_of_a_connection_that_was_replaced_are_refused(harness: EngineHarness) -> None:
    older, newer = harness.sit(), harness.sit()
    older.ask("hello", agent="a")
    await turns()
    (welcome,) = older.take()
    newer.ask("hello", session=welcome["ok"]["session"], secret=welcome["ok"]["secret"])
    rev = harness.machine.state.log.rev
    older.ask("set", key="k", value=1)
    older.ask("hello", agent="b")
    assert harness.machine.state.log.rev == rev
    assert len(harness.machine.state.sessions) == 1
    await turns()
    assert older.connection.closing is not None
    assert older.connection.closing[0] == 4002
    harness.engine.leave(older.connection)
    session = harness.machine.state.sessions.get(welcome["ok"]["session"])
    assert session is not None
    assert session.connected, "that the older one leaves is nothing to the newer"


async def test_a_flood_in_the_batch_of_a_takeover_is_delivered(harness: EngineHarness) -> None:
    older, newer, writer = harness.sit(), harness.sit(), harness.sit()
    older.ask("hello", agent="a")
    older.ask("subscribe", patterns=["*"])
    writer.ask("hello")
    await turns()
    welcome, subscribed = (line["ok"] for line in older.take())
    for number in range(30):
        writer.ask("publish", channel="c", data=[number, "x" * 100_000])
    newer.ask(
        "hello",
        session=welcome["session"],
        secret=welcome["secret"],
        cursors={str(subscribed["sub"]): subscribed["rev"]},
    )
    await turns()
    await turns()
    await turns()
    assert [line["data"][0] for line in newer.take() if line.get("type") == "message"] == list(range(30))


async def test_a_full_hub_evicts_the_cached_entry_that_was_used_least_recently(harness: EngineHarness) -> None:
    agent = harness.sit()
    harness.machine.state.limits = Limits(keys=5)  # two of them say that the agent is here
    agent.ask("hello", agent="a")
    agent.ask("subscribe", patterns=["*"], types=["evict"])
    for key in ("old", "kept", "newer"):
        agent.ask("set", key=key, value=1, kind="persistent" if key == "kept" else "cached")
    agent.ask("get", key="old")
    agent.ask("set", key="more", value=1)
    await turns()
    (event,) = [line for line in agent.take() if "type" in line]
    assert (event["type"], event["key"], event["by"], event["version"]) == ("evict", "newer", "$hub", 1)
    agent.ask("set", key="again", value=1)
    agent.ask("set", key="too many", value=1)
    await turns()
    *_, evicted, written, refused = agent.take()
    assert evicted["key"] == "old"
    assert "ok" in written
    assert refused["error"]["code"] == "limit"
    assert refused["error"]["limit"] == 5


async def test_a_rid_of_a_write_that_needed_room_is_kept_once(harness: EngineHarness) -> None:
    agent = harness.sit()
    harness.machine.state.limits = Limits(keys=3)
    agent.ask("hello", agent="a")
    agent.ask("set", key="old", value=1, kind="cached")
    agent.ask("set", key="new", value=1, rid="r")
    agent.ask("set", key="new", value=1, rid="r")
    await turns()
    *_, first, second = agent.take()
    assert second == {**first, "ok": {**first["ok"], "dup": True}, "dup": True}


async def test_a_write_that_needs_more_evictions_than_allowed_gets_unavailable() -> None:
    harness = EngineHarness(bounds=Bounds(evict=2))
    agent = harness.sit()
    agent.ask("hello", agent="a")
    for number in range(10):
        agent.ask("set", key=str(number), value="x" * 10, kind="cached")
    harness.machine.state.limits = Limits(bytes=harness.machine.state.keyspace.bytes)
    for _ in range(5):
        agent.ask("set", key="large", value="y" * 90)
    await turns()
    replies = [line for line in agent.take() if line["id"] == "set"][10:]
    assert replies[0]["error"]["code"] == "unavailable"
    assert replies[0]["error"]["retry_after"] > 0
    assert "ok" in replies[-1]
    await harness.stop()


async def test_stats_count_the_contents_and_the_work_of_the_hub(harness: EngineHarness) -> None:
    agent = harness.sit()
    agent.ask("hello", agent="a")
    agent.ask("set", key="k", value="text", ttl=1.0)
    agent.ask("get", key="k")
    agent.ask("get", key="nothing")
    agent.ask("delete", key="k", if_rev=1)
    agent.ask("subscribe", patterns=["*"])
    await turns()
    harness.now += 2.0
    harness.engine._expiry.expire()
    agent.take()
    agent.ask("stats")
    await turns()
    stats = agent.take()[-1]["ok"]
    assert {name: stats[name] for name in ("reads", "writes", "hits", "misses", "evictions", "expiries")} == {
        "reads": 2, "writes": 1, "hits": 1, "misses": 1, "evictions": 0, "expiries": 1,
    }  # fmt: skip
    assert {name: stats[name] for name in ("keys", "sessions", "subscriptions", "connections", "slow")} == {
        "keys": 2, "sessions": 1, "subscriptions": 1, "connections": 1, "slow": 0,
    }  # fmt: skip
    assert (stats["ops"]["get"]["count"], stats["ops"]["get"]["errors"], stats["ops"]["delete"]["errors"]) == (2, 0, 1)
    assert 0 < stats["ops"]["get"]["mean"] < 1
    assert stats["lateness"] == {"count": 1, "p50": 1.0, "p99": 1.0, "max": 1.0}
    assert stats["log"] == {"events": 4, "bytes": stats["log"]["bytes"], "floor": 0, "rev": 3}
    assert (stats["rev"], stats["events"], stats["durability"]) == (3, 4, "memory")
    assert stats["memory"] > 1_000_000
    assert stats["sends"] == agent.writes - 1


async def test_rates_are_those_of_the_last_ten_seconds(harness: EngineHarness) -> None:
    agent = harness.sit()
    agent.ask("hello", agent="a")
    for second in range(1, 31):
        for number in range(4):
            agent.ask("set", key=str(number), value=second)
        harness.now += 1.0
        harness.engine._stats.sample(harness.now)
    agent.ask("stats")
    await turns()
    rates = agent.take()[-1]["ok"]["rates"]
    assert (rates["commands"], rates["revisions"], rates["events"]) == (4.1, 4.0, 4.0)


async def test_a_fault_before_any_change_is_the_error_of_its_command_alone(
    harness: EngineHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = harness.sit()
    agent.ask("hello")
    monkeypatch.setattr(entries, "get", _fail)
    agent.ask("get", key="k")
    agent.ask("set", key="k", value=1)
    await turns()
    *_, fault, written = agent.take()
    assert fault["error"]["code"] == "internal"
    assert fault["error"]["id"]
    assert "ok" in written


async def test_a_fault_in_the_middle_of_a_change_stops_the_engine(
    harness: EngineHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = harness.sit()
    agent.ask("hello")
    monkeypatch.setattr(Transaction, "record_event", _fail)
    agent.ask("set", key="k", value=1)
    monkeypatch.undo()
    agent.ask("set", key="l", value=1)
    await turns()
    assert [line["error"]["code"] for line in agent.take()] == ["unavailable"] * 3
    assert harness.machine.inconsistent


async def test_a_fault_during_expiry_stops_the_engine(harness: EngineHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = harness.sit()
    agent.ask("hello")
    agent.ask("set", key="k", value=1, ttl=1)
    await turns()
    monkeypatch.setattr(Transaction, "expire", _fail)
    harness.now += 2
    harness.engine._expiry.expire()
    agent.take()
    agent.ask("ping")
    await turns()
    assert agent.take()[-1]["error"]["code"] == "unavailable"


async def test_only_a_connection_whose_event_cannot_be_encoded_is_closed(
    harness: EngineHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlucky, lucky, writer = harness.sit(), harness.sit(), harness.sit()
    unlucky.ask("hello")
    unlucky.ask("subscribe", patterns=["a*"], prev=True)
    lucky.ask("hello")
    lucky.ask("subscribe", patterns=["*"])
    writer.ask("hello")
    await turns()
    monkeypatch.setattr(encoding, "_before", _fail)
    writer.ask("set", key="a", value=1)
    await turns()
    monkeypatch.undo()
    writer.ask("set", key="a", value=2)
    await turns()
    assert [line["value"] for line in lucky.take() if "type" in line] == [1, 2]
    assert "ok" in writer.take()[-1]
    assert not [line for line in unlucky.take() if "type" in line]
    assert unlucky.connection.closing is not None
    assert unlucky.connection.closing[0] == 4001
    assert (lucky.connection.closing, writer.connection.closing) == (None, None)


async def test_a_fault_in_the_middle_of_a_release_closes_all_connections(
    harness: EngineHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = harness.sit(), harness.sit()
    for agent in (reader, writer):
        agent.ask("hello")
        agent.ask("subscribe", patterns=["*"])
    await turns()
    monkeypatch.setattr(Fanout, "_add_commit", _fail)
    writer.ask("set", key="a", value=1)
    await turns()
    monkeypatch.undo()
    assert reader.connection.closing is not None
    assert writer.connection.closing is not None
    late = harness.sit()
    late.ask("hello")
    await turns()
    assert late.take()[-1]["error"]["code"] == "unavailable"


def _fail(*_: object) -> None:
    raise RuntimeError("a fault made by the test")


@late
async def test_a_grant_and_a_lock_loss_are_sent_when_the_journal_has_written_them(harness: EngineHarness) -> None:
    journal, holder, waiter = journal_of(harness), harness.sit(), harness.sit()
    holder.ask("hello")
    holder.ask("lock", name="a", ttl=1)
    waiter.ask("hello")
    waiter.ask("lock", name="a", wait=10)
    await turns()
    journal.commit()
    await turns()
    holder.take()
    waiter.take()
    harness.now += 2
    harness.engine._expiry.expire()
    await turns()
    assert holder.take() == waiter.take() == []
    journal.commit()
    await turns()
    (lost,) = holder.take()
    assert lost["lost"]["reason"] == "expired"
    (granted,) = waiter.take()
    assert granted["ok"]["token"] > lost["lost"]["token"]


@late
async def test_a_lock_loss_that_was_not_stored_is_not_announced(harness: EngineHarness) -> None:
    journal, holder = journal_of(harness), harness.sit()
    holder.ask("hello")
    holder.ask("lock", name="a", ttl=1)
    await turns()
    journal.commit()
    await turns()
    holder.take()
    harness.now += 2
    harness.engine._expiry.expire()
    await turns()
    journal.commit(OSError("disk full"))
    await turns()
    assert holder.take() == []


async def test_a_scan_of_many_keys_continues_in_later_turns(harness: EngineHarness) -> None:
    harness.machine.state.limits = Limits(scan=10)
    agent = harness.sit()
    agent.ask("hello")
    for number in range(50):
        agent.ask("set", key=f"k{number:02}", value=number)
    agent.ask("wait", all=[{"pattern": "*", "where": {"value": 45}}], timeout=0)
    agent.ask("take", patterns=["*7"])
    for _ in range(10):
        await turns()
    replies = {line["id"]: line for line in agent.take()}
    assert [entry["key"] for entry in replies["wait"]["ok"]["matched"]] == ["k45"]
    assert replies["take"]["ok"]["entry"]["key"] == "k07"


# --- backups -----------------------------------------------------------------------------------------------------


async def test_a_backup_of_a_hub_in_memory_is_refused(harness: EngineHarness) -> None:
    agent = harness.sit()
    agent.ask("backup")
    agent.ask("hello")
    agent.ask("backup")
    await turns()
    first, _, second = agent.take()
    assert "hello" in first["error"]["message"]
    assert (second["id"], second["error"]["code"]) == ("backup", "bad_request")


@in_memory
async def test_a_backup_holds_earlier_decisions_and_delays_no_other_command(harness: EngineHarness) -> None:
    journal, may = harness.engine._journal, asyncio.Event()
    assert isinstance(journal, LateJournal)

    async def back_up(settled: Settled) -> m.BackedUp:
        rev = await settled()
        await may.wait()
        return m.BackedUp("/b", 1, rev, 0.0)

    harness.back_up = back_up
    agent = harness.sit()
    agent.ask("hello")
    agent.ask("set", key="k", value=1)
    agent.ask("backup")
    await turns()
    while journal.waiting:
        journal.commit()
    await turns()
    assert [line["id"] for line in agent.take()] == ["hello", "set"]
    assert harness.machine.state.log.rev == journal.kept[-1].rev
    agent.ask("ping")
    may.set()
    await turns()
    while journal.waiting:
        journal.commit()
    await turns()
    ping, backup = agent.take()
    assert ping["id"] == "ping"
    assert backup == {"id": "backup", "ok": {"path": "/b", "bytes": 1, "rev": journal.kept[-1].rev, "seconds": 0.0}}


async def test_a_backup_is_answered_on_the_newest_connection_of_its_session(harness: EngineHarness) -> None:
    may = asyncio.Event()
    fails = False

    async def back_up(settled: Settled) -> m.BackedUp:
        await may.wait()
        if fails:
            raise OSError("an unexpected error")
        return m.BackedUp("/b", 1, 2, 0.0)

    harness.back_up = back_up
    first, second = harness.sit(), harness.sit()
    first.ask("hello")
    await turns()
    (welcome,) = first.take()
    first.ask("backup")
    await turns()
    harness.engine.leave(first.connection)
    second.ask("hello", session=welcome["ok"]["session"], secret=welcome["ok"]["secret"])
    may.set()
    await turns()
    assert [line["id"] for line in second.take()] == ["hello", "backup"]
    second.ask("backup")
    await turns()
    second.take()
    may.clear()
    second.ask("backup")
    harness.engine.leave(second.connection)
    may.set()
    await turns()
    assert second.take() == []
    fails = True
    third = harness.sit()
    third.ask("hello")
    third.ask("backup")
    await turns()
    assert third.take()[1]["error"]["code"] == "internal"


# --- searches ----------------------------------------------------------------------------------------------------


async def errands(harness: EngineHarness) -> None:
    """Let all searches come to their answers."""
    while harness.engine._background.tasks:
        await asyncio.gather(*harness.engine._background.tasks)
    await turns()


async def test_a_search_finds_earlier_writes_and_delays_no_other_command(harness: EngineHarness) -> None:
    agent = harness.sit()
    agent.ask("hello")
    agent.ask("search", text="word")
    agent.ask("set", key="k", value="word")
    await turns()
    assert [line["id"] for line in agent.take()] == ["hello", "set"]
    await errands(harness)
    (answer,) = agent.take()
    assert answer["id"] == "search"
    agent.ask("delete", key="k")
    agent.ask("set", key="l", value="word")
    agent.ask("search", text="word")
    await errands(harness)
    found = agent.take()[-1]["ok"]
    assert [hit["key"] for hit in found["entries"]] == ["l"]
    assert (found["more"], found["rev"]) == (False, harness.machine.state.log.rev)
    assert agent.connection.reserved_bytes == 0


@late
async def test_a_search_is_answered_after_the_journal_has_what_it_found(harness: EngineHarness) -> None:
    journal, agent = journal_of(harness), harness.sit()
    agent.ask("hello")
    await turns()
    journal.commit()
    await turns()
    agent.take()
    agent.ask("set", key="k", value="word")
    agent.ask("search", text="word")
    await errands(harness)
    assert agent.take() == []
    while len(agent.lines) < 2:
        journal.commit()
        await turns()
    assert [line["id"] for line in agent.take()] == ["set", "search"]


async def test_a_search_is_answered_on_the_newest_connection_of_its_session(harness: EngineHarness) -> None:
    first, second = harness.sit(), harness.sit()
    first.ask("hello")
    await turns()
    (welcome,) = first.take()
    first.ask("search", text="word")
    harness.engine.leave(first.connection)
    second.ask("hello", session=welcome["ok"]["session"], secret=welcome["ok"]["secret"])
    await errands(harness)
    assert [line["id"] for line in second.take()] == ["hello", "search"]
    second.ask("search", text="word")
    harness.engine.leave(second.connection)
    await errands(harness)
    assert second.take() == []
