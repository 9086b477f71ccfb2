"""The blocking client, in a thread beside a hub whose lines each test writes."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import pytest

from tests.unit.client.fakehub import FakeConnection, FakeHub
from tests.unit.client.session_harness import event, snapshot, synced
from waggle.api.compare_and_set import KEEP
from waggle.sync import Hub, connect
from waggle.transport import driver
from waggle.wire.errors import BadRequest, Disconnected, Lost, TimedOut
from waggle.wire.messages import Deleted, Done, Since, Updated

T = TypeVar("T")

WRITTEN = {"rev": 101, "version": 1, "expires_at": None}
ENTRY = {
    "key": "k", "ns": "default", "rev": 7, "version": 2, "kind": "persistent", "created_at": 1.0,
    "updated_at": 2.0, "expires_at": None, "by": "b", "meta": None, "value": [1],
}  # fmt: skip


@pytest.fixture(autouse=True, params=["uvloop", "asyncio"])
def settings(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Ignore variables of the environment, connect again without a pause, and use either event loop in the thread."""
    if request.param == "asyncio":
        monkeypatch.setitem(sys.modules, "uvloop", None)  # as if it were not installed
    for name in ("WAGGLE_URL", "WAGGLE_AGENT", "WAGGLE_TOKEN", "WAGGLE_NS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(driver, "random", lambda: 0.0)


@pytest.fixture
async def fake() -> AsyncIterator[FakeHub]:
    async with FakeHub() as fake:
        yield fake


async def meet(fake: FakeHub, program: Callable[[Hub], T]) -> tuple[asyncio.Task[T], FakeConnection]:
    """Run ``program`` with a hub in a thread; return its task and the hub's end."""

    def run() -> T:
        with connect(fake.url, agent="a") as hub:
            return program(hub)

    running = asyncio.create_task(asyncio.to_thread(run))
    return running, await fake.welcomed()


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "waggle"]


async def test_a_block_connects_commands_and_leaves_no_thread(fake: FakeHub) -> None:
    def program(hub: Hub) -> int:
        assert (hub.state, hub.agent, hub.session, hub.epoch, hub.rev) == ("connected", "tester", "s-1", "e1", 100)
        assert threads() == ["waggle"]
        return hub.set("k", 1).rev

    running, end = await meet(fake, program)
    await end.reply(await end.next("set"), **WRITTEN)
    assert await running == 101
    assert threads() == []


async def test_connecting_without_a_hub_raises_and_leaves_no_thread(fake: FakeHub) -> None:
    await fake.stop()
    with pytest.raises(Disconnected, match="waggle serve"):
        await asyncio.to_thread(connect, fake.url, connect_timeout=0.05)
    assert threads() == []
    await fake.start()


async def test_a_closed_hub_says_so_and_closes_once_more_in_peace(fake: FakeHub) -> None:
    def program(hub: Hub) -> Since:
        with hub.watch("k*") as events, hub.mirror("k*") as mirror:
            hub.close()
            hub.close()
            with pytest.raises(Disconnected, match="closed by the program"):
                hub.ping()
            assert hub.state == "closed"
            assert len(mirror) == 0
            return events.since

    running, end = await meet(fake, program)
    await end.subscribed(1)
    await end.subscribed(2)
    await end.say(synced(2, 100))
    assert await running == Since("e1", 100)


async def test_a_watcher_gives_events_and_its_place(fake: FakeHub) -> None:
    def program(hub: Hub) -> list[tuple[str, int]]:
        seen = []
        with hub.watch("k*", snapshot=True) as events:
            for event in events:
                seen.append((event.key or event.type, events.rev if events.epoch else 0))
                if event.key == "k3":
                    break
        return seen

    running, end = await meet(fake, program)
    await end.subscribed(1)
    await end.say(snapshot(1, 40, "k1"), synced(1, 100), event(1, 101, 100, "k2"), event(1, 105, 101, "k3"))
    await end.next("unsubscribe")
    assert await running == [("k1", 0), ("synced", 100), ("k2", 101), ("k3", 105)]


async def test_leaving_a_loop_without_a_block_unsubscribes(fake: FakeHub) -> None:
    def program(hub: Hub) -> None:
        for seen in hub.watch("k*"):
            assert seen.key == "k1"
            break
        gc.collect()
        hub.ping()

    running, end = await meet(fake, program)
    await end.subscribed(1)
    await end.say(event(1, 101, 100, "k1"))
    await end.next("unsubscribe")
    await end.reply(await end.next("ping"), rev=101, at=1.0)
    await running


async def test_a_loss_is_raised_in_the_loop(fake: FakeHub) -> None:
    def program(hub: Hub) -> str:
        with pytest.raises(Lost) as lost:
            next(hub.watch("k*"))
        return str(lost.value)

    running, end = await meet(fake, program)
    await end.subscribed(1)
    await end.say({"sub": 1, "type": "lost", "reason": "compacted"})
    assert "compacted" in await running


async def test_a_mirror_follows_and_is_waited_for(fake: FakeHub) -> None:
    def program(hub: Hub) -> list[str]:
        with hub.mirror("*") as mirror:
            assert list(mirror) == ["a"]
            hub.ping()
            mirror.until(lambda entries: "b" in entries, timeout=5)
            with pytest.raises(TimedOut):
                mirror.changed(timeout=0.01)
            return list(mirror)

    running, end = await meet(fake, program)
    await end.subscribed(1)
    await end.say(snapshot(1, 40, "a"), synced(1, 100))
    await end.reply(await end.next("ping"), rev=101, at=1.0)
    await end.say(event(1, 101, 100, "b"))
    assert await running == ["a", "b"]


async def test_a_waiting_call_raises_when_another_thread_closes_the_hub(fake: FakeHub) -> None:
    def program(hub: Hub) -> None:
        waiting = threading.Thread(target=wait, args=(hub,))
        waiting.start()
        subscribed.wait()
        hub.close()
        waiting.join(5)
        assert not waiting.is_alive()

    outcome: list[BaseException] = []
    subscribed = threading.Event()

    def wait(hub: Hub) -> None:
        try:
            with hub.watch("k*") as events:
                subscribed.set()
                next(events)
        except Disconnected as error:
            outcome.append(error)

    running, end = await meet(fake, program)
    await end.subscribed(1)
    await running
    assert len(outcome) == 1


def test_an_interrupted_wait_is_cancelled_and_the_hub_can_be_used() -> None:
    """In the main thread, which alone can be interrupted; so the hub's end has another."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    async def other_end(told: Callable[[str], object]) -> None:
        async with FakeHub() as fake:
            told(fake.url)
            end = await fake.welcomed()
            wait = await end.next("wait")
            os.kill(os.getpid(), signal.SIGUSR1)
            cancel = await end.next("cancel")
            assert cancel["target"] == wait["id"]
            await end.refuse(wait, "cancelled")
            await end.reply(cancel, cancelled=True)
            await end.reply(await end.next("set"), **WRITTEN)
            await end.closed()

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with ThreadPoolExecutor() as pool:
            url: Future[str] = Future()
            ending = pool.submit(asyncio.run, other_end(url.set_result))
            with connect(url.result(), agent="a") as hub:
                with pytest.raises(KeyboardInterrupt):
                    hub.wait("never", timeout=60)
                assert hub.set("k", 1).rev == 101
            ending.result()
    finally:
        signal.signal(signal.SIGUSR1, before)


async def test_a_call_that_does_not_end_when_the_hub_is_closed_is_told_so(fake: FakeHub) -> None:
    async def stuck() -> None:
        await asyncio.Event().wait()

    def program(hub: Hub) -> None:
        failed: list[type[BaseException]] = []

        def wait() -> None:
            try:
                hub._thread.run(stuck())
            except BaseException as why:
                failed.append(type(why))

        waiting = threading.Thread(target=wait)
        waiting.start()
        hub.close()
        waiting.join()
        assert failed == [Disconnected]

    running, _ = await meet(fake, program)
    await running


async def test_a_call_from_the_hubs_own_thread_is_refused_and_does_not_hang(fake: FakeHub) -> None:
    def program(hub: Hub) -> None:
        with hub.mirror("*") as mirror, pytest.raises(RuntimeError, match="own thread"):
            mirror.until(lambda _: hub.ping(), timeout=5)

    running, end = await meet(fake, program)
    await end.subscribed(1)
    await end.say(synced(1, 100))
    await running


async def test_an_update_calls_its_function_in_the_callers_thread_where_it_may_use_the_hub(fake: FakeHub) -> None:
    def program(hub: Hub) -> Updated:
        here = threading.current_thread()

        def longer(value: list[int]) -> list[int]:
            assert threading.current_thread() is here
            return [*value, hub.ping().rev]

        return hub.update("k", longer, ttl=5)

    running, end = await meet(fake, program)
    await end.reply(await end.next("get"), entry=ENTRY, rev=100)
    await end.reply(await end.next("ping"), rev=100, at=1.0)
    command = await end.next("update")
    assert (command["if_rev"], command["patch"][0]["value"]) == (7, [1, 100])
    await end.refuse(command, "conflict", current={**ENTRY, "rev": 9, "value": [2]})
    await end.reply(await end.next("ping"), rev=101, at=1.0)
    command = await end.next("update")
    assert (command["if_rev"], command["patch"][0]["value"], command["ttl"]) == (9, [2, 101], 5)
    await end.reply(command, rev=12, version=3, value=[2, 101], expires_at=9.0)
    assert await running == Updated(rev=12, version=3, value=[2, 101], expires_at=9.0)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, StopIteration])
async def test_an_error_of_the_function_of_an_update_is_raised_to_the_caller_and_nothing_is_written(
    fake: FakeHub, error: type[BaseException]
) -> None:
    def fail(value: list[int]) -> list[int]:
        raise error("no")

    def program(hub: Hub) -> int:
        with pytest.raises(error, match="no"):
            hub.update("k", fail)
        return hub.ping().rev

    running, end = await meet(fake, program)
    await end.reply(await end.next("get"), entry=ENTRY, rev=100)
    await end.reply(await end.next("ping"), rev=100, at=1.0)
    assert await running == 100


async def test_an_update_ends_when_the_hub_is_closed_while_its_function_runs(fake: FakeHub) -> None:
    def program(hub: Hub) -> None:
        def close(value: list[int]) -> list[int]:
            hub.close()
            return value

        with pytest.raises(Disconnected):
            hub.update("k", close)

    running, end = await meet(fake, program)
    await end.reply(await end.next("get"), entry=ENTRY, rev=100)
    await running


async def test_an_update_keeps_refuses_and_goes_without_a_function_as_well(fake: FakeHub) -> None:
    async def later(value: list[int]) -> list[int]:
        return value

    def program(hub: Hub) -> int:
        assert hub.update("k", lambda value: KEEP).rev == 7
        with pytest.raises(BadRequest, match="plain one"):
            hub.update("k", later)
        with pytest.raises(BadRequest, match="exactly one"):
            hub.update("k")
        return hub.update("k", incr=1).rev

    running, end = await meet(fake, program)
    for _ in range(2):
        await end.reply(await end.next("get"), entry=ENTRY, rev=100)
    await end.reply(await end.next("update"), rev=12, version=3, value=2, expires_at=None)
    assert await running == 12


async def test_a_txn_and_a_history_are_the_same_without_await(fake: FakeHub) -> None:
    def program(hub: Hub) -> Done:
        assert [entry.rev for entry in hub.history("k")] == [7]
        return hub.txn([{"op": "delete", "key": "k"}], if_=[{"key": "k", "exists": True}])

    running, end = await meet(fake, program)
    await end.reply(await end.next("history"), entries=[ENTRY])
    await end.reply(await end.next("txn"), done="then", rev=101, results=[{"deleted": True, "rev": 101}])
    assert await running == Done("then", 101, [Deleted(True, 101)])
