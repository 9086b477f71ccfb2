"""Both clients against a real hub: changes that depend on what is there, of one key and of several."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import waggle
from tests.e2e.hubs import HubProcess
from waggle.api.txn import Step
from waggle.sync import connect
from waggle.wire.errors import BadRequest, Conflict, NotFound
from waggle.wire.messages import Deleted, Published, Touched, Updated, Written

pytestmark = pytest.mark.e2e

PATIENCE = 20.0
"""Seconds for anything, on a busy machine."""


def one_more(value: Any) -> Any:
    return (value or 0) + 1


# --- update by a function ----------------------------------------------------------------------------------------


async def test_two_clients_that_count_together_lose_nothing(hub: HubProcess, ns: str) -> None:
    async with waggle.connect(hub.url, ns=ns) as one, waggle.connect(hub.url, ns=ns) as other:

        async def count(agent: waggle.Hub) -> list[int]:
            return [(await agent.update("n", one_more)).value for _ in range(500)]

        mine, its = await asyncio.gather(count(one), count(other))
        assert sorted(mine + its) == list(range(1, 1001))
        entry = await one.get("n")
        assert entry is not None
        assert (entry.value, entry.version) == (1000, 1000)


async def test_a_crowd_on_one_key_gets_through(hub: HubProcess, ns: str) -> None:
    async with waggle.connect(hub.url, ns=ns) as agent:
        await asyncio.gather(*(agent.update("n", one_more) for _ in range(60)))
        entry = await agent.get("n")
        assert entry is not None
        assert entry.value == 60


async def test_the_blocking_and_the_other_client_count_together(hub: HubProcess, ns: str) -> None:
    def count() -> None:
        with connect(hub.url, ns=ns) as agent:
            for _ in range(200):
                agent.update("n", one_more)

    await asyncio.gather(asyncio.to_thread(count), asyncio.to_thread(count))
    async with waggle.connect(hub.url, ns=ns) as agent:
        assert (await agent.update("n", one_more)).value == 401


async def test_only_the_value_changes(hub: HubProcess, ns: str) -> None:
    async with waggle.connect(hub.url, ns=ns) as agent:
        await agent.set("k", {"n": 1}, ttl=3600, kind="versioned", meta={"by": "hand"})
        before = await agent.get("k")
        updated = await agent.update("k", lambda value: {**value, "n": None})
        after = await agent.get("k")
        assert before is not None
        assert after is not None
        assert (after.kind, after.meta, after.expires_at) == ("versioned", {"by": "hand"}, before.expires_at)
        assert updated == Updated(after.rev, after.version, {"n": None}, after.expires_at)
        shorter = await agent.update("k", lambda value: "another shape", ttl=5)
        assert shorter.expires_at is not None
        assert before.expires_at is not None
        assert shorter.expires_at < before.expires_at


async def test_an_ephemeral_entry_keeps_its_session_when_another_updates_it(hub: HubProcess, ns: str) -> None:
    async with waggle.connect(hub.url, ns=ns) as stays, stays.mirror("k") as mirror:
        async with waggle.connect(hub.url, ns=ns) as leaves:
            await leaves.set("k", 1, ephemeral=True)
            await stays.update("k", one_more)
            await leaves.update("k", one_more)
        await mirror.until(lambda view: "k" not in view, timeout=PATIENCE)


async def test_a_value_that_is_kept_is_not_written(hub: HubProcess, ns: str) -> None:
    async with waggle.connect(hub.url, ns=ns) as agent:
        written = await agent.set("k", 5)
        kept = await agent.update("k", lambda value: waggle.KEEP if value >= 5 else value + 1)
        assert (kept.rev, kept.version, kept.value) == (written.rev, written.version, 5)
        assert (await agent.update("absent", lambda value: waggle.KEEP)).rev == 0
        assert await agent.get("absent") is None


# --- update by the hub -------------------------------------------------------------------------------------------


async def test_updates_by_the_hub_need_no_read(hub: HubProcess, ns: str) -> None:
    async with waggle.connect(hub.url, ns=ns) as agent:
        assert (await agent.update("k", merge={"a": 1, "b": 2})).value == {"a": 1, "b": 2}
        assert (await agent.update("k", merge={"a": None})).value == {"b": 2}
        assert (await agent.update("k", incr=0.5, pointer="/b")).value == {"b": 2.5}
        assert (await agent.update("k", append="x", pointer="/log")).value == {"b": 2.5, "log": ["x"]}
        last = await agent.update(
            "k", patch=[{"op": "test", "path": "/b", "value": 2.5}, {"op": "remove", "path": "/b"}]
        )
        assert last.value == {"log": ["x"]}
        for words in ({"patch": [{"op": "test", "path": "", "value": 1}]}, {"incr": 1, "pointer": "/n", "if_rev": 0}):
            with pytest.raises(Conflict) as conflict:
                await agent.update("k", **words)
            assert isinstance(conflict.value.current, waggle.Entry)
            assert conflict.value.current.rev == last.rev
        with pytest.raises(BadRequest):
            await agent.update("k", incr=1)
        assert (await agent.update("empty", merge=None)).value is None


# --- txn ---------------------------------------------------------------------------------------------------------


async def test_a_txn_does_all_at_one_revision(hub: HubProcess, ns: str) -> None:
    async with waggle.connect(hub.url, ns=ns) as agent, agent.watch("*") as events:
        await agent.set("todo", {"n": 1})
        steps: list[Step] = [
            {"op": "delete", "key": "todo"},
            {"op": "set", "key": "done", "value": [1], "ttl": 60},
            {"op": "touch", "key": "done", "ttl": None},
            {"op": "update", "key": "done", "append": 2},
            {"op": "publish", "channel": "news", "data": "done"},
        ]
        done = await agent.txn(steps, if_=[{"key": "todo", "pointer": "/n", "equals": 1}, {"key": "done", "rev": 0}])
        assert done.done == "then"
        assert [type(result) for result in done.results] == [Deleted, Written, Touched, Updated, Published]
        assert done.results[3].value == [1, 2]
        assert done.results[4].receivers == 1
        seen = [await anext(events) for _ in range(5)]
        assert {event.rev for event in seen[1:]} == {done.rev}
        assert [event.more for event in seen[1:]] == [True, True, True, False]


async def test_the_other_branch_is_taken_where_a_condition_does_not_hold(hub: HubProcess, ns: str) -> None:
    async with waggle.connect(hub.url, ns=ns) as agent:
        claim: list[Step] = [{"op": "set", "key": "owner", "value": agent.agent, "ttl": 60}]
        if_absent: list[waggle.Condition] = [{"key": "owner", "exists": False}]
        assert (await agent.txn(claim, if_=if_absent)).done == "then"
        done = await agent.txn(claim, if_=if_absent, else_=[{"op": "update", "key": "waiting", "incr": 1}])
        assert (done.done, done.results[0].value) == ("else", 1)
        assert (await agent.txn(claim, if_=if_absent)).results == []


async def test_a_step_that_is_refused_undoes_all(hub: HubProcess, ns: str) -> None:
    async with waggle.connect(hub.url, ns=ns) as agent:
        await agent.set("a", 1)
        before = await agent.list()
        first: Step = {"op": "update", "key": "a", "incr": 1}
        refusals: list[tuple[Step, type[waggle.WaggleError]]] = [
            ({"op": "touch", "key": "absent", "ttl": 5}, NotFound),
            ({"op": "set", "key": "a", "value": 2, "if_rev": 0}, Conflict),
            ({"op": "update", "key": "a"}, BadRequest),
        ]
        for step, error in refusals:
            with pytest.raises(error) as refused:
                await agent.txn([first, step])
            assert refused.value.details["index"] == 1
            assert await agent.list() == before
        with pytest.raises(BadRequest, match="if") as bad:
            await agent.txn([], if_=[{"key": "a", "rev": 1}, {"key": ""}])  # type: ignore[list-item]
        assert bad.value.details["index"] == 1


async def test_money_moves_between_accounts_and_its_sum_stays(hub: HubProcess, ns: str) -> None:
    async with waggle.connect(hub.url, ns=ns) as agent, agent.mirror("account:*") as accounts:
        for name in "abc":
            await agent.set(f"account:{name}", 100)
        sums = set()

        async def look() -> None:
            while True:
                await accounts.changed()
                sums.add(sum(entry.value for entry in accounts.values()))

        await accounts.until(lambda view: len(view) == 3, timeout=PATIENCE)
        looking = asyncio.create_task(look())
        await asyncio.gather(
            *(
                agent.txn(
                    [
                        {"op": "update", "key": f"account:{'abc'[turn % 3]}", "incr": -turn},
                        {"op": "update", "key": f"account:{'bca'[turn % 3]}", "incr": turn},
                    ]
                )
                for turn in range(100)
            )
        )
        entries = await agent.list("account:*")
        await accounts.until(lambda view: list(view.values()) == entries, timeout=PATIENCE)
        looking.cancel()
        assert sums == {300}


# --- history -----------------------------------------------------------------------------------------------------


async def test_history_tells_what_was_newest_first(hub: HubProcess, ns: str) -> None:
    async with waggle.connect(hub.url, ns=ns) as agent:
        for number in range(25):
            await agent.set("k", number, kind="versioned")
        entries = await agent.history("k")
        assert [entry.value for entry in entries] == list(range(24, 3, -1))
        assert entries[0] == await agent.get("k")
        assert [entry.value for entry in await agent.history("k", limit=2)] == [24, 23]
        await agent.update("k", one_more)
        assert [entry.value for entry in await agent.history("k", limit=2)] == [25, 24]
        await agent.set("plain", 1)
        assert [entry.value for entry in await agent.history("plain")] == [1]
        assert await agent.history("absent") == []


# --- mirror ------------------------------------------------------------------------------------------------------


async def test_a_mirror_shows_entries_as_they_are(hub: HubProcess, ns: str) -> None:
    async with waggle.connect(hub.url, ns=ns) as agent:
        await agent.set("before", 1)
        await asyncio.sleep(0.01)
        await agent.set("before", 2, meta={"a": 1})
        async with agent.mirror() as mirror:
            await agent.update("before", incr=1)
            await agent.set("after", 1, ttl=60, kind="cached")
            await asyncio.sleep(0.01)
            await agent.update("after", incr=1)
            entries = await agent.list()
            await mirror.until(lambda view: {e.key: e for e in entries} == dict(view), timeout=PATIENCE)
            assert all(entry.created_at < entry.updated_at for entry in mirror.values())


# --- search ------------------------------------------------------------------------------------------------------


async def test_both_clients_find_entries_by_their_words(hub: HubProcess, ns: str) -> None:
    async with waggle.connect(hub.url, ns=ns) as agent:
        await agent.set("pattern/auth/jwt", {"lessons": ["Use httpOnly cookies"]})
        await agent.set("pattern/api", "cookies, too")
        hits = await agent.search("cookies jwt")
        assert [(hit.key, hit.value) for hit in hits] == [("pattern/auth/jwt", {"lessons": ["Use httpOnly cookies"]})]
        assert isinstance(hits[0], waggle.Hit)
        assert hits[0].score > 0

        def look() -> list[str]:
            with connect(hub.url, ns=ns) as blocking:
                return [hit.key for hit in blocking.search("cook*", pattern="*a?i", limit=1)]

        assert await asyncio.to_thread(look) == ["pattern/api"]
        with pytest.raises(BadRequest, match="letters or digits"):
            await agent.search("?!")
