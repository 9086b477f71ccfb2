"""Backups: one at a time, what was asked before is in it, and failures are told."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from pathlib import Path

import pytest

from waggle.wire.errors import Unavailable
from waggle_hub.backups import Backups
from waggle_hub.journal.interface import StoreError


class Copies:
    """Writes a file each time, when it may, and knows how many are at it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.may = threading.Semaphore(0)
        self.made = 0
        self.at_it = self.most = 0
        self.error: Exception | None = None
        self.rev = 0

    async def settled(self) -> int:
        await asyncio.sleep(0)
        return self.rev

    def __call__(self) -> Path:
        self.at_it += 1
        self.most = max(self.most, self.at_it)
        self.may.acquire()
        self.at_it -= 1
        if self.error is not None:
            raise self.error
        self.made += 1
        path = self.directory / f"waggle-{self.made}.db"
        path.write_bytes(b"12345")
        return path


@pytest.fixture
def copies(tmp_path: Path) -> Copies:
    return Copies(tmp_path)


async def until(copies: Copies, at_it: int) -> None:
    async with asyncio.timeout(10):
        while copies.at_it != at_it:
            await asyncio.sleep(0)


async def test_a_backup_reports_its_path_size_and_revision(copies: Copies, tmp_path: Path) -> None:
    copies.may.release()
    copies.rev = 7
    made = await Backups(copies).make(copies.settled)
    assert (made.path, made.bytes, made.rev) == (str(tmp_path / "waggle-1.db"), 5, 7)
    assert made.seconds >= 0


async def test_requests_during_a_backup_share_the_next_one(copies: Copies) -> None:
    backups = Backups(copies)
    copies.rev = 1
    first = asyncio.create_task(backups.make(copies.settled))
    await until(copies, 1)
    copies.rev = 2
    later = [asyncio.create_task(backups.make(copies.settled)) for _ in range(5)]
    await asyncio.sleep(0)
    copies.may.release(2)
    assert (await first).rev == 1
    assert [(await one).rev for one in later] == [2] * 5
    assert (copies.made, copies.most) == (2, 1)


async def test_a_cancelled_request_does_not_cancel_the_backup_of_others(copies: Copies) -> None:
    backups = Backups(copies)
    hasty, patient = (
        asyncio.create_task(backups.make(copies.settled)),
        asyncio.create_task(backups.make(copies.settled)),
    )
    await until(copies, 1)
    hasty.cancel()
    copies.may.release()
    assert (await patient).bytes == 5


@pytest.mark.parametrize("error", [StoreError("the disk is full"), OSError("the disk is full")])
async def test_a_failed_backup_is_reported_and_the_next_can_succeed(copies: Copies, error: Exception) -> None:
    backups = Backups(copies)
    copies.error = error
    copies.may.release(2)
    with pytest.raises(Unavailable, match="no backup was made: the disk is full"):
        await backups.make(copies.settled)
    copies.error = None
    assert (await backups.make(copies.settled)).bytes == 5


async def test_close_waits_for_the_running_backup_and_starts_no_other(copies: Copies) -> None:
    backups = Backups(copies)
    first = asyncio.create_task(backups.make(copies.settled))
    await until(copies, 1)
    second = asyncio.create_task(backups.make(copies.settled))
    await asyncio.sleep(0)
    closing = asyncio.create_task(backups.close())
    await asyncio.sleep(0)
    assert not closing.done()
    copies.may.release()
    await closing
    await first
    with pytest.raises(asyncio.CancelledError):
        await second
    assert copies.made == 1


async def test_a_schedule_counts_from_the_newest_backup_and_continues_after_a_failure(
    copies: Copies, caplog: pytest.LogCaptureFixture
) -> None:
    copies.error = StoreError("the disk is full")
    copies.may.release(100)
    backups = Backups(copies)
    with caplog.at_level(logging.ERROR, "waggle_hub"):
        idle = asyncio.create_task(backups.repeat(60.0, time.time(), copies.settled))
        busy = asyncio.create_task(backups.repeat(0.001, time.time() - 60.0, copies.settled))
        async with asyncio.timeout(10):
            while len(caplog.records) < 2:
                await asyncio.sleep(0.001)
            copies.error = None
            while not copies.made:
                await asyncio.sleep(0.001)
    for task in (idle, busy):
        assert not task.done()
        task.cancel()
    await backups.close()
    assert "the disk is full" in caplog.text
