"""The conditions of a wait: keys, dicts, shortcuts; and the time limit of a whole wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, get_type_hints

import msgspec
import pytest

from tests.unit.client.api.test_hub import ENTRY, meeting
from tests.unit.client.fakehub import FakeHub, Line
from waggle.api.wait import WaitBudget, WaitFor, Where, conditions_of
from waggle.wire.errors import BadRequest, TimedOut
from waggle.wire.limits import MAX_WAIT_S
from waggle.wire.messages import Awaited
from waggle.wire.messages import Where as WireWhere


@pytest.fixture
async def fake() -> AsyncIterator[FakeHub]:
    async with FakeHub() as fake:
        yield fake


def test_the_types_have_the_words_of_the_wire() -> None:
    assert set(get_type_hints(WaitFor)) == set(Awaited.__struct_fields__)
    assert set(get_type_hints(Where)) == set(WireWhere.__struct_fields__)


def test_a_text_condition_is_a_key_with_any_characters() -> None:
    found = conditions_of(["a*", {"pattern": "a*", "count": 3}], "wait_all")
    assert msgspec.to_builtins(found) == [{"key": "a*"}, {"pattern": "a*", "count": 3}]


@pytest.mark.parametrize(
    ("conditions", "said"),
    [
        ("key", "put it into"),
        ({"key": "a"}, "put it into"),
        (["a", 7], r"wait_all\[1\] is a key or a dict"),
        ([{"keys": "a"}], r"wait_all\[0\].*keys"),
        ([{"key": "a", "where": {"op": "like"}}], r"wait_all\[0\]"),
        ([{"key": "a", "where": {"value": float("nan")}}], r"wait_all\[0\]\['where'\]\['value'\]"),
    ],
)
def test_an_invalid_condition_is_reported_with_its_index(conditions: Any, said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        conditions_of(conditions, "wait_all")


def test_a_long_wait_is_asked_for_in_parts() -> None:
    patience = WaitBudget(5000.0, now=100.0)
    assert patience.command([], all=True, now=100.0).timeout == MAX_WAIT_S
    patience.on_timeout(TimedOut("it has not come true"), now=3700.0)
    assert patience.command([], all=True, now=3700.0).timeout == 1400.0
    with pytest.raises(TimedOut):
        patience.on_timeout(TimedOut("it has not come true"), now=5100.0)
    endless = WaitBudget(None, now=100.0)
    assert endless.command([], all=True, now=1e9).timeout == MAX_WAIT_S
    endless.on_timeout(TimedOut("it has not come true"), now=1e9)
    with pytest.raises(TimedOut):
        endless.on_timeout(TimedOut("the hub is away", unanswered=True), now=200.0)


async def test_every_way_to_wait_has_its_words_and_its_answer(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):

        async def both(call: Any) -> tuple[Any, Line]:
            async def answer() -> Line:
                command = await end.next("wait")
                await end.reply(command, matched=[ENTRY, ENTRY], met=[0], rev=120)
                return command

            result, command = await asyncio.gather(call, answer())
            return result, command

        where: Where = {"pointer": "/state", "value": "done"}
        entry, command = await both(hub.wait("a*", where=where, since=7, ns="n", timeout=5))
        assert (entry.key, command["timeout"]) == ("k", pytest.approx(5, abs=0.1))
        assert command["all"] == [{"key": "a*", "ns": "n", "since": 7, "where": where}]
        entries, command = await both(hub.wait(pattern="a*", count=2))
        assert len(entries) == 2
        assert command["all"] == [{"pattern": "a*", "count": 2}]
        nothing, command = await both(hub.wait("a", absent=True, unlocked=True, timeout=None))
        assert nothing is None
        assert command["all"] == [{"key": "a", "absent": True, "unlocked": True}]
        assert command["timeout"] == MAX_WAIT_S
        waited, command = await both(hub.wait_any(["a", {"key": "b", "absent": True}]))
        assert (waited.met, waited.rev, "all" in command) == ([0], 120, False)
        assert command["any"] == [{"key": "a"}, {"key": "b", "absent": True}]


async def test_a_wait_without_end_goes_on_after_the_hubs_hour(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):
        waiting = asyncio.create_task(hub.wait("a", timeout=None))
        for _ in range(2):
            await end.refuse(await end.next("wait"), "timeout", met=[], rev=120)
        await end.reply(await end.next("wait"), matched=[ENTRY], met=[0], rev=120)
        assert (await waiting).key == "k"


async def test_a_wait_that_is_over_is_told(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):
        waiting = asyncio.create_task(hub.wait_all(["a", "b"], timeout=0))
        await end.refuse(await end.next("wait"), "timeout", met=[1], rev=120)
        with pytest.raises(TimedOut) as late:
            await waiting
        assert late.value.details["met"] == [1]
