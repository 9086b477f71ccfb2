"""A caller gets its outcome or a timeout; one timer serves all ordinary commands."""

from __future__ import annotations

import asyncio

import pytest

from waggle.core.pending import PendingCommand
from waggle.transport.replies import ReplyFutures
from waggle.wire.messages import Backup, Lock, Ping, Pong, Wait

LONG = 60.0
PONG = Pong(rev=1, at=1.0)


class Timers:
    """The timers that the loop has set, and that are not cancelled."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._set: list[asyncio.TimerHandle] = []
        loop = asyncio.get_running_loop()
        call_at = loop.call_at

        def noted(*args: object, **options: object) -> asyncio.TimerHandle:
            timer = call_at(*args, **options)  # type: ignore[arg-type]
            self._set.append(timer)
            return timer

        monkeypatch.setattr(loop, "call_at", noted)

    def standing(self) -> int:
        return sum(not timer.cancelled() for timer in self._set)


async def test_a_caller_gets_its_outcome_once() -> None:
    replies = ReplyFutures(LONG)
    pending = PendingCommand(Ping(id=0))
    future = replies.wait(pending)
    replies.settle(pending, PONG)
    assert await future is PONG
    replies.settle(pending, PONG)
    assert replies.discard(pending) is None
    replies.close()


async def test_a_discarded_command_is_not_settled() -> None:
    replies = ReplyFutures(LONG)
    asks = [PendingCommand(Ping(id=0)), PendingCommand(Wait(id=0, timeout=1.0))]
    futures = [replies.wait(pending) for pending in asks]
    for pending in asks:
        replies.discard(pending)
        replies.settle(pending, PONG)
    assert not any(future.done() for future in futures)
    replies.close()


async def test_a_caller_that_is_cancelled_in_the_same_turn_does_no_harm() -> None:
    replies = ReplyFutures(LONG)
    pending = PendingCommand(Ping(id=0))
    replies.wait(pending).cancel()
    replies.settle(pending, PONG)
    replies.close()


async def test_many_ordinary_commands_have_one_timer_and_none_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    timers, replies = Timers(monkeypatch), ReplyFutures(LONG)
    asks = [PendingCommand(Ping(id=0)) for _ in range(100)]
    for pending in asks:
        replies.wait(pending)
    assert timers.standing() == 1
    for pending in asks:
        replies.settle(pending, PONG)
    for _ in range(100):
        pending = PendingCommand(Ping(id=0))
        replies.wait(pending)
        replies.settle(pending, PONG)
    assert timers.standing() == 1
    replies.close()
    assert timers.standing() == 0


async def test_a_command_that_waits_has_a_timer_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    timers, replies = Timers(monkeypatch), ReplyFutures(LONG)
    asks = [
        PendingCommand(Wait(id=0, timeout=5.0)),
        PendingCommand(Lock(id=0, wait=5.0)),
        PendingCommand(Lock(id=0, wait=None)),
        PendingCommand(Backup(id=0)),
    ]
    assert [replies.timeout_of(pending) for pending in asks] == [65.0, 65.0, None, None]
    for pending in asks:
        replies.wait(pending)
    assert timers.standing() == 2
    for pending in asks:
        replies.settle(pending, PONG)
    assert timers.standing() == 0


async def test_each_reply_times_out_at_its_own_deadline() -> None:
    replies = ReplyFutures(0.02)
    loop = asyncio.get_running_loop()
    asked = []
    for _ in range(4):
        asked.append((loop.time(), replies.wait(PendingCommand(Ping(id=0)))))
        await asyncio.sleep(0.005)
    answered = PendingCommand(Ping(id=0))
    future = replies.wait(answered)
    replies.settle(answered, PONG)
    for at, late in asked:
        with pytest.raises(TimeoutError):
            await late
        assert loop.time() >= at + 0.02
    assert await future is PONG


async def test_a_wait_is_late_when_its_own_time_is_over_too() -> None:
    replies = ReplyFutures(0.01)
    start = asyncio.get_running_loop().time()
    with pytest.raises(TimeoutError):
        await replies.wait(PendingCommand(Wait(id=0, timeout=0.02)))
    assert asyncio.get_running_loop().time() >= start + 0.03
