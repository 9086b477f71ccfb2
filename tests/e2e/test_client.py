"""Both clients against real hubs: what a program does, connections that drop, hubs that go and come, slow readers."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from random import Random

import pytest

import waggle
from tests.e2e.hubs import HubProcess, StartHub
from tests.e2e.relay import Relay
from waggle.core import subscription
from waggle.sync import connect
from waggle.transport import driver
from waggle.wire.errors import BadRequest, Conflict, Disconnected, Lost, NotFound
from waggle.wire.messages import Event

pytestmark = pytest.mark.e2e

PATIENCE = 20.0
"""Seconds for anything, on a busy machine."""


@pytest.fixture(autouse=True)
def short_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is cut ten times a second is connected again as often."""
    monkeypatch.setattr(driver, "random", lambda: 0.01)


@pytest.fixture
async def relay(hub: HubProcess) -> AsyncIterator[Relay]:
    async with Relay(hub.port) as relay:
        yield relay


async def tail(events: waggle.Watcher, until: str) -> list[Event]:
    """The events up to the one on this key."""
    seen: list[Event] = []
    async with asyncio.timeout(PATIENCE):
        async for event in events:
            seen.append(event)
            if event.key == until:
                break
    return seen


async def in_step(mirror: waggle.Mirror, hub: waggle.Hub, pattern: str) -> None:
    """Wait until the mirror has what the hub has."""
    entries = {entry.key: entry.value for entry in await hub.list(pattern)}
    await mirror.until(lambda view: {key: e.value for key, e in view.items()} == entries, timeout=PATIENCE)


# --- what a program does -----------------------------------------------------------------------------------------


async def test_an_agent_writes_reads_and_is_told(hub: HubProcess, ns: str) -> None:
    async with waggle.connect(hub.url, agent="impl-1", ns=ns, meta={"role": "test"}) as agent:
        async with agent.watch("task:*", prev=True) as events:
            written = await agent.set("task:1", {"owner": "impl-1"}, ttl=3600, meta={"by": "hand"})
            entry = await agent.get("task:1")
            assert entry is not None
            assert (entry.value, entry.rev, entry.version, entry.by) == ({"owner": "impl-1"}, written.rev, 1, "impl-1")
            assert entry.expires_at == written.expires_at
            with pytest.raises(Conflict) as conflict:
                await agent.set("task:1", 2, if_rev=0)
            assert conflict.value.current == entry
            assert await agent.touch("task:1", None) is None
            with pytest.raises(NotFound):
                await agent.touch("task:2", 5)
            assert await agent.delete("task:1")
            assert not await agent.delete("task:1")
            assert await agent.publish("task:news", [1]) == 1
            seen = await tail(events, "task:news")
        assert [event.type for event in seen] == ["set", "delete", "message"]
        assert isinstance(seen[1].prev, waggle.Entry)
        await agent.status({"doing": "tests"})
        (me,) = [entry for entry in await agent.agents() if entry.value["session"] == agent.session]
        assert (me.value["status"], me.value["meta"]) == ({"doing": "tests"}, {"role": "test"})
        assert (await agent.ping()).rev >= written.rev


async def test_many_entries_are_listed_and_cleared_in_pages(hub: HubProcess, ns: str) -> None:
    async with waggle.connect(hub.url, ns=ns) as agent:
        await asyncio.gather(*(agent.set(f"k{number:04}", number) for number in range(2500)))
        assert [entry.value for entry in await agent.list("k*")] == list(range(2500))
        assert len(await agent.list("k*", limit=1200, values=False)) == 1200
        assert [count.keys for count in await agent.namespaces() if count.ns == ns] == [2500]
        assert await agent.clear("k1*") == 1000
        assert await agent.clear("*") == 1500
        assert await agent.list() == []


async def test_leaving_ends_the_session_at_once(hub: HubProcess, ns: str) -> None:
    async with waggle.connect(hub.url, ns=ns) as stays, stays.watch("here") as events:
        async with waggle.connect(hub.url, ns=ns) as leaves:
            await leaves.set("here", True, ephemeral=True)
        assert [event.type for event in [await anext(events), await anext(events)]] == ["set", "delete"]


def test_the_blocking_client_does_the_same(hub: HubProcess, ns: str) -> None:
    with connect(hub.url, agent="impl-2", ns=ns) as agent, agent.mirror("task:*") as tasks:
        with agent.watch("task:*") as events:
            agent.set("task:1", {"owner": "impl-2"}, ttl=3600)
            assert next(events).by == "impl-2"
            tasks.until(lambda view: "task:1" in view, timeout=PATIENCE)
            agent.delete("task:1")
            assert next(events).type == "delete"
            place = events.since
        agent.set("task:2", 2)
        with agent.watch("task:*", since=place) as events:
            assert next(events).key == "task:2"
        assert [entry.value for entry in agent.list("task:*")] == [2]


async def test_watchers_of_the_same_do_not_disturb_each_other(hub: HubProcess, ns: str) -> None:
    async with (
        waggle.connect(hub.url, ns=ns) as agent,
        waggle.connect(hub.url, ns=ns) as other,
        agent.watch("k*") as first,
        agent.watch("k*", echo=False) as deaf,
    ):
        await agent.set("k1", 1)
        await anext(first)
        place = first.since
        await agent.set("k2", 2)
        async with agent.watch("k*", snapshot=True) as second, agent.watch("k*", since=place) as third:
            await agent.set("k3", 3)
            assert [event.key or event.type for event in await tail(second, "k3")] == ["k1", "k2", "synced", "k3"]
            assert [event.key for event in await tail(third, "k3")] == ["k2", "k3"]
        await other.set("k4", 4)
        assert [event.key for event in await tail(first, "k4")] == ["k2", "k3", "k4"]
        assert [event.key for event in await tail(deaf, "k4")] == ["k4"]


async def test_a_bad_pattern_is_refused_on_entering(hub: HubProcess) -> None:
    async with waggle.connect(hub.url) as agent:
        with pytest.raises(BadRequest):
            async with agent.watch("[a"):
                pass
        with pytest.raises(BadRequest):
            await anext(agent.watch("[a"))


# --- connections that drop ---------------------------------------------------------------------------------------


async def test_a_caller_sees_a_pause_however_often_the_connection_is_cut(
    hub: HubProcess, relay: Relay, ns: str
) -> None:
    async with waggle.connect(hub.url, ns=ns) as observer, observer.watch("*") as events:
        async with waggle.connect(relay.url, ns=ns) as agent:

            async def write(writer: int) -> int:
                numbers = itertools.count()
                while relay.cuts < 6:
                    await agent.set(f"k{writer}", next(numbers))
                return next(numbers)

            cutting = asyncio.create_task(cut_now_and_then(relay))
            written = await asyncio.gather(*(write(writer) for writer in range(5)))
            cutting.cancel()
            await agent.set("end", True)
        seen = await tail(events, "end")
    for writer, count in enumerate(written):
        values = [event.value for event in seen if event.key == f"k{writer}"]
        assert values == list(range(count)), "each once, in order"


async def cut_now_and_then(relay: Relay) -> None:
    chance = Random(7)
    while True:
        await asyncio.sleep(chance.uniform(0.01, 0.1))
        relay.cut()


async def test_watchers_and_mirrors_miss_nothing_however_often_the_connection_is_cut(
    hub: HubProcess, relay: Relay, ns: str
) -> None:
    async with (
        waggle.connect(hub.url, ns=ns) as writer,
        waggle.connect(relay.url, ns=ns) as agent,
        agent.watch("*") as plain,
        agent.watch("*", snapshot=True) as filled,
        agent.mirror("k*") as mirror,
    ):
        cutting = asyncio.create_task(cut_now_and_then(relay))
        revs: list[int] = []
        while relay.cuts < 6:
            revs.append((await writer.set(f"k{len(revs) % 50}", len(revs))).rev)
        cutting.cancel()
        await writer.set("end", True)
        seen = await tail(plain, "end")
        assert [event.rev for event in seen[:-1]] == revs
        assert [event.rev for event in await tail(filled, "end") if event.type == "set"][:-1] == revs
        await in_step(mirror, writer, "k*")


async def test_a_snapshot_that_is_cut_in_the_middle_is_whole_in_the_end(hub: HubProcess, relay: Relay, ns: str) -> None:
    async with waggle.connect(hub.url, ns=ns) as writer, waggle.connect(relay.url, ns=ns) as agent:
        await asyncio.gather(*(writer.set(f"k{number}", "x" * 500) for number in range(1500)))
        relay.allowance = 350_000
        async with agent.mirror("k*") as mirror:
            assert len(mirror) == 1500
        relay.allowance = 350_000
        kinds = []
        async with agent.watch("k*", snapshot=True) as events:
            async for event in events:
                kinds.append(event.type)
                if event.type == "synced":
                    break
        assert relay.cuts == 2
        lost = kinds.index("lost") if "lost" in kinds else -1
        assert len(kinds) - lost - 1 == 1501


# --- hubs that go and come ---------------------------------------------------------------------------------------


async def test_a_hub_that_forgot_everything_is_told_by_lost(start_hub: StartHub) -> None:
    first = start_hub(bounds={"drain": 0.1})
    states: list[str] = []
    async with Relay(first.port) as relay, waggle.connect(relay.url, agent="a", on_state=states.append) as agent:
        session, epoch = agent.session, agent.epoch
        await agent.status("here")
        async with agent.watch("*") as plain, agent.watch("*", snapshot=True) as filled, agent.mirror("*") as mirror:
            await agent.set("old", 1)
            await tail(filled, "old")
            relay.refusing = True
            await asyncio.to_thread(first.stop)
            relay.port = (await asyncio.to_thread(start_hub)).port
            assert agent.state == "reconnecting"
            relay.refusing = False
            await agent.set("new", 2)
            with pytest.raises(Lost, match="epoch"):
                await tail(plain, "new")
            assert [event.key or event.type for event in await tail(filled, "new")] == ["lost", "synced", "new"]
            await in_step(mirror, agent, "*")
            assert "old" not in mirror
        assert (agent.agent, agent.state) == ("a", "connected")
        assert session != agent.session
        assert epoch != agent.epoch
        (me,) = await agent.agents()
        assert me.value["status"] == "here"
    assert states == ["connected", "reconnecting", "connected", "closed"]


async def test_a_change_across_a_lost_session_is_in_doubt(start_hub: StartHub) -> None:
    hub = start_hub(limits={"grace": 0.05})
    async with (
        Relay(hub.port) as relay,
        waggle.connect(relay.url, agent="a") as agent,
        waggle.connect(hub.url) as observer,
        observer.watch("k") as events,
        observer.mirror("*", ns="$agents") as agents,
    ):
        relay.allowance, relay.refusing = 0, True
        setting = asyncio.create_task(agent.set("k", 1))
        await anext(events)
        await agents.until(lambda view: "a" not in view, timeout=PATIENCE)
        relay.refusing = False
        with pytest.raises(Disconnected, match="may or may not have taken effect"):
            await setting


async def test_connecting_to_no_hub_fails_within_the_timeout() -> None:
    with pytest.raises(Disconnected, match="waggle serve"):
        await waggle.connect("http://127.0.0.1:9", connect_timeout=0.3)


# --- slow readers ------------------------------------------------------------------------------------------------


async def test_a_slow_loop_that_uses_the_hub_sees_everything(
    hub: HubProcess, ns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription, "MAX_BUFFERED_BYTES", 20_000)
    async with (
        waggle.connect(hub.url, ns=ns) as writer,
        waggle.connect(hub.url, ns=ns) as agent,
        agent.watch("k*") as events,
    ):
        await asyncio.gather(*(writer.set(f"k{number}", number) for number in range(1500)))
        seen = []
        async for event in events:
            seen.append(event.value)
            if event.value % 10 == 0:
                await agent.set("progress", event.value)
            if len(seen) == 1500:
                break
        assert seen == list(range(1500))


async def test_a_reader_that_is_too_slow_for_the_log_is_told(
    start_hub: StartHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = start_hub(limits={"log_events": 500})
    monkeypatch.setattr(subscription, "MAX_BUFFERED_BYTES", 20_000)
    async with (
        waggle.connect(hub.url) as writer,
        waggle.connect(hub.url) as agent,
        agent.watch("k*") as plain,
        agent.watch("k*", snapshot=True) as filled,
    ):
        await asyncio.gather(*(writer.set(f"k{number}", number) for number in range(1500)))
        await agent.ping()
        with pytest.raises(Lost, match="compacted"):
            await tail(plain, "k1499")
        await writer.set("kend", True)
        assert "lost" in [event.type for event in await tail(filled, "kend")]
        await tail_is_whole(filled, writer)


async def tail_is_whole(events: waggle.Watcher, writer: waggle.Hub) -> None:
    """From here on everything comes again."""
    revs = [(await writer.set("k", number)).rev for number in range(5)]
    seen: list[int] = []
    async with asyncio.timeout(PATIENCE):
        while len(seen) < 5:
            event = await anext(events)
            if event.key == "k":
                seen.append(event.rev)
    assert seen == revs
