"""The costs of the asyncio client, in counts that do not depend on the machine: messages, writes, tasks, loop
iterations.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import waggle
from tests.unit.client.api.test_hub import WRITTEN, meeting
from tests.unit.client.fakehub import FakeHub
from waggle.transport.connection import Connection
from waggle.transport.driver import SessionDriver
from waggle.transport.reconnect import EARLY_SEND_LINES

MANY = 50
PIECES = [EARLY_SEND_LINES, EARLY_SEND_LINES, EARLY_SEND_LINES, MANY - 3 * EARLY_SEND_LINES]
"""What so many commands of one turn leave in."""


class Writes:
    """The messages that were written to sockets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.messages: list[bytes] = []
        write = Connection.write

        def noted(connection: Connection, message: bytes) -> None:
            self.messages.append(message)
            write(connection, message)

        monkeypatch.setattr(Connection, "write", noted)

    def take(self) -> list[int]:
        """Return the number of lines of each message since the last call."""
        taken, self.messages = self.messages, []
        return [1 + message.count(b"\n") for message in taken]


async def asked(hub: waggle.Hub, end: Any, count: int) -> tuple[list[asyncio.Task[Any]], list[dict[str, Any]]]:
    """Return the `set` commands of one loop iteration, as they reached the hub."""
    calls = [asyncio.create_task(hub.set(f"k{number}", number)) for number in range(count)]
    return calls, [await end.next("set") for _ in calls]


async def test_commands_of_one_turn_are_one_message_and_one_write_for_each_sixteen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    writes = Writes(monkeypatch)
    async with FakeHub() as fake, meeting(fake) as (hub, end):
        writes.take()
        calls, commands = await asked(hub, end, MANY)
        assert writes.take() == PIECES
        await end.say(*({"id": command["id"], "ok": WRITTEN} for command in commands))
        await asyncio.gather(*calls)
        assert writes.take() == []


async def test_replies_of_one_message_need_no_task(monkeypatch: pytest.MonkeyPatch) -> None:
    async with FakeHub() as fake, meeting(fake) as (hub, end):
        calls, commands = await asked(hub, end, MANY)
        born: list[Any] = []
        loop = asyncio.get_running_loop()

        def factory(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
            born.append(work)
            return asyncio.Task(work, loop=loop, **options)

        loop.set_task_factory(factory)
        await end.say(*({"id": command["id"], "ok": WRITTEN} for command in commands))
        for call in calls:
            await call
        loop.set_task_factory(None)
        assert born == []


async def test_callers_answered_by_one_message_ask_again_in_as_few(monkeypatch: pytest.MonkeyPatch) -> None:
    writes = Writes(monkeypatch)

    async def twice(hub: waggle.Hub, number: int) -> None:
        await hub.set(f"a{number}", number)
        await hub.set(f"b{number}", number)

    async with FakeHub() as fake, meeting(fake) as (hub, end):
        writes.take()
        calls = [asyncio.create_task(twice(hub, number)) for number in range(MANY)]
        for _ in range(2):
            commands = [await end.next("set") for _ in calls]
            assert writes.take() == PIECES
            await end.say(*({"id": command["id"], "ok": WRITTEN} for command in commands))
        await asyncio.gather(*calls)


async def test_a_connection_that_stands_has_two_tasks_which_sleep() -> None:
    async with FakeHub() as fake, meeting(fake):
        frames = [task.get_coro().cr_frame for task in asyncio.all_tasks()]  # type: ignore[union-attr]
        ours = [
            frame.f_code.co_name
            for frame in frames
            if isinstance(frame.f_locals.get("self"), SessionDriver | Connection)
        ]
        assert sorted(ours) == ["_run", "keepalive"]


async def test_a_full_socket_is_given_no_more_and_what_waits_leaves_together(monkeypatch: pytest.MonkeyPatch) -> None:
    writes = Writes(monkeypatch)
    async with FakeHub() as fake, meeting(fake) as (hub, end):
        connection = hub._driver._connection._connection
        assert connection is not None
        writes.take()
        connection.pause_writing()
        calls = []
        for number in range(3):
            calls.append(asyncio.create_task(hub.set(f"k{number}", number)))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert writes.take() == []
        connection.resume_writing()
        assert writes.take() == [3]
        for _ in calls:
            await end.reply(await end.next("set"), **WRITTEN)
        await asyncio.gather(*calls)
