"""Who waits for an outcome is told, or told that it is late; one timer serves all ordinary commands."""

from __future__ import annotations

import asyncio

import pytest

from waggle.core.pending import PendingCommand
from waggle.transport.replies import ReplyFutures
from waggle.wire.messages import Backup, Lock, Ping, Pong, Wait

LONG = 60.0
PONG = Pong(rev=1, at=1.0)


class Timers:
    """Which timers the loop was asked for, and are not cancelled."""

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


async def test_a_caller_is_told_and_is_a_caller_no_more() -> None:
    outcomes = ReplyFutures(LONG)
    ask = PendingCommand(Ping(id=0))
    future = outcomes.wait(ask)
    outcomes.settle(ask, PONG)
    assert await future is PONG
    outcomes.settle(ask, PONG)
    assert outcomes.leave(ask) is None
    outcomes.close()


async def test_who_went_away_is_told_nothing() -> None:
    outcomes = ReplyFutures(LONG)
    asks = [PendingCommand(Ping(id=0)), PendingCommand(Wait(id=0, timeout=1.0))]
    futures = [outcomes.wait(ask) for ask in asks]
    for ask in asks:
        outcomes.leave(ask)
        outcomes.settle(ask, PONG)
    assert not any(future.done() for future in futures)
    outcomes.close()


async def test_a_caller_that_is_cancelled_in_the_same_turn_does_no_harm() -> None:
    outcomes = ReplyFutures(LONG)
    ask = PendingCommand(Ping(id=0))
    outcomes.wait(ask).cancel()
    outcomes.settle(ask, PONG)
    outcomes.close()


async def test_many_ordinary_commands_have_one_timer_and_none_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    timers, outcomes = Timers(monkeypatch), ReplyFutures(LONG)
    asks = [PendingCommand(Ping(id=0)) for _ in range(100)]
    for ask in asks:
        outcomes.wait(ask)
    assert timers.standing() == 1
    for ask in asks:
        outcomes.settle(ask, PONG)
    for _ in range(100):
        ask = PendingCommand(Ping(id=0))
        outcomes.wait(ask)
        outcomes.settle(ask, PONG)
    assert timers.standing() == 1
    outcomes.close()
    assert timers.standing() == 0


async def test_a_command_that_waits_has_a_timer_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    timers, outcomes = Timers(monkeypatch), ReplyFutures(LONG)
    asks = [
        PendingCommand(Wait(id=0, timeout=5.0)),
        PendingCommand(Lock(id=0, wait=5.0)),
        PendingCommand(Lock(id=0, wait=None)),
        PendingCommand(Backup(id=0)),
    ]
    assert [outcomes.patience(ask) for ask in asks] == [65.0, 65.0, None, None]
    for ask in asks:
        outcomes.wait(ask)
    assert timers.standing() == 2
    for ask in asks:
        outcomes.settle(ask, PONG)
    assert timers.standing() == 0


async def test_each_reply_times_out_at_its_own_deadline() -> None:
    outcomes = ReplyFutures(0.02)
    loop = asyncio.get_running_loop()
    asked = []
    for _ in range(4):
        asked.append((loop.time(), outcomes.wait(PendingCommand(Ping(id=0)))))
        await asyncio.sleep(0.005)
    answered = PendingCommand(Ping(id=0))
    future = outcomes.wait(answered)
    outcomes.settle(answered, PONG)
    for at, late in asked:
        with pytest.raises(TimeoutError):
            await late
        assert loop.time() >= at + 0.02
    assert await future is PONG


async def test_a_wait_is_late_when_its_own_time_is_over_too() -> None:
    outcomes = ReplyFutures(0.01)
    start = asyncio.get_running_loop().time()
    with pytest.raises(TimeoutError):
        await outcomes.wait(PendingCommand(Wait(id=0, timeout=0.02)))
    assert asyncio.get_running_loop().time() >= start + 0.03
