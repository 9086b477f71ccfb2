"""Jobs as a program uses them: taken, done, given back, lost. Each test writes the lines of the hub."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest

import waggle
from tests.unit.client.api.test_hub import meeting
from tests.unit.client.api.test_lock import forever, soon
from tests.unit.client.core.test_grants import ENTRY
from tests.unit.client.fakehub import FakeConnection, FakeHub, Line
from waggle.wire.errors import BadRequest, LockLost, TimedOut


@pytest.fixture
async def fake() -> AsyncIterator[FakeHub]:
    async with FakeHub() as fake:
        yield fake


async def give(end: FakeConnection, token: int = 110, delivery: int = 1) -> Line:
    """Give a job to the next `take`, and return that command."""
    command = await end.next("take")
    await end.reply(command, entry=ENTRY, token=token, expires_at=50.0, delivery=delivery)
    return command


async def finished(end: FakeConnection) -> Line:
    """Answer the command that ends a job."""
    command = await end.next("delete", "unlock")
    await end.reply(command, **({"deleted": True, "rev": 120} if command["op"] == "delete" else {"rev": 120}))
    return command


async def taken(hub: waggle.Hub, end: FakeConnection) -> waggle.Job:
    async def take() -> waggle.Job:
        return await hub.take("job:*")

    job, _ = await asyncio.gather(take(), give(end))
    return job


async def test_a_block_is_a_job_that_is_done(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):

        async def program() -> None:
            async with hub.take("job:*", ns="n", lease=9, timeout=5, max_deliveries=3) as job:
                assert (job.key, job.value, job.token, job.delivery, job.entry.by) == ("job:1", [1], 110, 2, "b")

        running = asyncio.create_task(program())
        command = await give(end, delivery=2)
        options = {name: command[name] for name in ("patterns", "ns", "lease", "timeout", "max_deliveries")}
        assert options == {"patterns": ["job:*"], "ns": "n", "lease": 9, "timeout": 5, "max_deliveries": 3}
        delete = await finished(end)
        assert (delete["op"], delete["key"], delete["ns"], delete["guard"]) == (
            "delete",
            "job:1",
            "default",
            {"token": 110},
        )
        await running
        with pytest.raises(BadRequest, match="what to take"):
            hub.take()


async def test_a_block_that_fails_gives_the_job_back(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):

        async def program() -> None:
            async with hub.take("job:*"):
                raise KeyError("mine")

        running = asyncio.create_task(program())
        await give(end)
        assert (await finished(end))["op"] == "unlock"
        with pytest.raises(KeyError):
            await running


async def test_a_job_is_finished_once(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):
        job = await taken(hub, end)
        done, command = await asyncio.gather(job.done(), finished(end))
        assert (done, command["op"]) == (True, "delete")
        assert not await job.done()
        await job.give_back()
        async with await give_back_and_enter(hub, end):
            pass
        assert end.quiet


async def give_back_and_enter(hub: waggle.Hub, end: FakeConnection) -> Any:
    """Give a job back inside its block."""

    class Block:
        async def __aenter__(self) -> None:
            self.job = await taken(hub, end)
            await self.job.__aenter__()
            await asyncio.gather(self.job.give_back(), finished(end))

        async def __aexit__(self, *_: object) -> None:
            await self.job.__aexit__(None, None, None)

    return Block()


async def test_a_lease_is_extended_by_hand_or_by_the_block(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):
        job = await taken(hub, end)
        extending = asyncio.create_task(job.extend(0.3))
        renew = await end.next("renew")
        assert (renew["token"], renew["ttl"]) == (110, 0.3)
        await end.reply(renew, expires_at=60.0, rev=120)
        assert await extending == 60.0

        async def program() -> None:
            async with job:
                await forever()

        running = asyncio.create_task(program())
        for _ in range(3):
            await end.reply(await end.next("renew"), expires_at=60.0, rev=120)
        running.cancel()
        assert (await finished(end))["op"] == "unlock"
        with pytest.raises(asyncio.CancelledError):
            await running


async def test_a_lost_lease_stops_the_work(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):

        async def program() -> None:
            async with hub.take("job:*"):
                await forever()

        running = asyncio.create_task(program())
        await give(end)
        await end.say({"lost": {"token": 110, "reason": "released"}})
        with pytest.raises(LockLost, match="its entry is gone"):
            await soon(running)


async def test_a_job_that_another_worker_has_by_now_is_not_done(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):
        job = await taken(hub, end)
        finishing = asyncio.create_task(job.done())
        await end.refuse(await end.next("delete"), "not_holder")
        with pytest.raises(LockLost):
            await finishing
        assert job.lost is not None


async def test_nothing_to_take_is_told(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):

        async def take() -> waggle.Job:
            return await hub.take("job:*")

        taking = asyncio.create_task(take())
        await end.refuse(await end.next("take"), "timeout")
        with pytest.raises(TimedOut):
            await taking


async def test_one_job_after_another_until_there_is_none(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):

        async def program() -> list[int]:
            done = []
            async for job in hub.work("job:*", timeout=1):
                async with job:
                    done.append(job.token)
            return done

        running = asyncio.create_task(program())
        for token in (110, 111):
            command = await give(end, token)
            assert command["timeout"] == 1
            await finished(end)
        await end.refuse(await end.next("take"), "timeout")
        assert await running == [110, 111]


async def test_a_hub_that_is_away_is_not_the_end_of_the_work(fake: FakeHub) -> None:
    async with meeting(fake, timeout=0.02) as (hub, end):
        with pytest.raises(TimedOut, match="did not answer"):
            await anext(hub.work("job:*", timeout=0.01))
        await end.next("take")


async def test_the_lease_of_a_job_in_a_loop_renews_until_the_next_step(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):
        work = hub.work("job:*", lease=1.5)
        job, _ = await asyncio.gather(anext(work), give(end))
        await end.reply(await end.next("renew"), expires_at=60.0, rev=120)
        step = asyncio.ensure_future(anext(work))
        command = await end.next("take", "renew")
        assert command["op"] == "take"
        await end.reply(command, entry=ENTRY, token=111, expires_at=50.0, delivery=1)
        await step
        assert job._renewer is None


async def test_a_job_whose_object_was_dropped_is_given_back(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):
        await taken(hub, end)
        gc.collect()
        assert (await end.next("unlock"))["token"] == 110


async def test_work_skips_a_job_whose_lease_was_over_before_the_grant_arrived(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):

        async def program() -> int:
            async for job in hub.work("job:*", lease=1e-6):
                return job.token
            raise AssertionError

        running = asyncio.create_task(program())
        await give(end, token=110)
        await end.refuse(await end.next("renew"), "not_holder")
        await end.refuse(await end.next("unlock"), "not_holder")
        await give(end, token=111)
        renewal = await end.next("renew")
        await end.reply(renewal, expires_at=60.0, rev=130)
        assert await soon(running) == 111
