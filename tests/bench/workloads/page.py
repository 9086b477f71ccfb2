"""The dashboard in a real browser, before a hub with many keys, many agents and much happening.

What is measured is the browser's own counters: tasks that kept the page from answering for longer than 50 ms (its
`longtask`), frames drawn, elements in the document, memory of its heap. The hub, its agents and the browser share the
machine, so the page gets what is left: how much of its longest task the page itself took is told by the processor time
of the tasks in its thread, which a trace of the browser gives.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from playwright.async_api import CDPSession, Page, async_playwright

from tests.bench.measurement import Measurement
from tests.bench.processes import Server
from tests.bench.results import Column, Result, Table
from tests.bench.systems.fastclient import FastClient
from tests.bench.systems.waggle import WAGGLE, set_command, url
from tests.e2e.dashboard.browsing import CHROMIUM_ARGUMENTS, chromium

from .million import key_of, value_of

AGENTS = 200
RATE = 1_000
"""Events a second."""
TICK = 0.02
"""Seconds between two handfuls of commands."""
SHORT = 0.050
"""Seconds up to which a task is none to the browser."""
BATCH, UNDER_WAY = 500, 3
"""Keys in a message while they are loaded, and such messages under way."""
THREAD = "CrRendererMain"
"""The browser's name for the thread of a page."""

# Watches from before the page's first line; `take` gives what was seen since the last call.
WATCH = """
(() => {
  const seen = { tasks: [], frames: 0, since: performance.now() };
  new PerformanceObserver((list) => {
    for (const task of list.getEntries()) seen.tasks.push(task.duration);
  }).observe({ type: "longtask", buffered: true });
  const frame = () => { seen.frames += 1; requestAnimationFrame(frame); };
  requestAnimationFrame(frame);
  window.take = () => {
    const seconds = (performance.now() - seen.since) / 1000;
    const taken = { tasks: seen.tasks, frames: seen.frames / seconds, seconds,
      nodes: document.getElementsByTagName("*").length, heap: performance.memory?.usedJSHeapSize ?? 0 };
    Object.assign(seen, { tasks: [], frames: 0, since: performance.now() });
    return taken;
  };
})()
"""


@dataclass
class Phase:
    """Figures of the browser for a stretch of time."""

    what: str
    tasks: list[float]
    busiest: float
    """Seconds of the processor that the task took that took most of it; 0 where it was not traced."""
    frames: float
    nodes: int
    heap: int

    def row(self) -> list[list[float]]:
        """A row of the table; what was not traced is left out."""
        busiest = [self.busiest] if self.busiest else []
        return [[max(self.tasks, default=SHORT)], busiest, [len(self.tasks)], [self.frames], [self.nodes], [self.heap]]


async def run(measurement: Measurement) -> Result:
    place = chromium()
    if place is None:
        return Result(missing=["the dashboard: no Chromium here (apt-get install chromium)"])
    keys, seconds = measurement.scale(100_000, 20_000), measurement.scale(6, 2)
    with measurement.start(WAGGLE) as server:
        await _load(server, keys)
        phases, events = await _measure(server, keys, seconds, place)
    columns = [
        Column("longest task", "s", "less"), Column("most processor time", "s", "less"),
        Column("tasks over 50 ms", "count", "less"), Column("frames", "/s", "more"),
        Column("elements", "count", "less"), Column("heap", "B", "less"),
    ]  # fmt: skip
    title = f"The dashboard at {keys:,} keys, {AGENTS} agents and {events:,.0f} events a second"
    table = Table("page", title, columns, {phase.what: phase.row() for phase in phases}, plot=False)
    table.notes.append(
        "The browser does not report tasks of up to 50 ms; they count as 50 ms. The longest task includes time in "
        "which other processes had the processor; processor time is the dashboard's own. Headless Chromium without a "
        "GPU, 1440 x 900. All keys are in one folder of the tree, which is the worst case. 8 in 10 events write an "
        f"existing key; the others are about keys that are set with a ttl of 2 s and expire. {seconds} s each."
    )
    return Result([table])


async def _measure(server: Server, keys: int, seconds: float, place: str) -> tuple[list[Phase], float]:
    phases: list[Phase] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=place, args=[*CHROMIUM_ARGUMENTS, "--enable-precise-memory-info"]
        )
        page = await browser.new_page(viewport={"width": 1440, "height": 900})
        await page.add_init_script(WATCH)

        trace = Trace(await browser.new_browser_cdp_session())

        async def phase(what: str, act: Callable[[], Awaitable[object]]) -> None:
            await trace.begin()
            await page.evaluate("() => take()")
            await act()
            seen = await page.evaluate("() => take()")
            phases.append(_phase(what, seen, await trace.end()))

        await page.goto(url(server))
        await page.wait_for_function(f"() => document.querySelector('#tab-keys').textContent === '{keys:,}'")
        phases.append(_phase("reading the keys", await page.evaluate("() => take()")))
        async with _busy(server, keys) as count:
            begun, first = time.monotonic(), count()
            await phase("as it is opened", lambda: asyncio.sleep(seconds))
            await phase("the folder of all keys opened", lambda: _open_folder(page, seconds))
            await phase("scrolled through", lambda: _scroll(page, "#tree", seconds))
            await phase("as a list, scrolled", lambda: _list(page, seconds))
            await phase("next to expire", lambda: _next_to_expire(page, seconds))
            await phase("a filter typed, and taken back", lambda: _filter(page, seconds))
            events = (count() - first) / (time.monotonic() - begun)
        await browser.close()
    return phases, events


class Trace:
    """The tasks of the page, as the browser traces them."""

    def __init__(self, devtools: CDPSession) -> None:
        self._devtools = devtools
        self._events: list[dict[str, Any]] = []
        self._complete = asyncio.Event()
        devtools.on("Tracing.dataCollected", lambda message: self._events.extend(message["value"]))
        devtools.on("Tracing.tracingComplete", lambda _: self._complete.set())

    async def begin(self) -> None:
        self._events.clear()
        self._complete.clear()
        await self._devtools.send("Tracing.start", {"traceConfig": {"includedCategories": ["toplevel"]}})

    async def end(self) -> float:
        """Seconds of the processor that the busiest task took."""
        await self._devtools.send("Tracing.end")
        await self._complete.wait()
        named = {(it["pid"], it["tid"]) for it in self._events if it.get("args", {}).get("name") == THREAD}
        tasks = (it for it in self._events if it["ph"] == "X" and (it["pid"], it["tid"]) in named)
        return max((float(it.get("tdur", 0)) for it in tasks), default=0.0) / 1e6


def _phase(what: str, seen: dict[str, Any], busiest: float = 0.0) -> Phase:
    tasks = [duration / 1000 for duration in seen["tasks"]]
    return Phase(what, tasks, busiest, seen["frames"], seen["nodes"], seen["heap"])


async def _open_folder(page: Page, seconds: float) -> None:
    await page.locator("#tree [data-folder]").first.click()
    await asyncio.sleep(seconds)


async def _scroll(page: Page, where: str, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        await page.evaluate(f"() => {{ document.querySelector('{where}').scrollTop += 4000 }}")
        await asyncio.sleep(0.05)


async def _list(page: Page, seconds: float) -> None:
    await page.locator('[data-keys-as="key"]').click()
    await _scroll(page, "#list", seconds)


async def _next_to_expire(page: Page, seconds: float) -> None:
    await page.locator('[data-keys-as="deadline"]').click()
    await asyncio.sleep(seconds)


async def _filter(page: Page, seconds: float) -> None:
    await page.locator("#filter-keys").press_sequentially("*5", delay=150)
    await asyncio.sleep(seconds / 2)
    await page.locator("#filter-keys").fill("")
    await asyncio.sleep(seconds / 2)


# --- the hub's agents ---------------------------------------------------------------------------------------------


async def _load(server: Server, keys: int) -> None:
    """All keys, in their order: it is the page that is measured here."""
    client = await FastClient.open(server.host, server.port)
    chance = random.Random(1)
    batches = iter(range(0, keys, BATCH))

    async def work() -> None:
        for begin in batches:
            replies = [
                client.ask(set_command(key_of(number), value_of(number), chance.uniform(3600, 36_000)))
                for number in range(begin, min(keys, begin + BATCH))
            ]
            await replies[-1]

    await asyncio.gather(*(work() for _ in range(UNDER_WAY)))
    client.close()


@asynccontextmanager
async def _busy(server: Server, keys: int) -> AsyncIterator[Callable[[], int]]:
    """Many agents that write; gives how many events that has made so far."""
    agents = [await FastClient.open(server.host, server.port, f"worker-{n:03}") for n in range(AGENTS)]
    made = 0

    async def work() -> None:
        nonlocal made
        chance = random.Random(2)
        begun = time.monotonic()
        while True:
            behind = int((time.monotonic() - begun) * RATE) - made
            while behind > 0:
                number = chance.randrange(keys)
                agent = chance.choice(agents)
                if chance.random() < 8 / 9:
                    agent.ask(set_command(key_of(number), value_of(number), chance.uniform(3600, 36_000)))
                    done = 1
                else:
                    agent.ask(set_command(f"brief:{number}:{made}", b'"x"', 2.0))
                    done = 2  # it is set, and it expires
                made += done
                behind -= done
            await asyncio.sleep(TICK)

    task = asyncio.create_task(work())
    try:
        yield lambda: made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        for agent in agents:
            await agent.ask(b'"op":"ping"')  # after the replies to all before it
            agent.close()
