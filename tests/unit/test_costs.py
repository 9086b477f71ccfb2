"""Costs of the hot path, in counts that do not depend on the machine: encodes, decodes, frames, writes.

An event is encoded once for each interest, however many follow it. A connection gets one write in a turn of the loop.
A frame that goes to several connections is made once. On the fast path no message waits for a task, and none pauses
its socket.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.frames import FIN, TEXT, masked
from tests.unit.edge.socketless import Socketless, turns
from waggle_hub.app import Hub, build
from waggle_hub.delivery import encoding, frame
from waggle_hub.edge import command_reader
from waggle_hub.edge.server import uvicorn_websocket
from waggle_hub.edge.server.uvicorn_fast_path import FastPathProtocol
from waggle_hub.settings import Bounds, Settings

FOLLOWERS = 20
"""Of each of two interests."""


class Counts:
    """How often functions were called, by name."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self._calls: dict[str, int] = {}

    def watch(self, module: Any, name: str) -> None:
        function: Callable[..., Any] = getattr(module, name)
        self._calls[name] = 0

        def counted(*args: Any, **fields: Any) -> Any:
            self._calls[name] += 1
            return function(*args, **fields)

        self._monkeypatch.setattr(module, name, counted)

    def take(self) -> dict[str, int]:
        """The counts since the last time."""
        taken, self._calls = self._calls, dict.fromkeys(self._calls, 0)
        return taken


class Agent:
    """An agent on the fast lane, whose bytes are fed by hand."""

    def __init__(self, hub: Hub) -> None:
        self.wire = Socketless(FastPathProtocol, hub.app, most=hub.settings.bounds.message)
        self._read = 0

    def say(self, *commands: dict[str, Any]) -> None:
        """Commands in one message."""
        lines = "\n".join(json.dumps({"id": number, **command}) for number, command in enumerate(commands))
        self.wire.protocol.data_received(masked(FIN | TEXT, lines.encode()))

    def take(self) -> int:
        """How many writes there were since the last time."""
        before, self._read = self._read, len(self.wire.transport.writes)
        return self._read - before

    def heard(self) -> list[Any]:
        """Every line so far."""
        payloads = [payload for _, payload in self.wire.transport.sent()]
        return [json.loads(line) for payload in payloads for line in payload.split(b"\n")]


class Floor:
    """A hub with a writer and followers of two interests: the keys that begin with k, and all keys."""

    def __init__(self, hub: Hub) -> None:
        self.writer = Agent(hub)
        self.followers = [Agent(hub) for _ in range(2 * FOLLOWERS)]

    async def begin(self) -> None:
        await turns()
        self.writer.say({"op": "hello", "agent": "writer"})
        for number, follower in enumerate(self.followers):
            follower.say({"op": "hello"}, {"op": "subscribe", "patterns": ["k*" if number % 2 else "*"]})
        await turns()

    def writes(self) -> list[int]:
        """How many writes each connection had since the last time: the writer, and then its followers."""
        return [agent.take() for agent in (self.writer, *self.followers)]


@pytest.fixture
async def floor(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Floor]:
    """Time slices are long here, so the counts are the same however busy the machine is."""
    monkeypatch.setattr(uvicorn_websocket, "_PARSE_SLICE_S", 60.0)
    hub = build(Settings(bounds=Bounds(slice=60.0)))
    await hub.engine.start()
    floor = Floor(hub)
    await floor.begin()
    floor.writes()
    yield floor
    hub.engine.stop()
    for agent in (floor.writer, *floor.followers):
        await agent.wire.lose()


@pytest.fixture
def counts(floor: Floor, monkeypatch: pytest.MonkeyPatch) -> Counts:
    counts = Counts(monkeypatch)
    counts.watch(command_reader, "decode")
    counts.watch(encoding, "event_body")
    counts.watch(encoding, "event_line")
    counts.watch(frame, "head")
    return counts


async def test_ten_writes_in_one_message(floor: Floor, counts: Counts) -> None:
    floor.writer.say(*({"op": "set", "key": f"k{number}", "value": number} for number in range(10)))
    await turns()
    assert counts.take() == {
        "decode": 10,
        "event_body": 10,
        "event_line": 20,  # for each of two interests
        "head": 3,  # for each interest, and for the replies
    }
    assert floor.writes() == [1] * (1 + 2 * FOLLOWERS)
    for follower in floor.followers:
        assert [line["value"] for line in follower.heard() if line.get("type") == "set"] == list(range(10))


async def test_ten_writes_in_a_turn_each_in_a_message(floor: Floor, counts: Counts) -> None:
    for number in range(10):
        floor.writer.say({"op": "set", "key": f"k{number}", "value": number})
    await turns()
    assert counts.take() == {"decode": 10, "event_body": 10, "event_line": 20, "head": 3}
    assert floor.writes() == [1] * (1 + 2 * FOLLOWERS)


async def test_ten_writes_in_ten_turns(floor: Floor, counts: Counts) -> None:
    for number in range(10):
        floor.writer.say({"op": "set", "key": f"k{number}", "value": number})
        await turns()
    assert counts.take() == {"decode": 10, "event_body": 10, "event_line": 20, "head": 30}
    assert floor.writes() == [10] * (1 + 2 * FOLLOWERS)


async def test_lines_of_several_interests_of_a_connection_leave_in_one_write(floor: Floor, counts: Counts) -> None:
    both = floor.followers[0]
    both.say({"op": "subscribe", "patterns": ["k*"]}, {"op": "subscribe", "patterns": ["k?"]})
    await turns()
    floor.writes()
    counts.take()
    floor.writer.say(*({"op": "set", "key": f"k{number}", "value": number} for number in range(10)))
    await turns()
    assert counts.take() == {
        "decode": 10,
        "event_body": 10,
        "event_line": 30,
        "head": 4,  # one for each interest of one follower, one for the three of `both`, one for the replies
    }
    assert floor.writes() == [1] * (1 + 2 * FOLLOWERS)


async def test_an_event_without_subscribers_is_not_written(floor: Floor, counts: Counts) -> None:
    floor.writer.say({"op": "hello"}, {"op": "set", "key": "x", "value": 1, "ns": "elsewhere"})
    await turns()
    assert counts.take() == {"decode": 2, "event_body": 0, "event_line": 0, "head": 1}
    assert floor.writes() == [1] + [0] * (2 * FOLLOWERS)


async def test_no_message_pauses_its_socket_and_no_connection_has_a_task(floor: Floor) -> None:
    for number in range(100):
        floor.writer.say({"op": "set", "key": f"k{number}", "value": number})
    assert floor.writer.wire.transport.pauses == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}
