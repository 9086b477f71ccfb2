"""Typed views, figures and the guide's programs, against a real hub."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path

import pytest

import waggle
from tests.e2e.hubs import HubProcess
from waggle.sync import connect
from waggle.wire.errors import BadRequest, Conflict, Mismatch

pytestmark = pytest.mark.e2e

PATIENCE = 60.0
"""Seconds for anything, on a busy machine."""
GUIDE = Path(__file__).resolve().parents[2] / "docs" / "start.md"


@dataclass
class Task:
    owner: str
    points: int = 0
    log: list[str] = field(default_factory=list)


# --- views -------------------------------------------------------------------------------------------------------


async def test_a_view_writes_reads_and_is_told_in_its_type(hub: HubProcess, ns: str) -> None:
    async with waggle.connect(hub.url, agent="impl-1", ns=ns) as agent:
        tasks = agent.view(Task, prefix="task[*]:")
        async with tasks.watch(prev=True) as events, tasks.mirror() as mirror:
            written = await tasks.set("a", Task("me"), ttl=3600, kind="versioned")
            entry = await tasks.get("a")
            assert entry is not None
            assert (entry.key, entry.value, entry.rev, entry.by) == ("a", Task("me"), written.rev, "impl-1")
            updated = await tasks.update("a", lambda task: Task("you", task.points + 1 if task else 0))
            assert updated.value == Task("you", 1)
            await agent.set("task:a", "another prefix")
            with pytest.raises(Conflict) as conflict:
                await tasks.set("a", Task("late"), if_rev=written.rev)
            assert tasks.typed(conflict.value.current).value == Task("you", 1)
            history = [tasks.typed(old).value for old in await agent.history("task[*]:a")]
            assert history == [Task("you", 1), Task("me")]
            assert [entry.value for entry in await tasks.list("?")] == [Task("you", 1)]
            await mirror.until(lambda view: view.rev >= updated.rev, timeout=PATIENCE)
            assert {key: entry.value for key, entry in mirror.items()} == {"a": Task("you", 1)}
            assert await tasks.touch("a", None) is None
            assert await tasks.delete("a", if_rev=updated.rev)
            first, second, third = [await anext(events) for _ in range(3)]
        assert [event.type for event in (first, second, third)] == ["set", "set", "delete"]
        assert (first.key, first.value, first.prev) == ("a", Task("me"), None)
        assert isinstance(second.prev, waggle.TypedEntry)
        assert second.prev.value == Task("me")


async def test_a_value_that_does_not_fit_is_told_when_it_is_read_and_stops_nothing(hub: HubProcess, ns: str) -> None:
    async with waggle.connect(hub.url, agent="odd-one", ns=ns) as agent:
        tasks = agent.view(Task, prefix="task:")
        await agent.set("task:1", {"owner": "me"})
        await agent.set("task:2", {"owner": "me", "log": ["a", 5]})
        async with tasks.watch(snapshot=True) as events, tasks.mirror() as mirror:
            seen = {event.key: event for event in [await anext(events) for _ in range(3)]}
            assert seen["1"].value == Task("me")
            await agent.set("task:3", 7)
            await agent.set("task:4", {"owner": "you"})
            assert [(await anext(events)).key, (await anext(events)).value] == ["3", Task("you")]
            await mirror.until(lambda view: len(view) == 4, timeout=PATIENCE)
            listed = await tasks.list()
            for entry in (seen["2"], listed[1], mirror["2"]):
                with pytest.raises(Mismatch) as mismatch:
                    _ = entry.value
                assert mismatch.value.details == {
                    "key": "task:2", "path": "$.log[1]", "expected": "Expected `str`, got `int`",
                }  # fmt: skip
        with pytest.raises(Mismatch, match="task:3"):
            await tasks.update("3", lambda task: Task("me"))
        with pytest.raises(Mismatch, match="task:1"):
            await tasks.set("1", Task("me", log=[1]))  # type: ignore[list-item]
        with pytest.raises(BadRequest, match="nan"):
            await agent.view(float).set("n", float("nan"))
        assert len(await tasks.list()) == 4


def test_the_blocking_view_does_the_same(hub: HubProcess, ns: str) -> None:
    with connect(hub.url, ns=ns) as agent:
        counts = agent.view(int, prefix="count:")
        with counts.watch() as events, counts.mirror() as mirror:
            for _ in range(3):
                counts.update("a", lambda count: (count or 0) + 1)
            mirror.until(lambda view: view.value("a") == 3, timeout=PATIENCE)
            assert [next(events).value for _ in range(3)] == [1, 2, 3]
        assert [(entry.key, entry.value) for entry in counts.list()] == [("a", 3)]
        assert counts.delete("a")
        assert counts.get("a") is None


# --- figures -----------------------------------------------------------------------------------------------------


async def test_the_hub_says_what_it_holds_and_has_done(hub: HubProcess, ns: str) -> None:
    async with waggle.connect(hub.url, ns=ns) as agent:
        before = await agent.stats()
        await agent.set("a", 1)
        await agent.get("a")
        await agent.get("b")
        stats = await agent.stats()
        assert stats.keys == before.keys + 1
        assert (stats.reads, stats.hits, stats.misses) == (before.reads + 2, before.hits + 1, before.misses + 1)
        assert stats.writes == before.writes + 1
        assert stats.ops["get"].count >= 2
        assert stats.rev <= agent.rev

    def blocking() -> int:
        with connect(hub.url, ns=ns) as agent:
            return agent.stats().keys

    assert blocking() >= 1


# --- the guide ---------------------------------------------------------------------------------------------------


def _programs() -> list[str]:
    """The builder, the tester and the lead of docs/start.md."""
    chapter = GUIDE.read_text().partition("## 3.")[2].partition("## 4.")[0]
    return re.findall(r"^```python\n(.*?)^```$", chapter, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_agents_of_the_guide_hand_over_in_whatever_order_they_start(
    hub: HubProcess, ns: str, order: tuple[int, ...]
) -> None:
    programs = _programs()
    environment = {**os.environ, "WAGGLE_URL": hub.url, "WAGGLE_NS": ns}
    agents = {
        number: subprocess.Popen(
            [sys.executable, "-W", "error", "-c", programs[number]], env=environment, stdout=subprocess.PIPE, text=True
        )
        for number in order
    }
    said = {number: agent.communicate(timeout=PATIENCE)[0] for number, agent in agents.items()}
    assert [agent.returncode for agent in agents.values()] == [0, 0, 0]
    assert said[1].count("builder has built") == 3
    assert said[2].count("by tester") == 3
