"""Locks as a program uses them: entered, renewed, lost, cancelled, garbage collected. Each test writes the lines of
the hub.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import pytest

import waggle
from tests.unit.client.api.test_hub import meeting
from tests.unit.client.fakehub import PATIENCE, FakeConnection, FakeHub, Line
from waggle.transport import driver
from waggle.wire.errors import BadRequest, Locked, LockLost, NotHolder, TimedOut

LOST = {"lost": {"token": 110, "reason": "forced", "names": ["a"], "message": "b freed it: stuck"}}


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WAGGLE_URL", "WAGGLE_AGENT", "WAGGLE_TOKEN", "WAGGLE_NS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(driver, "random", lambda: 0.0)


@pytest.fixture
async def fake() -> AsyncIterator[FakeHub]:
    async with FakeHub() as fake:
        yield fake


async def grant(end: FakeConnection, token: int = 110, **ok: Any) -> Line:
    """Grant the next lock, and return its command."""
    command = await end.next("lock")
    await end.reply(command, **{"token": token, "mode": "exclusive", "expires_at": 50.0, "waited": 0.0, **ok})
    return command


async def unlocked(end: FakeConnection) -> int:
    """Answer the next unlock, and return its token."""
    command = await end.next("unlock")
    await end.reply(command, rev=120)
    token: int = command["token"]
    return token


async def soon(work: Awaitable[Any]) -> Any:
    async with asyncio.timeout(PATIENCE):
        return await work


def forever() -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()


async def hold(hub: waggle.Hub, inside: asyncio.Event, **options: Any) -> waggle.Lock:
    """Enter a lock and stay in its block."""
    async with hub.lock("a", **options) as lock:
        inside.set()
        await forever()
    return lock


# --- entering and leaving ----------------------------------------------------------------------------------------


async def test_a_block_locks_and_unlocks(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):

        async def program() -> None:
            async with hub.lock("a", "b", ns="n", ttl=9, wait=5) as lock:
                assert (lock.token, lock.names, lock.patterns, lock.expires_at) == (110, ("a", "b"), (), 50.0)
                lock.check()
            with pytest.raises(BadRequest, match="was released"):
                lock.check()
            await lock.release()

        running = asyncio.create_task(program())
        command = await grant(end)
        assert {name: command[name] for name in ("names", "ns", "ttl", "wait")} == {
            "names": ["a", "b"], "ns": "n", "ttl": 9, "wait": 5,
        }  # fmt: skip
        assert await unlocked(end) == 110
        await running


async def test_names_and_patterns_are_not_mixed_up(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):
        one, several = hub.lock(pattern="a*"), hub.lock(pattern=["a*", "b*"], shared=True)
        for lock, patterns, mode in ((one, ["a*"], "exclusive"), (several, ["a*", "b*"], "shared")):
            _, command = await asyncio.gather(lock.acquire(), grant(end))
            assert (command["patterns"], command.get("mode", "exclusive")) == (patterns, mode)
            assert "names" not in command
            await asyncio.gather(lock.release(), unlocked(end))
        with pytest.raises(BadRequest, match="one of the two"):
            hub.lock()
        with pytest.raises(BadRequest, match="one of the two"):
            hub.lock("a", pattern="b")


async def test_each_task_is_a_lock_owner_of_its_own(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):

        async def twice() -> None:
            await hub.lock("a").acquire()
            await hub.lock("b").acquire()

        running = [asyncio.create_task(twice()) for _ in range(2)]
        strands = [(await grant(end, token))["task"] for token in range(110, 114)]
        await asyncio.gather(*running)
        assert len(set(strands)) == 2


async def test_a_refusal_is_raised_and_the_lock_may_be_tried_again(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):
        lock = hub.lock("a")
        trying = asyncio.create_task(lock.acquire())
        await end.refuse(await end.next("lock"), "locked", holders=[{"agent": "b"}])
        with pytest.raises(Locked) as locked:
            await trying
        assert locked.value.details["holders"] == [{"agent": "b"}]
        with pytest.raises(BadRequest, match="not held yet"):
            _ = lock.token
        await asyncio.gather(lock.acquire(), grant(end))
        with pytest.raises(BadRequest, match="held already"):
            await lock.acquire()


async def test_the_error_of_the_body_is_the_error_of_the_block(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):

        async def program() -> None:
            async with hub.lock("a"):
                raise KeyError("mine")

        running = asyncio.create_task(program())
        await grant(end)
        await unlocked(end)
        with pytest.raises(KeyError):
            await running


async def test_leaving_a_block_while_the_hub_is_away_unlocks_after_the_reconnect(fake: FakeHub) -> None:
    async with meeting(fake, timeout=0.02) as (hub, end):
        inside, out = asyncio.Event(), asyncio.Event()

        async def program() -> None:
            async with hub.lock("a"):
                inside.set()
                await out.wait()

        running = asyncio.create_task(program())
        await grant(end)
        await inside.wait()
        end.cut()
        out.set()
        await soon(running)
        end = await fake.welcomed(resumed=True)
        while (await end.next("unlock", "renew"))["op"] != "unlock":
            pass


# --- renewing ----------------------------------------------------------------------------------------------------


async def test_a_lock_is_renewed_again_and_again(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):
        inside = asyncio.Event()
        running = asyncio.create_task(hold(hub, inside, ttl=0.9))
        await grant(end)
        for _ in range(5):
            renew = await end.next("renew")
            assert (renew["token"], renew["ttl"]) == (110, 0.9)
            await end.reply(renew, expires_at=60.0, rev=120)
        running.cancel()
        await unlocked(end)
        with pytest.raises(asyncio.CancelledError):
            await running


async def test_a_renewal_that_fails_is_tried_again(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):
        running = asyncio.create_task(hold(hub, asyncio.Event(), ttl=1.5))
        await grant(end)
        await end.refuse(await end.next("renew"), "unavailable", retry_after=1)
        await end.reply(await end.next("renew"), expires_at=60.0, rev=120)
        await end.reply(await end.next("renew"), expires_at=60.0, rev=120)
        assert not running.done()


async def test_renew_with_a_ttl_changes_the_ttl_of_later_renewals(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):
        lock, _ = await asyncio.gather(hub.lock("a").acquire(), grant(end))
        renewing = asyncio.create_task(lock.renew(0.9))
        await end.reply(await end.next("renew"), expires_at=60.0, rev=120)
        assert await renewing == lock.expires_at == 60.0
        assert (await end.next("renew"))["ttl"] == 0.9


async def test_a_duplicate_grant_is_renewed_before_it_counts_as_held(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):
        entering = asyncio.create_task(hub.lock("a").acquire())
        command = await end.next("lock")
        ok = {"token": 110, "mode": "exclusive", "expires_at": 50.0, "waited": 0.0}
        await end.say({"id": command["id"], "ok": ok, "dup": True})
        await end.refuse(await end.next("renew"), "not_holder")
        with pytest.raises(LockLost, match="the hub says"):
            await entering


# --- loss --------------------------------------------------------------------------------------------------------


async def test_a_loss_cancels_the_body_and_the_block_says_why(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):
        cleaned = False

        async def work() -> None:
            nonlocal cleaned
            async with hub.lock("a"):
                try:
                    await forever()
                finally:
                    cleaned = True

        async def program() -> int:
            with pytest.raises(LockLost, match="stuck") as lost:
                await work()
            assert isinstance(lost.value.__cause__, asyncio.CancelledError)
            task = asyncio.current_task()
            assert task is not None
            await asyncio.sleep(0)
            return task.cancelling()

        running = asyncio.create_task(program())
        await grant(end)
        await end.say(LOST)
        assert await soon(running) == 0
        assert cleaned
        assert end.quiet, "there is nothing to unlock"


async def test_a_block_that_ends_before_the_loss_arrives_raises_lock_lost(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):
        told = asyncio.Event()

        async def program() -> None:
            async with hub.lock("a") as lock:
                while lock.lost is None:
                    try:
                        await told.wait()
                    except asyncio.CancelledError:
                        pass  # a body that will not hear of it

        running = asyncio.create_task(program())
        await grant(end)
        await end.say(LOST)
        with pytest.raises(LockLost, match="stuck"):
            await soon(running)


async def test_a_cancellation_by_other_code_is_not_replaced_by_a_loss(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):
        inside = asyncio.Event()
        running = asyncio.create_task(hold(hub, inside))
        await grant(end)
        await inside.wait()
        lost = hub._driver.session._leases[110]
        hub._driver._loss_callbacks[lost]()  # the loss and the wish come in the same turn
        running.cancel()
        lost.mark_lost("forced")
        with pytest.raises(asyncio.CancelledError):
            await soon(running)


async def test_a_timeout_around_a_lock_that_is_lost_is_not_mistaken_for_one(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):

        async def program() -> None:
            async with asyncio.timeout(PATIENCE), hub.lock("a"):
                await forever()

        running = asyncio.create_task(program())
        await grant(end)
        await end.say(LOST)
        with pytest.raises(LockLost):
            await running


async def test_a_hub_that_is_silent_is_lost_at_the_deadline(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):
        loop = asyncio.get_running_loop()
        asked = loop.time()
        running = asyncio.create_task(hold(hub, asyncio.Event(), ttl=0.15))
        await grant(end)
        with pytest.raises(LockLost, match="before it was renewed") as lost:
            await soon(running)
        assert lost.value.reason == "expired"
        assert loop.time() - asked >= 0.14
        await end.next("renew")
        assert (await end.next("unlock"))["token"] == 110, "should the hub still hold it, it need not"


async def test_the_clock_counts_even_if_nothing_came_to_say_so(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):
        lock, _ = await asyncio.gather(hub.lock("a", ttl=30).acquire(), grant(end))
        hub._driver.session._leases[110].deadline = hub._driver.now
        with pytest.raises(LockLost):
            lock.check()
        with pytest.raises(LockLost):
            await hub.set("k", 1, guard=lock)
        assert (await end.next("unlock", "renew"))["op"] == "unlock", "the write was not sent"


async def test_a_lost_session_is_a_lost_lock(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):
        inside = asyncio.Event()
        running = asyncio.create_task(hold(hub, inside))
        await grant(end)
        await inside.wait()
        end.cut()
        end = await fake.connection()
        await end.refuse(await end.next("hello"), "session_lost")
        await end.welcome(session="s-2")
        with pytest.raises(LockLost) as lost:
            await soon(running)
        assert lost.value.reason == "session_lost"


async def test_an_unlock_that_comes_too_late_says_so(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):
        lock, _ = await asyncio.gather(hub.lock("a").acquire(), grant(end))
        releasing = asyncio.create_task(lock.release())
        await end.refuse(await end.next("unlock"), "not_holder")
        with pytest.raises(LockLost, match="the hub says"):
            await releasing


async def test_an_error_of_the_body_after_a_loss_is_raised_as_the_loss(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):

        async def program() -> None:
            async with hub.lock("a") as lock:
                await hub.set("k", 1, guard=lock)

        running = asyncio.create_task(program())
        await grant(end)
        write = await end.next("set")
        assert write["guard"] == {"token": 110}
        await end.say({"id": write["id"], "error": {"code": "not_holder", "message": "no"}}, LOST)
        with pytest.raises(LockLost, match="stuck"):
            await soon(running)


# --- cancelling --------------------------------------------------------------------------------------------------


async def test_a_waiter_that_is_cancelled_cancels(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):
        waiting = asyncio.create_task(hub.lock("a", wait=None).acquire())
        command = await end.next("lock")
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        cancel = await end.next("cancel")
        assert cancel["target"] == command["id"]
        await end.reply(command, token=110, mode="exclusive", expires_at=50.0, waited=1.0)
        assert (await end.next("unlock"))["token"] == 110


async def test_a_grant_in_the_same_turn_as_the_cancel_goes_back(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):
        waiting = asyncio.create_task(hub.lock("a", wait=None).acquire())
        await end.next("lock")
        (ask,) = hub._driver.session._waiting.values()
        ok = b'{"token":110,"mode":"exclusive","expires_at":50.0,"waited":1.0}'
        hub._driver.session.receive(b'{"id":%d,"ok":%s}' % (ask.ids[-1], ok))
        hub._driver._apply_updates()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert (await end.next("unlock"))["token"] == 110


async def test_a_client_that_gives_up_by_itself_leaves_nothing_either(fake: FakeHub) -> None:
    async with meeting(fake, timeout=0.02) as (hub, end):
        with pytest.raises(TimedOut, match="changed nothing"):
            await hub.lock("a", wait=0.01).acquire()
        command = await end.next("lock")
        assert (await end.next("cancel"))["target"] == command["id"]


async def test_a_lock_without_end_has_no_timeout_of_the_clients_own(fake: FakeHub) -> None:
    async with meeting(fake, timeout=0.01) as (hub, end):
        waiting = asyncio.create_task(hub.lock("a", wait=None).acquire())
        command = await end.next("lock")
        with pytest.raises(TimedOut):
            await hub.ping()
        assert not waiting.done()
        await end.reply(command, token=110, mode="exclusive", expires_at=50.0, waited=1.0)
        await waiting


async def test_a_lock_whose_object_was_dropped_is_released(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):

        async def forgetful() -> None:
            await hub.lock("a")

        await asyncio.gather(forgetful(), grant(end))
        gc.collect()
        assert (await end.next("unlock"))["token"] == 110


async def test_the_end_of_the_client_is_the_end_of_the_lock(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):
        lock, _ = await asyncio.gather(hub.lock("a").acquire(), grant(end))
        await hub.close()
        with pytest.raises(NotHolder):
            lock.check()
        assert lock.lost is not None
        assert lock.lost.reason == "disconnected"
