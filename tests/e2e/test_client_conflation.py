"""Conflated watchers and mirrors against a real hub: fewer deliveries, the same end, and no state that never was."""

from __future__ import annotations

import asyncio

import pytest

import waggle
from tests.e2e.hubs import HubProcess
from tests.e2e.relay import Relay
from waggle.api.txn import Step
from waggle.sync import connect
from waggle.transport import driver
from waggle.wire.errors import BadRequest

pytestmark = pytest.mark.e2e

PATIENCE = 20.0
"""Seconds for anything, on a busy machine."""


def move(turn: int) -> list[Step]:
    """Move something from one account to another: their sum stays."""
    return [
        {"op": "update", "key": f"account:{'abc'[turn % 3]}", "incr": -turn},
        {"op": "update", "key": f"account:{'bca'[turn % 3]}", "incr": turn},
    ]


async def test_a_conflated_watcher_is_given_the_latest_of_each_key_and_every_message(hub: HubProcess, ns: str) -> None:
    async with waggle.connect(hub.url, ns=ns) as agent, agent.watch("*", conflate=0.3) as events:
        for number in range(50):
            await agent.set(f"k{number % 2}", number)
        for number in range(5):
            await agent.publish("news", number)
        await agent.set("end", True)
        seen = []
        async with asyncio.timeout(PATIENCE):
            async for event in events:
                seen.append(event)
                if event.key == "end":
                    break
        assert [event.data for event in seen if event.type == "message"] == list(range(5))
        assert [event.value for event in seen if event.key == "k1"][-1] == 49
        assert len(seen) < 50
        assert [event.rev for event in seen] == sorted(event.rev for event in seen)


async def test_a_conflated_mirror_gets_there_and_its_revision_says_when(hub: HubProcess, ns: str) -> None:
    async with waggle.connect(hub.url, ns=ns) as agent, agent.mirror(conflate=0.2) as mirror:
        for number in range(200):
            written = await agent.set("k", number)
        await mirror.until(lambda view: view.rev >= written.rev, timeout=PATIENCE)
        assert mirror["k"].value == 199
        assert mirror.changes < 100


async def test_a_conflated_mirror_shows_no_part_of_a_change_also_while_it_is_cut_off(
    hub: HubProcess, ns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "random", lambda: 0.01)
    async with (
        Relay(hub.port) as relay,
        waggle.connect(hub.url, ns=ns) as writer,
        waggle.connect(relay.url, ns=ns) as reader,
    ):
        for name in "abc":
            await writer.set(f"account:{name}", 100)
        async with reader.mirror("account:*", conflate=0.02) as accounts:
            sums = {sum(entry.value for entry in accounts.values())}
            for turn in range(400):
                done = await writer.txn(move(turn))
                sums.add(sum(entry.value for entry in accounts.values()))
                if turn % 50 == 49:
                    relay.cut()
            await accounts.until(lambda view: view.rev >= done.rev, timeout=PATIENCE)
            assert list(accounts.values()) == await writer.list("account:*")
            assert sums == {300}
        assert relay.cuts == 8


def test_the_blocking_client_conflates_too(hub: HubProcess, ns: str) -> None:
    with connect(hub.url, ns=ns) as agent:
        with agent.watch("k", conflate=0.1) as events, agent.mirror("k", conflate=0.1) as mirror:
            for number in range(20):
                written = agent.set("k", number)
            mirror.until(lambda view: view.rev >= written.rev, timeout=PATIENCE)
            while next(events).value != 19:
                pass
        with pytest.raises(BadRequest, match="conflate"), agent.watch("k", conflate=0):
            pass
