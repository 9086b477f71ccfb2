"""Calls through the real engine: each hears its own answer, and what is dropped leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.journals import LateJournal
from waggle.wire import messages as m
from waggle.wire.errors import BadRequest, Cancelled, Conflict, Locked, SessionLost, TimedOut, Unavailable
from waggle_hub.edge.http.calls import CallRegistry, HttpCaller
from waggle_hub.edge.identity import ANONYMOUS, Identity
from waggle_hub.engine.background import BackUp, Settled, refuse_backup
from waggle_hub.engine.engine import Engine
from waggle_hub.journal.interface import JournalListener
from waggle_hub.settings import Bounds, Limits
from waggle_hub.state.machine import Machine

INFO = m.Welcome(session="", secret="", agent="", resumed=False, epoch="", rev=0, grace=0.0,
                 hub=m.HubInfo("waggle", "0"), features=[], durability="memory", limits={}, subs={})  # fmt: skip


class Room:
    """An engine on the running loop, its time set by hand, whose journal writes when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.machine = Machine(Limits(), "epoch")
        self.machine.set_durability("full")
        self.back_up: BackUp = refuse_backup
        loop = asyncio.get_running_loop()
        self.engine = Engine(
            self.machine, self._open_journal, Bounds(), lambda: self.now, INFO, loop=loop, back_up=self._back_up
        )
        self.journal.disk.write(self.machine.collect_changes([]))
        self.engine.run()
        self.callers = CallRegistry(self.engine)

    def _open_journal(self, listener: JournalListener) -> LateJournal:
        self.journal = LateJournal(listener)
        return self.journal

    async def _back_up(self, settled: Settled) -> m.BackedUp:
        return await self.back_up(settled)

    def named(self, agent: str = "x") -> HttpCaller:
        return self.callers.caller(Identity(agent, None))

    async def call(self, agent: str | None, op: str, /, **fields: Any) -> Any:
        """A call, kept at once."""
        caller = self.callers.caller(ANONYMOUS) if agent is None else self.named(agent)
        task = asyncio.create_task(caller.call(op, fields))
        await self.keep()
        return await task

    async def keep(self) -> None:
        """Everything that was decided is kept and told."""
        for _ in range(5):
            await asyncio.sleep(0)
            while self.journal.waiting:
                self.journal.commit()
        await asyncio.sleep(0)

    async def locks(self) -> list[str]:
        held = await self.call(None, "locks")
        return [lock["agent"] for lock in held["locks"]]

    def at_rest(self) -> bool:
        """Whether no call is remembered."""
        return not self.callers.open


@pytest_asyncio.fixture
async def room() -> AsyncIterator[Room]:
    room = Room()
    yield room
    room.engine.stop()


async def test_a_call_is_answered_when_the_journal_has_it(room: Room) -> None:
    task = asyncio.create_task(room.named().call("set", {"key": "k", "value": 1}))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not task.done()
    await room.keep()
    assert (await task)["version"] == 1


async def test_the_answer_comes_as_text_just_as_well(room: Room) -> None:
    task = asyncio.create_task(room.named().ask("ping", b" {} "))
    await room.keep()
    assert json.loads(await task)["at"] == 1_000.0


async def test_many_calls_each_hear_their_own_answer(room: Room) -> None:
    calls = [room.named(f"a{n % 7}").call("set", {"key": f"k{n}", "value": n}) for n in range(200)]
    calls += [room.named(f"a{n % 7}").call("get", {"key": f"k{n}"}) for n in range(200)]
    tasks = [asyncio.create_task(call) for call in calls]
    await room.keep()
    answers = await asyncio.gather(*tasks)
    assert [answer["entry"]["value"] for answer in answers[200:]] == list(range(200))
    assert len(room.machine.state.sessions) == 7
    assert room.at_rest()


async def test_an_error_comes_with_all_it_carries(room: Room) -> None:
    await room.call("x", "set", key="k", value=1)
    with pytest.raises(Conflict) as conflict:
        await room.call("y", "set", key="k", value=2, if_rev=0)
    assert conflict.value.current["value"] == 1


@pytest.mark.parametrize(("op", "fields", "field"), [
    ("set", b'{"key": "k"}', "value"), ("set", b'{"key": "k", "value": 1, "tll": 3}', "tll"),
    ("sett", b"{}", "op"), ('set","x":"', b"{}", "op"), ("get", b'{"op": "set", "key": "k"}', "op"),
    ("get", b"[]", None), ("get", b"", None), ("get", b'{"key": "k"} {}', None), ("get", b'{"key": "\xff"}', None),
    ("get", b'{"key": "k"', None), ("get", b'{"key": "k", "id": "$7"}', "id"), ("hello", b"{}", "op"),
    ("set", b'{"key": "k", "value": ' + b"[" * 100_000, None), ("subscribe", b'{"patterns": ["*"]}', "op"),
])  # fmt: skip
async def test_a_body_that_is_no_command_is_refused(room: Room, op: str, fields: bytes, field: str | None) -> None:
    task = asyncio.create_task(room.named().ask(op, fields))
    await room.keep()
    with pytest.raises(BadRequest) as bad:
        await task
    assert bad.value.details.get("field") == field
    assert room.at_rest()


async def test_fields_that_are_not_json_are_refused(room: Room) -> None:
    for value in (object(), "\ud800", 2**70):
        with pytest.raises(BadRequest):
            await room.call("x", "set", key="k", value=value)


async def test_a_name_that_cannot_be_stored_is_refused(room: Room) -> None:
    with pytest.raises(BadRequest):
        await room.call("\ud800", "ping")
    assert await room.call("x", "ping")


# --- calls that wait ---


async def test_a_call_can_be_cancelled_by_its_id(room: Room) -> None:
    task = asyncio.create_task(room.named().call("wait", {"all": [{"key": "k"}], "id": "mine"}))
    await room.keep()
    with pytest.raises(BadRequest, match="still waits"):
        await room.call("x", "ping", id="mine")
    assert await room.call("x", "cancel", target="mine") == {"cancelled": True}
    with pytest.raises(Cancelled):
        await task


async def test_a_wait_has_its_time(room: Room) -> None:
    task = asyncio.create_task(room.named().call("wait", {"all": [{"key": "k"}], "timeout": 5}))
    await room.keep()
    room.now += 6
    await room.call(None, "ping")
    with pytest.raises(TimedOut):
        await task


async def test_a_dropped_call_waits_no_longer(room: Room) -> None:
    await room.call("x", "lock", name="n")
    task = asyncio.create_task(room.named("y").call("lock", {"name": "n", "wait": None}))
    await room.keep()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await room.keep()
    assert (await room.call(None, "locks"))["locks"][0]["queue"] == []
    assert room.at_rest()


@pytest.mark.parametrize("turns", range(6))
async def test_a_grant_that_raced_with_the_end_of_its_call_is_given_back(room: Room, turns: int) -> None:
    task = asyncio.create_task(room.named().call("lock", {"name": "n"}))
    for _ in range(turns):
        await asyncio.sleep(0)
        while room.journal.waiting and turns > 3:
            room.journal.commit()
    task.cancel()
    answers = await asyncio.gather(task, return_exceptions=True)
    await room.keep()
    heard = isinstance(answers[0], dict)
    assert await room.locks() == (["x"] if heard else [])
    assert room.at_rest()


async def test_an_answer_that_could_not_be_passed_on_is_given_back(room: Room) -> None:
    call = room.named().begin("lock", b'{"name": "n"}')
    await room.keep()
    assert call.reply.done()
    call.cancel_or_release()
    await room.keep()
    assert await room.locks() == []


async def test_what_repeats_an_older_grant_takes_nothing_with_it(room: Room) -> None:
    await room.call("x", "lock", name="n", rid="r")
    call = room.named().begin("lock", b'{"name": "n", "rid": "r"}')
    await room.keep()
    call.cancel_or_release()
    await room.keep()
    assert await room.locks() == ["x"]


async def test_a_grant_whose_rid_is_asked_again_stays(room: Room) -> None:
    dropped = room.named().begin("lock", b'{"name": "n", "rid": "r"}')
    dropped.cancel_or_release()
    again = room.named().begin("lock", b'{"name": "n", "rid": "r"}')
    await room.keep()
    assert json.loads(await again.reply)["dup"]
    assert await room.locks() == ["x"]


async def test_draining_answers_what_waits_and_refuses_the_rest(room: Room) -> None:
    await room.call("x", "lock", name="n")
    task = asyncio.create_task(room.named("y").call("lock", {"name": "n", "wait": None}))
    await room.keep()
    draining = asyncio.create_task(room.engine.drain(2.0))
    await room.keep()
    room.callers.drain(2.0)
    with pytest.raises(Unavailable) as away:
        await task
    assert away.value.details["retry_after"] == 2.0
    with pytest.raises(Unavailable):
        await room.call("z", "ping")
    await room.keep()
    await draining


# --- sessions ---


async def test_an_ended_session_is_started_again_in_the_same_turn(room: Room) -> None:
    await room.call("x", "ping")
    room.now += 60.0
    calls = [asyncio.create_task(room.named().call("ping", {})) for _ in range(2)]
    await room.keep()
    assert all([await call for call in calls])
    assert len(room.engine._active_connection) == 1


async def test_nothing_is_left_of_a_session_that_has_ended(room: Room) -> None:
    for number in range(20):
        await room.call(f"a{number}", "ping")
    room.now += 61.0
    await room.call("last", "ping")
    await room.keep()
    assert list(room.engine._active_connection) == list(room.engine.fanout.connections)
    assert len(room.engine._active_connection) == 1


async def test_when_the_journal_fails_calls_are_told_and_later_ones_go_on(room: Room) -> None:
    first = asyncio.create_task(room.named().call("set", {"key": "k", "value": 1}))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    room.journal.commit(OSError("the disk is full"))
    with pytest.raises(Unavailable):
        await first
    assert room.at_rest()
    room.journal.recover()
    assert (await room.call("x", "set", key="k", value=1))["version"]
    await room.call("x", "lock", name="n")
    with pytest.raises(Locked):
        await room.call("y", "lock", name="n")


async def test_when_the_journal_fails_calls_that_wait_go_on_waiting(room: Room) -> None:
    old = asyncio.create_task(room.named("x").call("wait", {"all": [{"key": "w"}]}))
    await room.keep()
    unkept = asyncio.create_task(room.named("y").call("wait", {"all": [{"key": "w"}]}))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    room.journal.commit(OSError("the disk is full"))
    with pytest.raises(Unavailable):
        await unkept
    room.journal.recover()
    await room.call("z", "set", key="w", value=1)
    assert (await old)["matched"][0]["value"] == 1
    assert room.at_rest()


async def test_when_its_session_ends_a_call_that_holds_nothing_is_told_so(room: Room) -> None:
    call = room.named().begin("backup", b"{}")
    writing = asyncio.Event()

    async def write(settled: Settled) -> m.BackedUp:
        await writing.wait()
        return m.BackedUp("somewhere", 1, 1, 1.0)

    room.back_up = write
    await room.keep()
    room.now += 61.0
    await room.call("y", "ping")
    await room.keep()
    with pytest.raises(SessionLost):
        await call.reply
    writing.set()
    await room.keep()
    assert room.at_rest()
