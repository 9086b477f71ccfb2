"""Reading: every line of a message is submitted, in order, in slices, and only as long as its agent listens."""

from __future__ import annotations

import json
from itertools import count
from typing import Any, cast

import pytest

from waggle.wire import messages as m
from waggle.wire.errors import WaggleError
from waggle_hub.delivery.connection import Connection
from waggle_hub.delivery.frame import Payload
from waggle_hub.edge.command_reader import Reader
from waggle_hub.engine.engine import Engine
from waggle_hub.settings import Bounds


class RecordingListener:
    """Stands where the engine is: each command is owed a reply of ten bytes."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.heard: list[Any] = []

    def submit(self, connection: Connection, command: m.AnyCommand) -> None:
        self.heard.append(command.id)
        connection.reserve_reply(10)

    def refuse(self, connection: Connection, id: m.Id | None, error: WaggleError) -> None:
        self.heard.append(error.code)


class Desk:
    """A reader, and those around it."""

    def __init__(self, bounds: Bounds | None = None) -> None:
        self.listener = RecordingListener(bounds or Bounds())
        self.connection = Connection(self.listener.bounds)
        self.reader = Reader(cast(Engine, self.listener), self.connection)


def lines(count: int) -> str:
    return "\n".join(json.dumps({"id": number, "op": "ping"}) for number in range(count))


def test_a_message_is_read_line_by_line() -> None:
    desk = Desk()
    assert desk.reader.read('\n{"id": 1, "op": "ping"}\n \nnonsense\n{"id": 2, "op": "ping"}\n')
    assert desk.listener.heard == [1, "bad_request", 2]


@pytest.mark.parametrize("text", ["", " ", "\n", "\r\n \n"])
def test_blank_lines_say_nothing(text: str) -> None:
    desk = Desk()
    assert desk.reader.read(text)
    assert desk.listener.heard == []


def test_a_long_message_is_read_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = count()
    monkeypatch.setattr("time.monotonic", ticks.__next__)
    desk = Desk(Bounds(slice=10))
    done = desk.reader.read(lines(25))
    slices = 1
    while not done:
        assert len(desk.listener.heard) == 10 * slices
        done = desk.reader.go_on()
        slices += 1
    assert slices == 3
    assert desk.listener.heard == list(range(25))


def test_nothing_is_read_while_replies_beyond_the_bound_wait() -> None:
    desk = Desk(Bounds(unsent=100))
    assert not desk.reader.read(lines(30))
    assert len(desk.listener.heard) == 11
    assert not desk.reader.go_on()
    desk.connection.queue_reply(Payload(b"x" * 110))
    desk.connection.take()
    assert not desk.reader.go_on()
    assert len(desk.listener.heard) == 22


def test_one_command_too_waits_for_room() -> None:
    desk = Desk(Bounds(unsent=100))
    desk.connection.reserve_reply(101)
    assert not desk.reader.read(lines(1))
    assert desk.listener.heard == []
    desk.connection.reserve_reply(-101)
    assert desk.reader.go_on()
    assert desk.listener.heard == [0]


async def test_when_the_connection_closes_nothing_more_is_read() -> None:
    desk = Desk(Bounds(unsent=100))
    assert not desk.reader.read(lines(30))
    desk.connection.close(4002)
    assert desk.reader.go_on()
    assert desk.reader.read(lines(1))
    assert len(desk.listener.heard) == 11
