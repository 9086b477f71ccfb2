"""Reading a log up to a revision: it ends there, whether or not its last event matches."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import typer

from waggle import Event
from waggle.cli.shared.event_options import events_up_to, parse_event_types


class Told:
    """A watcher whose events and marks are told by the test."""

    def __init__(self) -> None:
        self.rev = 0
        self.ended = False
        self._waiting: list[Event] = []
        self._bell = asyncio.Event()

    def tell(self, *revs: int, mark: int | None = None) -> None:
        self._waiting += [Event(type="set", rev=rev) for rev in revs]
        if mark is not None and not self._waiting:
            self.rev = mark
        self._bell.set()

    async def batch(self, most: int) -> list[tuple[Event, None]]:
        while not self._waiting and not self.ended:
            self._bell.clear()
            await self._bell.wait()
        taken, self._waiting = self._waiting[:most], self._waiting[most:]
        if taken:
            self.rev = taken[-1].rev
        return [(event, None) for event in taken]


async def revs(events: Any, rev: int) -> list[int]:
    async with asyncio.timeout(20):
        return [event.rev async for event in events_up_to(events, rev)]


async def test_a_stream_ends_with_the_last_event() -> None:
    told = Told()
    told.tell(3, 5, 9)
    assert await revs(told, 9) == [3, 5, 9]


async def test_events_up_to_ends_with_a_mark_if_the_last_event_does_not_match() -> None:
    told = Told()
    told.tell(3, 5)
    asyncio.get_running_loop().call_later(0.05, lambda: told.tell(mark=9))
    assert await revs(told, 9) == [3, 5]


async def test_events_after_the_end_are_left_for_the_next_reader() -> None:
    told = Told()
    told.tell(mark=9)
    assert await revs(told, 9) == []
    told.tell(10)
    assert [event.rev for event, _ in await told.batch(10)] == [10]


async def test_a_stream_ends_when_its_watcher_is_closed() -> None:
    told = Told()
    told.ended = True
    assert await revs(told, 9) == []


def test_types_are_those_that_there_are() -> None:
    assert parse_event_types(None) is None
    assert parse_event_types("set, touch") == ["set", "touch"]
    with pytest.raises(typer.BadParameter):
        parse_event_types("set,sat")
