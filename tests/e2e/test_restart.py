"""A hub that dies and comes back on the same data, and one that stops in good order: what must still be there (G2, G7).

Real processes, the raw wire, both stores, both durabilities; a hub is killed (SIGKILL) or asked to stop (SIGTERM).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.hubs import HubProcess, StartHub
from tests.e2e.wire import Json, Wire

pytestmark = pytest.mark.e2e

OPTIONS = {
    "full": (),
    "relaxed": ("--durability", "relaxed"),
    "json": ("--journal", "json"),
}


class Life:
    """A hub with several lives, and the agents that are at it."""

    def __init__(self, start: StartHub, data: Path, options: tuple[str, ...], end: str) -> None:
        self._start = start
        self._more: dict[str, Any] = {"data": data, "options": options}
        self._end = end
        self.hub: HubProcess = start(**self._more)
        self.wires: list[Wire] = []

    async def again(self, **limits: float) -> None:
        """Stop the hub, and start it again at the same address, with these limits."""
        if self._end == "SIGKILL" and "relaxed" in self._more["options"]:
            wire = await self.join(agent="keeper")
            await wire.ask("backup")  # what was shown is on disk when this is answered
            await wire.ask("bye")
        await asyncio.to_thread(self.hub.stop, self._end)
        self.hub = await asyncio.to_thread(lambda: self._start(**self._more, limits=limits, port=self.hub.port))

    async def join(self, **fields: Any) -> Wire:
        wire = await Wire.connect(self.hub.ws)
        self.wires.append(wire)
        await wire.hello(**fields)
        return wire

    async def back(self, older: Wire, cursors: dict[int, int] | None = None) -> Wire:
        """The agent of an older connection takes its session over."""
        wire = await Wire.connect(self.hub.ws)
        self.wires.append(wire)
        await wire.take_over(older, cursors)
        return wire


Begin = Callable[[], Awaitable[Life]]


@pytest.fixture(params=[(name, end) for name in OPTIONS for end in ("SIGKILL", "SIGTERM")], ids="-".join)
async def life(request: pytest.FixtureRequest, start_hub: StartHub, tmp_path: Path) -> AsyncIterator[Life]:
    name, end = request.param
    life = await asyncio.to_thread(lambda: Life(start_hub, tmp_path / "data", OPTIONS[name], end))
    yield life
    for wire in life.wires:
        await wire.close()


def new_epoch(life: Life) -> bool:
    """Whether a hub that ended like this may have lost what was shown."""
    return "relaxed" in life._more["options"] and life._end == "SIGKILL"


async def test_a_fresh_directory_begins_at_revision_one(life: Life) -> None:
    a = await life.join(agent="a")
    assert a.welcome["rev"] < 100
    assert a.welcome["durability"] == ("relaxed" if "relaxed" in life._more["options"] else "full")


async def test_entries_versions_and_history_are_there_and_revisions_go_on_above(life: Life) -> None:
    a = await life.join(agent="a")
    await a.ask("set", key="k", value={"n": [1, 2.5, None, "ä"]}, meta={"m": 1}, ttl=3600)
    await a.ask("touch", key="k", ttl=1800)
    for number in range(3):
        await a.ask("set", key="v", value=number, kind="versioned")
    await a.ask("set", key="gone", value=1)
    await a.ask("delete", key="gone")
    await a.ask("set", key="t", value=1, kind="transient")
    before = {key: (await a.ask("get", key=key))["entry"] for key in ("k", "v")}
    history = (await a.ask("history", key="v"))["entries"]
    rev = (await a.ask("ping"))["rev"]
    await life.again()
    b = await life.join(agent="b")
    assert b.welcome["rev"] > rev
    assert (b.welcome["epoch"] == a.welcome["epoch"]) is not new_epoch(life)
    for key, entry in before.items():
        assert (await b.ask("get", key=key))["entry"] == entry
    assert (await b.ask("history", key="v"))["entries"] == history
    assert (await b.ask("get", key="t"))["entry"] is None
    assert (await b.ask("set", key="gone", value=2))["version"] == 2, "a version never starts again"
    assert (await b.ask("set", key="t", value=2))["version"] > 1
    assert (await b.ask("set", key="k", value=0, if_rev=before["k"]["rev"]))["rev"] > b.welcome["rev"]


async def test_sessions_locks_queues_waits_and_outcomes_come_back(life: Life) -> None:
    a, b = await life.join(agent="a"), await life.join(agent="b")
    granted = await a.ask("lock", name="l", ttl=60, rid="lock-once")
    (queued,) = await b.send({"op": "lock", "name": "l", "wait": 60})
    (waits,) = await b.send({"op": "wait", "all": [{"key": "comes"}], "timeout": 600})
    (takes,) = await b.send({"op": "take", "patterns": ["job:*"], "timeout": 600})
    written = await a.ask("set", key="once", value=1, rid="set-once")
    await a.ask("set", key="mine", value=1, ephemeral=True)
    await a.ask("status", status={"doing": "tests"})
    await b.ask("ping")
    await life.again()
    a, b = await life.back(a), await life.back(b)
    assert (await a.ask("set", key="once", value=1, rid="set-once")) == {**written, "dup": True}
    assert (await a.ask("lock", name="l", ttl=60, rid="lock-once"))["token"] == granted["token"]
    (lock,) = (await b.ask("locks"))["locks"]
    assert lock["token"] == granted["token"]
    assert [one["agent"] for one in lock["queue"]] == ["b"]
    assert (await b.ask("get", ns="$agents", key="a"))["entry"]["value"]["status"] == {"doing": "tests"}
    assert (await b.refusal("set", key="l", value=1)).code == "locked"
    await a.ask("unlock", token=granted["token"])
    assert (await b.ok(queued))["token"] > granted["token"]
    await a.ask("set", key="comes", value=1)
    assert (await b.ok(waits))["met"] == [0]
    await a.ask("set", key="job:1", value=1)
    assert (await b.ok(takes))["entry"]["key"] == "job:1"
    await a.ask("bye")
    assert (await b.ask("get", key="mine"))["entry"] is None


async def test_a_cursor_goes_on_and_misses_nothing(life: Life) -> None:
    a, b = await life.join(agent="a"), await life.join(agent="b")
    chain = await a.subscribe("*", snapshot=True)
    await a.event("synced")
    await b.ask("set", key="one", value=1)
    assert (await a.event("set"))["key"] == "one"
    rev = chain.cursor
    await a.close()
    await b.ask("set", key="two", value=2)
    await b.ask("set", key="two", value=3)
    await life.again()
    a = await life.back(a)
    if new_epoch(life):
        lost = await a.event("lost")
        assert lost["reason"] == "epoch"
        assert {(await a.event("set"))["key"], (await a.event("set"))["key"]} == {"one", "two"}
        return
    assert [(await a.event("set"))["value"], (await a.event("set"))["value"]] == [2, 3]
    c = await life.join(agent="c")
    told = await c.ask("subscribe", patterns=["*"], since={"epoch": b.welcome["epoch"], "rev": rev})
    assert told["resumed"] is True
    assert [(await c.event("set"))["value"], (await c.event("set"))["value"]] == [2, 3]


async def test_a_cursor_that_may_have_missed_transient_events_is_not_resumed(life: Life) -> None:
    a = await life.join(agent="a")
    rev = (await a.ask("set", key="kept", value=1))["rev"]
    await a.ask("set", key="t", value=1, kind="transient")
    await life.again()
    b = await life.join(agent="b")
    told = await b.ask("subscribe", patterns=["*"], since={"epoch": a.welcome["epoch"], "rev": rev})
    assert told["resumed"] is False
    assert told["reason"] == ("epoch" if new_epoch(life) else "restart")
    assert (await b.event("set"))["key"] == "kept"
    assert (await b.event("synced"))["rev"]
    since = {"epoch": b.welcome["epoch"], "rev": rev - 1, "gaps": True}
    told = await b.ask("subscribe", patterns=["k*"], since=since)
    assert told["resumed"] is True, "what is kept can be had all the same"
    assert (await b.event("set"))["rev"] == rev


async def test_deadlines_that_passed_meanwhile_are_events_in_order(life: Life) -> None:
    a = await life.join(agent="a")
    await a.subscribe("*")
    sets = [{"op": "set", "key": key, "value": 1, "ttl": ttl} for key, ttl in (("second", 0.6), ("first", 0.5))]
    await a.ask("txn", **{"if": [], "then": sets})  # at one instant, however long it takes to keep them
    started = time.monotonic()
    await life.again()
    await asyncio.sleep(max(0.0, started + 0.7 - time.monotonic()))
    a = await life.back(a)
    if not new_epoch(life):
        assert [(await a.event("expire"))["key"], (await a.event("expire"))["key"]] == ["first", "second"]
    assert (await a.ask("list", pattern="*"))["entries"] == []


async def test_a_session_that_is_not_taken_over_ends_after_its_grace(life: Life) -> None:
    a, b = await life.join(agent="a"), await life.join(agent="b")
    await a.ask("lock", name="l", ttl=600)
    await life.again(grace=5.0)
    b = await life.back(b)
    events: Json = {}
    await b.subscribe("*", types=["unlock"])
    events = await b.event("unlock")
    assert events["reason"] == "session_ended"
