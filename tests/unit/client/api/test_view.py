"""The views of both clients: the commands that their methods send, and the types of the results."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

import waggle
from tests.unit.client.fakehub import FakeHub, Line
from tests.unit.client.session_harness import event, snapshot, synced
from waggle.sync import connect
from waggle.transport import driver
from waggle.wire.errors import BadRequest, Conflict, Mismatch

WRITTEN = {"rev": 101, "version": 1, "expires_at": None}
TYPES = ["set", "delete", "expire", "evict"]

Answer = tuple[str, Line | None, list[Line]]


@dataclass
class Task:
    owner: str
    points: int = 0


def entry(key: str, value: Any) -> Line:
    return {
        "key": key, "ns": "n", "rev": 7, "version": 2, "kind": "persistent", "created_at": 1.0, "updated_at": 2.0,
        "expires_at": None, "by": "b", "meta": None, "value": value,
    }  # fmt: skip


ME = {"owner": "me", "points": 0}


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ignore variables of the environment, and connect again without a pause."""
    for name in ("WAGGLE_URL", "WAGGLE_AGENT", "WAGGLE_TOKEN", "WAGGLE_NS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(driver, "random", lambda: 0.0)


@pytest.fixture
async def fake() -> AsyncIterator[FakeHub]:
    async with FakeHub() as fake:
        yield fake


class Answers:
    """The hub's end: it answers one command after the other, and records them."""

    def __init__(self, fake: FakeHub) -> None:
        self.asked: list[Line] = []
        self._fake = fake

    async def give(self, *answers: Answer) -> None:
        """Set the replies: for each an op, its ``ok`` (None: a conflict) and the lines that follow."""
        end = await self._fake.welcomed()
        for op, ok, lines in answers:
            command = await end.next(op)
            self.asked.append({name: field for name, field in command.items() if name not in ("op", "id", "rid")})
            if ok is None:
                await end.refuse(command, "conflict", current=entry("task:a", {"owner": "you"}))
            else:
                await end.reply(command, **ok)
            if lines:
                await end.say(*lines)


ANSWERS: list[Answer] = [
    ("set", WRITTEN, []),
    ("get", {"entry": entry("task:a", ME), "rev": 7}, []),
    ("get", {"entry": None, "rev": 7}, []),
    ("list", {"entries": [entry("task:a", ME), entry("task:odd", 5)], "next": None, "rev": 7}, []),
    ("get", {"entry": entry("task:a", ME), "rev": 7}, []),
    ("update", None, []),
    ("update", {"rev": 9, "version": 4, "value": {"owner": "you", "points": 1}, "expires_at": None}, []),
    ("touch", {"expires_at": 5.0, "rev": 9}, []),
    ("delete", {"deleted": True, "rev": 9}, []),
    (
        "subscribe",
        {"sub": 1, "epoch": "e1", "rev": 100},
        [
            event(1, 101, 100, "task:a", value=ME),
            event(1, 102, 101, "task:odd", value=5),
            {**event(1, 103, 102, "task:a"), "type": "delete"},
            {"sub": 1, "type": "mark", "rev": 103},
        ],
    ),
    ("unsubscribe", {}, []),
    (
        "subscribe",
        {"sub": 2, "epoch": "e1", "rev": 100},
        [snapshot(2, 40, "task:a") | {"value": ME}, synced(2, 100)],
    ),
]
PREFIXED = {"key": "task:a", "ns": "n"}
ASKED: list[Line] = [
    {**PREFIXED, "value": ME, "ttl": 5, "if_rev": 0, "kind": "cached", "ephemeral": True, "meta": {"a": 1}},
    PREFIXED,
    {"key": "task:b", "ns": "n"},
    {"pattern": "task:[ab]*", "ns": "n", "limit": 5, "values": True},
    PREFIXED,
    {**PREFIXED, "patch": [{"op": "add", "path": "", "value": {"owner": "me", "points": 1}}], "if_rev": 7, "ttl": 9},
    {**PREFIXED, "patch": [{"op": "add", "path": "", "value": {"owner": "you", "points": 1}}], "if_rev": 7, "ttl": 9},
    {**PREFIXED, "ttl": None},
    {**PREFIXED, "if_rev": 9},
    {"patterns": ["task:*"], "ns": "n", "types": TYPES, "conflate": 0.5},
    {"sub": 1},
    {"patterns": ["task:?"], "ns": "n", "types": [*TYPES, "touch"], "snapshot": True, "conflate": 1},
]
OPTIONS: Any = {"ttl": 5, "if_rev": 0, "kind": "cached", "ephemeral": True, "meta": {"a": 1}}


def asked(answers: Answers) -> list[Line]:
    """Return the recorded commands, with the defaults that the encoder leaves out."""
    return [{"values": True, **line} if "pattern" in line else line for line in answers.asked]


async def test_a_view_is_the_hubs_methods_through_a_type(fake: FakeHub) -> None:
    answers = Answers(fake)
    answering = asyncio.create_task(answers.give(*ANSWERS))
    async with waggle.connect(fake.url) as hub:
        tasks = hub.view(Task, ns="n", prefix="task:")
        assert (await tasks.set("a", Task("me"), **OPTIONS)).rev == 101
        found = await tasks.get("a")
        assert found is not None
        assert (found.key, found.value) == ("a", Task("me"))
        assert await tasks.get("b") is None
        good, odd = await tasks.list("[ab]*", limit=5)
        assert (good.value, odd.key) == (Task("me"), "odd")
        with pytest.raises(Mismatch, match="task:odd"):
            _ = odd.value

        async def one_more(task: Task | None) -> Task:
            assert task is not None
            return Task(task.owner, task.points + 1)

        assert (await tasks.update("a", one_more, ttl=9)).value == Task("you", 1)
        assert await tasks.touch("a", None) == 5.0
        assert await tasks.delete("a", if_rev=9)
        async with tasks.watch(conflate=0.5) as events:
            seen = [await anext(events) for _ in range(3)]
            assert [(event.type, event.key) for event in seen] == [("set", "a"), ("set", "odd"), ("delete", "a")]
            assert seen[0].value == Task("me")
            with pytest.raises(Mismatch, match=r"task:odd.*object.*int"):
                _ = seen[1].value
            assert events.since.rev == 103
        async with tasks.mirror("?", conflate=1) as mirror:
            await mirror.until(lambda view: view["a"].value == Task("me"), timeout=5)
            assert mirror.rev == 100
        await answering
    assert asked(answers) == ASKED


async def test_the_blocking_view_does_the_same(fake: FakeHub) -> None:
    def program() -> None:
        with connect(fake.url) as hub:
            tasks = hub.view(Task, ns="n", prefix="task:")
            assert tasks.set("a", Task("me"), **OPTIONS).rev == 101
            found = tasks.get("a")
            assert found is not None
            assert (found.key, found.value) == ("a", Task("me"))
            assert tasks.get("b") is None
            good, odd = tasks.list("[ab]*", limit=5)
            assert (good.value, odd.key) == (Task("me"), "odd")

            def one_more(task: Task | None) -> Task:
                assert task is not None
                return Task(task.owner, task.points + 1)

            assert tasks.update("a", one_more, ttl=9).value == Task("you", 1)
            assert tasks.touch("a", None) == 5.0
            assert tasks.delete("a", if_rev=9)
            with tasks.watch(conflate=0.5) as events:
                seen = [next(events) for _ in range(3)]
                assert [(event.type, event.key) for event in seen] == [("set", "a"), ("set", "odd"), ("delete", "a")]
                assert seen[0].value == Task("me")
                assert events.since.rev == 103
            with tasks.mirror("?", conflate=1) as mirror:
                mirror.until(lambda view: view["a"].value == Task("me"), timeout=5)
                assert mirror.rev == 100

    answers = Answers(fake)
    await asyncio.gather(asyncio.to_thread(program), answers.give(*ANSWERS))
    assert asked(answers) == ASKED


async def test_an_entry_from_elsewhere_is_one_of_the_view(fake: FakeHub) -> None:
    answering = asyncio.create_task(Answers(fake).give(("set", None, [])))
    async with waggle.connect(fake.url) as hub:
        tasks = hub.view(Task, prefix="task:")
        with pytest.raises(Conflict) as conflict:
            await tasks.set("a", Task("me"), if_rev=0)
        assert tasks.typed(conflict.value.current).value == Task("you")
        await answering


async def test_what_does_not_fit_stops_an_update_and_nothing_is_written(fake: FakeHub) -> None:
    odd: Answer = ("get", {"entry": entry("task:a", 5), "rev": 7}, [])
    fit: Answer = ("get", {"entry": entry("task:a", ME), "rev": 7}, [])
    answers = Answers(fake)
    answering = asyncio.create_task(answers.give(odd, fit, fit, fit))
    async with waggle.connect(fake.url) as hub:
        tasks = hub.view(Task, prefix="task:")
        with pytest.raises(Mismatch, match="task:a"):
            await tasks.update("a", lambda task: Task("me"))
        with pytest.raises(Mismatch, match=r"\$\.owner"):
            await tasks.update("a", lambda task: Task(5))  # type: ignore[arg-type]
        with pytest.raises(BadRequest, match="KEEP"):
            await tasks.update("a", lambda task: None)  # type: ignore[arg-type, return-value]
        kept = await tasks.update("a", lambda task: waggle.KEEP)
        assert (kept.rev, kept.value) == (7, Task("me"))
        with pytest.raises(Mismatch, match="task:a"):
            await tasks.set("a", Task(5))  # type: ignore[arg-type]
        await answering
    assert len(answers.asked) == 4


async def test_an_async_function_is_for_the_async_view(fake: FakeHub) -> None:
    async def change(task: Task | None) -> Task:
        return Task("me")

    def program() -> None:
        with connect(fake.url) as hub, pytest.raises(BadRequest, match="async client"):
            hub.view(Task, prefix="task:").update("a", change)  # type: ignore[arg-type]

    await asyncio.gather(asyncio.to_thread(program), Answers(fake).give(("get", {"entry": None, "rev": 7}, [])))
