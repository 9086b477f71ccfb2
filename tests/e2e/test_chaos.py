"""Agents that are cut off in the middle of frames, again and again, under load, miss no event and see none twice.

The truth is what an agent hears that is connected without the proxy. Chance is seeded, and the seed printed; what the
seed cannot fix is the operating system's scheduling.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable

import pytest
from websockets.exceptions import WebSocketException

import waggle
from tests.e2e.chaosproxy import ChaosProxy
from tests.e2e.hubs import HubProcess
from tests.e2e.wire import Closed, Join, Json, Wire

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120), pytest.mark.every_server, pytest.mark.own_server]

CUTS = 100
"""Connections that are cut; the writers write until then."""
PAUSE = 0.03
"""Seconds between two cuts, on average."""
TYPES = ["set", "delete", "expire", "touch", "message"]
END = "end"

Told = tuple[int, str, str, object]
"""Revision, type, key and value of an event."""


def told_on_wire(lines: Iterable[Json]) -> list[Told]:
    """What an agent on the raw wire was told."""
    return [
        (line["rev"], line["type"], line["key"], line.get("value", line.get("data")))
        for line in lines
        if line["type"] in TYPES and not line.get("snapshot")
    ]


def compare(truth: list[Told], heard: list[Told], who: str) -> None:
    """Nothing missing, nothing twice, all in order; if not, say what."""
    if heard == truth:
        return
    missing = sorted(set(map(repr, truth)) - set(map(repr, heard)))
    extra = sorted(set(map(repr, heard)) - set(map(repr, truth)))
    raise AssertionError(
        f"{who}: heard {len(heard)} of {len(truth)}; missing {missing[:5]}, never happened {extra[:5]}, "
        f"{len(heard) - len(set(map(repr, heard)))} twice"
    )


async def write(hub: HubProcess, seed: int, over: asyncio.Event) -> None:
    """Set, delete, touch, publish and let expire, without the proxy, until it is over."""
    chance = random.Random(seed)
    wire = await Wire.connect(hub.ws)
    wire.remember = False
    await wire.hello(ns="chaos")
    number = 0
    while not over.is_set():
        commands: list[Json] = []
        for _ in range(chance.randint(1, 8)):
            number += 1
            key = f"k{chance.randrange(40)}"
            value = [seed, number, "x" * chance.choice([0, 10, 100, 5000])]
            match chance.randrange(8):
                case 0:
                    commands.append({"op": "delete", "key": key})
                case 1:
                    commands.append({"op": "publish", "channel": key, "data": value})
                case 2 | 3:
                    commands.append({"op": "set", "key": key, "value": value, "ttl": chance.uniform(0.001, 0.3)})
                case 4:
                    commands.append({"op": "clear", "pattern": f"{key}*", "confirm": True})
                case 5:
                    commands.append({"op": "touch", "key": key, "ttl": chance.uniform(0.001, 1)})
                case _:
                    commands.append({"op": "set", "key": key, "value": value})
        for id in await wire.send(*commands):
            await wire.reply(id)
        await asyncio.sleep(chance.uniform(0, 0.05))
    await wire.close()


async def cut(proxy: ChaosProxy, seed: int) -> None:
    """Cut CUTS connections, at random moments, as soon as there are some to cut."""
    chance = random.Random(seed)
    while proxy.cuts < CUTS:
        await asyncio.sleep(chance.expovariate(1 / PAUSE))
        await proxy.cut_one()


async def test_fifty_clients_that_are_cut_off_a_hundred_times(hub: HubProcess, join: Join) -> None:
    seed = 7411
    truth_wire = await join(ns="chaos")
    await truth_wire.subscribe("*", types=TYPES)
    async with ChaosProxy(hub.port, seed) as proxy:
        heard: list[list[Told]] = []
        ready: list[asyncio.Event] = []
        over = asyncio.Event()

        async def watch(client: waggle.Hub) -> None:
            mine: list[Told] = []
            heard.append(mine)
            ready.append(asyncio.Event())
            began = ready[-1]
            async with client.watch(ns="chaos", types=TYPES) as events:  # type: ignore[arg-type]
                began.set()
                async for event in events:
                    value = event.value if event.type == "set" else event.data if event.type == "message" else None
                    mine.append((event.rev, event.type, event.key, value))
                    if event.key == END:
                        return

        async def count(client: waggle.Hub, key: str) -> int:
            """Write through the proxy: each write has its effect once, or its version would tell."""
            number = 0
            while not over.is_set():
                number += 1
                written = await client.set(key, number, ns="counters")
                assert written.version == number, f"{key}: write {number} has version {written.version}"
                await asyncio.sleep(0.1)
            return number

        clients = [
            await waggle.connect(f"http://127.0.0.1:{proxy.port}", agent=f"chaos-{n}", timeout=40.0) for n in range(50)
        ]
        watching = [asyncio.create_task(watch(client)) for client in clients]
        async with asyncio.timeout(30):
            while len(ready) < 50:
                await asyncio.sleep(0.01)
            for began in ready:
                await began.wait()
        mirrors = [client.mirror("*", ns="chaos") for client in clients[:5]]
        for mirror in mirrors:
            await mirror.__aenter__()

        load = [asyncio.create_task(write(hub, seed + n, over)) for n in range(3)]
        counting = [asyncio.create_task(count(client, f"c{n}")) for n, client in enumerate(clients[:20])]
        await cut(proxy, seed)
        over.set()
        await asyncio.gather(*load)
        counts = await asyncio.wait_for(asyncio.gather(*counting), 45)
        writer = await join(ns="chaos")
        await writer.ask("clear", pattern="k*", confirm=True)
        last = (await writer.ask("set", key=END, value=END))["rev"]
        await asyncio.wait_for(asyncio.gather(*watching), 45)

        while not truth_wire.heard or truth_wire.heard[-1].get("key") != END:
            await truth_wire.event()
        truth = told_on_wire(line for line in truth_wire.heard if "id" not in line)
        assert truth[-1][0] == last
        for n, mine in enumerate(heard):
            compare(truth, mine, f"client {n} (seed {seed})")
        for mirror in mirrors:
            await mirror.until(lambda view: view.keys() == {END}, timeout=30)
            await mirror.close()
        for n, number in enumerate(counts):
            entry = (await writer.ask("get", ns="counters", key=f"c{n}"))["entry"]
            assert (entry["version"], entry["value"]) == (number, number)
        for client in clients:
            await client.close()
        print(
            f"\nseed {seed}: {len(truth)} events, 50 clients, {proxy.cuts} cuts, {sum(counts)} writes through the proxy"
        )
        assert proxy.cuts == CUTS


class ReconnectingAgent:
    """An agent on the raw wire that comes back: by taking its session over, or, every third time, by `since`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._wire: Wire | None = None
        self._group: list[Json] = []
        """The lines so far of a revision of which more is to come."""
        self.heard: list[Json] = []
        self.begun = asyncio.Event()
        self.losses = 0

    async def live(self) -> None:
        """Hear everything up to the end, whatever happens to the connection."""
        while not self.heard or self.heard[-1]["key"] != END:
            try:
                wire = await Wire.connect(self._url)
            except (OSError, EOFError, WebSocketException):
                await asyncio.sleep(0.05)
                continue
            try:
                await self._begin(wire)
                await self._hear(wire)
            except Closed:
                self.losses += 1
            finally:
                self._group.clear()  # it comes again
                wire.cut()

    async def _begin(self, wire: Wire) -> None:
        older = self._wire
        if older is None:
            await wire.hello(ns="chaos")
            await wire.subscribe("*", types=TYPES)
        elif self.losses % 3:
            await wire.take_over(older)
        else:
            (chain,) = older.chains.values()
            await wire.hello(ns="chaos")
            await wire.subscribe("*", types=TYPES, since={"epoch": wire.welcome["epoch"], "rev": chain.cursor})
        self._wire = wire
        self.begun.set()

    async def _hear(self, wire: Wire) -> None:
        while True:
            line = await wire.event(*TYPES, within=60)
            self._group.append(line)
            if not line.get("more"):
                self.heard += self._group
                self._group.clear()
                if line["key"] == END:
                    return


async def test_the_wire_itself_holds_where_connections_do_not(hub: HubProcess, join: Join) -> None:
    """Every line is checked as it comes; so the hub is right, not only a client that mends."""
    seed = 90125
    truth_wire = await join(ns="chaos")
    await truth_wire.subscribe("*", types=TYPES)
    async with ChaosProxy(hub.port, seed) as proxy:
        agents = [ReconnectingAgent(f"ws://127.0.0.1:{proxy.port}/ws") for _ in range(20)]
        living = [asyncio.create_task(agent.live()) for agent in agents]
        for agent in agents:
            await asyncio.wait_for(agent.begun.wait(), 30)
        over = asyncio.Event()
        load = [asyncio.create_task(write(hub, seed + n, over)) for n in range(3)]
        await cut(proxy, seed)
        over.set()
        await asyncio.gather(*load)
        writer = await join(ns="chaos")
        await writer.ask("clear", pattern="k*", confirm=True)
        await writer.ask("set", key=END, value=END)
        await asyncio.wait_for(asyncio.gather(*living), 45)
        await truth_wire.settle()
        truth = told_on_wire(line for line in truth_wire.heard if "id" not in line)
        for n, agent in enumerate(agents):
            compare(truth, told_on_wire(agent.heard), f"agent {n} (seed {seed})")
        losses = sum(agent.losses for agent in agents)
        print(f"\nseed {seed}: {len(truth)} events, 20 agents, {proxy.cuts} cuts, {losses} of them noticed")
        assert losses >= CUTS / 2
