"""The live page in a real browser, before a real hub.

The page reaches the hub through a doorway of the test: a port that hands bytes on to a hub, that can be cut, and
behind which the hub can be exchanged for another.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, ConsoleMessage, Locator, Page, Request, async_playwright, expect

from tests.e2e.hubs import HubProcess, StartHub
from tests.e2e.wire import Join

pytestmark = pytest.mark.e2e

SECONDS = 1000.0
"""Playwright counts milliseconds."""
PATIENCE = 15 * SECONDS
expect.set_options(timeout=PATIENCE)
ARGUMENTS = ["--no-sandbox", "--disable-quic", "--disable-background-networking", "--disable-gpu"]


class Doorway:
    """A port of loopback before a hub."""

    def __init__(self, hub: HubProcess) -> None:
        self.hub = hub
        self.url = ""
        self._server: asyncio.Server | None = None
        self._ways: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, port: int = 0) -> None:
        self._server = await asyncio.start_server(self._enter, "127.0.0.1", port)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def shut(self) -> None:
        """Cut every connection, and refuse new ones."""
        assert self._server is not None
        self._server.close()
        self.cut()
        await self._server.wait_closed()
        await asyncio.gather(*self._tasks)

    async def open_again(self) -> None:
        """Let in again, at the same port."""
        await self.open(int(self.url.rpartition(":")[2]))

    def cut(self) -> None:
        """Break every connection, as a network does."""
        for way in self._ways:
            way.transport.abort()

    async def _enter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self.hub.port)
        except OSError:
            writer.transport.abort()
            return
        self._ways |= {writer, inner_writer}
        for source, sink in ((reader, inner_writer), (inner_reader, writer)):
            task = asyncio.create_task(self._carry(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
        except OSError:
            pass
        finally:
            self._ways.discard(sink)
            sink.close()


@pytest.fixture
async def doorway(hub: HubProcess) -> AsyncIterator[Doorway]:
    """A doorway before the hub that the tests share."""
    doorway = Doorway(hub)
    await doorway.open()
    yield doorway
    await doorway.shut()


def chromium() -> str:
    """Where the browser is; a failure that says what to do if there is none: a page untested is a page broken."""
    chosen = os.environ.get("WAGGLE_CHROMIUM")
    places = [chosen] if chosen else ["/usr/bin/chromium", "chromium", "chromium-browser", "google-chrome"]
    for place in places:
        if found := shutil.which(place):
            return found
    pytest.fail(f"no Chromium ({', '.join(places)}): apt-get install chromium, or set WAGGLE_CHROMIUM", pytrace=False)


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest.fixture
async def page(browser: Browser, doorway: Doorway) -> AsyncIterator[Page]:
    """The page, connected. It must not complain on the way, nor ask for anything from anywhere else."""
    complaints: list[str] = []
    page = await browser.new_page(viewport={"width": 1440, "height": 900})

    def said(message: ConsoleMessage) -> None:
        # A browser logs a connection that could not be made; the page cannot keep it from that.
        if message.type in ("error", "warning") and "WebSocket connection to" not in message.text:
            complaints.append(message.text)

    def asked(request: Request) -> None:
        if not request.url.startswith(doorway.url):
            complaints.append(f"asked {request.url}")

    page.on("console", said)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", asked)
    await page.goto(doorway.url)
    await expect(page.get_by_test_id("conn-state")).to_have_text("connected")
    yield page
    await page.close()
    assert complaints == []


def key_row(page: Page, key: str) -> Locator:
    return page.get_by_test_id("keys").locator(f'[data-key="{key}"]')


def events(page: Page, type: str, key: str) -> Locator:
    return page.get_by_test_id("events").locator(f'[data-type="{type}"][data-key="{key}"]')


async def never_reloaded(page: Page) -> None:
    """Marks the page; `still_the_same` says whether it is still that one."""
    await page.evaluate("() => { window.mark = 1 }")


async def still_the_same(page: Page) -> None:
    assert await page.evaluate("() => window.mark") == 1, "the page was loaded anew"


# --- what it shows ------------------------------------------------------------------------------------------------


async def test_it_says_which_hub_this_is(page: Page, join: Join) -> None:
    agent = await join(agent="teller")
    await expect(page.get_by_test_id("hub-version")).to_have_text(
        f"{agent.welcome['hub']['name']} {agent.welcome['hub']['version']}"
    )
    await expect(page.get_by_test_id("durability")).to_have_text(agent.welcome["durability"])
    await expect(page.get_by_test_id("epoch")).to_have_text(agent.welcome["epoch"])


async def test_a_key_appears_when_it_is_set_and_goes_when_it_is_deleted(page: Page, join: Join, ns: str) -> None:
    await never_reloaded(page)
    agent = await join(agent="writer")
    first = await agent.ask("set", key="task:1", value={"n": 1})
    row = key_row(page, "task:1")
    await expect(row).to_have_attribute("data-rev", str(first["rev"]))
    await expect(row).to_contain_text('{"n": 1}')
    await expect(row).to_contain_text("writer")
    await expect(row).to_contain_text(ns)
    second = await agent.ask("set", key="task:1", value={"n": 2})
    await expect(row).to_have_attribute("data-rev", str(second["rev"]))
    await expect(row).to_contain_text('{"n": 2}')
    await expect(events(page, "set", "task:1")).to_have_count(2)
    await agent.ask("delete", key="task:1")
    await expect(row).to_have_count(0)
    await expect(events(page, "delete", "task:1")).to_have_count(1)
    await still_the_same(page)


async def test_what_was_there_before_is_there(browser: Browser, doorway: Doorway, join: Join) -> None:
    agent = await join(agent="early")
    await agent.ask("set", key="before", value="you came")
    page = await browser.new_page()
    await page.goto(doorway.url)
    await expect(key_row(page, "before")).to_contain_text("you came")
    await expect(page.get_by_test_id("agents").locator('[data-agent="early"]')).to_have_count(1)
    await expect(events(page, "set", "before")).to_have_count(0)


async def test_an_entry_counts_down_and_goes_with_its_expire_event(page: Page, join: Join) -> None:
    agent = await join(agent="clock")
    await agent.ask("set", key="short", value=1, ttl=3)
    row = key_row(page, "short")
    await expect(row).to_be_visible()
    left: list[float] = []
    while text := "".join(await row.locator(".left").all_text_contents()):
        if text != "due":
            left.append(float(text.removesuffix(" s")))
        await asyncio.sleep(0.1)
    assert left == sorted(left, reverse=True)
    assert left[0] > 1.5
    assert 0 < left[-1] < 0.8, "it counts down to its end"
    await expect(events(page, "expire", "short")).to_have_count(1)
    await expect(events(page, "expire", "short")).to_contain_text("$hub")


async def test_a_touch_moves_the_deadline(page: Page, join: Join) -> None:
    agent = await join(agent="toucher")
    await agent.ask("set", key="touched", value=1, ttl=7200)
    await expect(key_row(page, "touched")).to_contain_text(" h ")
    await agent.ask("touch", key="touched", ttl=300)
    await expect(key_row(page, "touched")).to_contain_text(" min ")
    await agent.ask("touch", key="touched", ttl=None)
    await expect(key_row(page, "touched")).to_contain_text("no deadline")


async def test_an_agent_comes_and_goes(page: Page, join: Join) -> None:
    row = page.get_by_test_id("agents").locator('[data-agent="guest"]')
    agent = await join(agent="guest", meta={"role": "tester"})
    await expect(row).to_have_attribute("data-connected", "true")
    await expect(row).to_contain_text("tester")
    await agent.ask("status", status="reading the spec")
    await expect(row).to_contain_text("reading the spec")
    agent.cut()
    await expect(row).to_have_attribute("data-connected", "false")
    back = await join(agent="guest", hello=False)
    await back.take_over(agent)
    await expect(row).to_have_attribute("data-connected", "true")
    await back.ask("bye")
    await expect(row).to_have_count(0)
    await expect(events(page, "agent", "guest").first).to_contain_text("left")


async def test_dashboards_are_shown_on_demand(page: Page) -> None:
    row = page.get_by_test_id("agents").locator('[data-role="dashboard"]', has_text="this page")
    await expect(row).to_have_count(0)
    await page.get_by_label("dashboard").check()
    await expect(row).to_have_count(1)


async def test_a_page_that_is_left_ends_its_session(browser: Browser, start_hub: StartHub, join: Join) -> None:
    hub = start_hub()
    agent = await join(at=hub, agent="watcher")
    await agent.subscribe("dashboard-*", ns="$agents")
    page = await browser.new_page()
    await page.goto(hub.url)
    came = await agent.event("set")
    await page.goto("about:blank")
    gone = await agent.event("delete", within=10)  # its grace would be 15 s
    assert gone["key"] == came["key"]
    await page.close()


# --- filters, one entry -------------------------------------------------------------------------------------------


async def test_filters_for_keys_and_events(page: Page, join: Join, ns: str) -> None:
    agent = await join(agent="filterer")
    await agent.send(*({"op": "set", "key": key, "value": 1} for key in ("fruit:apple", "fruit:pear", "nut")))
    rows = page.get_by_test_id("keys").locator("[data-key]")
    await page.get_by_test_id("namespace").select_option(ns)
    await expect(rows).to_have_count(3)
    await page.get_by_test_id("filter-keys").fill("fruit:*")
    await expect(rows).to_have_count(2)
    await page.get_by_test_id("filter-keys").fill("fruit:[")
    await expect(page.get_by_test_id("filter-keys")).to_have_attribute("aria-invalid", "true")
    await expect(rows).to_have_count(2)
    await page.get_by_test_id("filter-keys").fill("pear")
    await expect(rows).to_have_count(1)

    happened = page.get_by_test_id("events").locator("[data-key]")
    await page.get_by_test_id("filter-events").fill("fruit:*")
    await expect(happened).to_have_count(2)
    await agent.ask("delete", key="fruit:pear")
    await expect(happened).to_have_count(3)
    await page.locator("#types").get_by_role("button", name="set").click()
    await expect(happened).to_have_count(1)


async def test_pause_holds_the_events(page: Page, join: Join) -> None:
    agent = await join(agent="pauser")
    await agent.ask("set", key="before-pause", value=1)
    await expect(events(page, "set", "before-pause")).to_have_count(1)
    await page.get_by_test_id("pause").click()
    await agent.ask("set", key="after-pause", value=1)
    await expect(key_row(page, "after-pause")).to_be_visible()
    await expect(page.locator("#newer")).to_contain_text("newer event")
    await expect(events(page, "set", "after-pause")).to_have_count(0)
    await page.get_by_test_id("pause").click()
    await expect(events(page, "set", "after-pause")).to_have_count(1)


async def test_one_entry_in_full(page: Page, join: Join) -> None:
    agent = await join(agent="author")
    long = {"text": "x" * 5000, "list": [1, {"deep": True}]}
    await agent.ask("set", key="long", value=long)
    await key_row(page, "long").get_by_role("button").click()
    value = page.get_by_test_id("entry-value")
    await expect(value).to_contain_text("x" * 5000)
    await expect(value).to_contain_text('"deep": true')
    await agent.ask("set", key="long", value=2**53 + 1)
    await expect(value).to_have_text("9007199254740993")
    await expect(key_row(page, "long")).to_contain_text("9007199254740993")
    await agent.ask("delete", key="long")
    await expect(page.get_by_test_id("entry")).to_contain_text("Deleted at revision")
    await page.keyboard.press("Escape")
    await expect(page.get_by_test_id("entry")).to_be_hidden()


async def test_names_and_values_are_never_markup(page: Page, join: Join) -> None:
    hostile = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    agent = await join(agent="<b>mallory</b>", meta={"role": "<i>role</i>"})
    await agent.ask("status", status=hostile)
    await agent.ask("set", key=hostile, value=hostile)
    await agent.ask("publish", channel=hostile, data={hostile: hostile})
    row = page.get_by_test_id("keys").get_by_role("row").filter(has_text="onerror")
    await expect(row).to_have_count(1)
    await row.get_by_role("button").click()
    await expect(page.get_by_test_id("entry-value")).to_contain_text("<script>")
    await expect(page.get_by_test_id("agents")).to_contain_text("<b>mallory</b>")
    await expect(page.get_by_test_id("events")).to_contain_text("message")
    for markup in ("main b", "main i", "main script", "main img"):
        await expect(page.locator(markup)).to_have_count(0)


async def test_what_nobody_could_see_in_a_name_is_shown(page: Page, join: Join) -> None:
    agent = await join(agent="trickster")
    await agent.ask("set", key="invoice\u202egpj.exe", value="a\u200bb")
    row = page.get_by_test_id("keys").get_by_role("row").filter(has_text="invoice")
    await expect(row).to_contain_text("invoice\\u202egpj.exe")
    await expect(row).to_contain_text("a\\u200bb")


async def test_the_keyboard_goes_everywhere(page: Page, join: Join, ns: str) -> None:
    agent = await join(agent="typist")
    await agent.send(*({"op": "set", "key": f"kb:{n}", "value": n} for n in range(200)))
    await page.get_by_test_id("namespace").select_option(ns)
    await expect(page.get_by_test_id("keys-count")).to_contain_text("200 of")
    await page.keyboard.press("/")
    await expect(page.get_by_test_id("filter-keys")).to_be_focused()
    await page.keyboard.press("Tab")
    await page.keyboard.press("ArrowDown")
    await expect(key_row(page, "kb:0").get_by_role("button")).to_be_focused()
    await page.keyboard.press("End")
    await expect(key_row(page, "kb:99").get_by_role("button")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("entry-value")).to_have_text("99")


async def test_many_keys_make_few_rows(page: Page, join: Join, ns: str) -> None:
    agent = await join(agent="many")
    for start in range(0, 5000, 500):
        await agent.send(*({"op": "set", "key": f"m:{n:05}", "value": n} for n in range(start, start + 500)))
    await agent.settle()
    await page.get_by_test_id("namespace").select_option(ns)
    await expect(page.get_by_test_id("keys-count")).to_contain_text("5,000 of")
    assert await page.locator("[data-key]").count() < 150
    await page.get_by_test_id("keys").evaluate("list => { list.scrollTop = list.scrollHeight }")
    await expect(key_row(page, "m:04999")).to_be_visible()
    assert await page.locator("[data-key]").count() < 150


# --- losing the hub -----------------------------------------------------------------------------------------------


async def test_a_cut_connection_resumes_with_what_was_missed(browser: Browser, start_hub: StartHub, join: Join) -> None:
    hub = start_hub()
    doorway = Doorway(hub)
    await doorway.open()
    page = await browser.new_page(viewport={"width": 1440, "height": 1800})
    await page.goto(doorway.url)
    await never_reloaded(page)
    state = page.get_by_test_id("conn-state")
    await expect(state).to_have_text("connected")
    agent = await join(at=hub, agent="steady")
    await agent.ask("set", key="cut:before", value=1)
    await expect(key_row(page, "cut:before")).to_be_visible()

    await doorway.shut()
    await expect(state).to_contain_text("reconnecting")
    for n in range(12):
        await agent.ask("set", key=f"cut:{n}", value=n)
    await agent.ask("delete", key="cut:before")
    await doorway.open_again()

    await expect(state).to_have_text("connected · resumed, 13 events caught up")
    await expect(page.get_by_test_id("keys").locator("[data-key]")).to_have_count(12)
    await expect(events(page, "delete", "cut:before")).to_have_count(1)
    await expect(page.get_by_test_id("events").locator('[data-key^="cut:"]')).to_have_count(14)
    resumed = page.get_by_test_id("events").locator('.row[data-type="connection"]')
    await expect(resumed).to_contain_text("resumed, 13 events caught up")
    await agent.ask("set", key="cut:after", value=1)
    await expect(key_row(page, "cut:after")).to_be_visible()
    await still_the_same(page)
    await page.close()
    await doorway.shut()


async def test_a_session_that_ended_meanwhile_is_replaced_and_resumes(browser: Browser, start_hub: StartHub) -> None:
    hub = start_hub(limits={"grace": 0.2})
    doorway = Doorway(hub)
    await doorway.open()
    page = await browser.new_page()
    await page.goto(doorway.url)
    state = page.get_by_test_id("conn-state")
    await expect(state).to_have_text("connected")
    await doorway.shut()
    await asyncio.sleep(1)
    await doorway.open_again()
    await expect(state).to_contain_text("resumed in a new session")
    await page.close()
    await doorway.shut()


async def test_a_restarted_hub_is_found_again_and_said_to_be_another(
    browser: Browser, start_hub: StartHub, join: Join
) -> None:
    first = start_hub()
    doorway = Doorway(first)
    await doorway.open()
    page = await browser.new_page()
    await page.goto(doorway.url)
    state = page.get_by_test_id("conn-state")
    await expect(state).to_have_text("connected")
    await never_reloaded(page)
    old = await join(at=first, agent="old")
    await old.ask("set", key="old", value=1)
    await expect(key_row(page, "old")).to_be_visible()
    epoch = await page.get_by_test_id("epoch").text_content()

    first.process.kill()
    await expect(state).to_contain_text("reconnecting")
    await expect(key_row(page, "old")).to_be_visible()
    doorway.hub = start_hub()
    new = await join(at=doorway.hub, agent="new")
    await new.ask("set", key="new", value=2)

    await expect(state).to_have_text("connected · hub restarted: fresh snapshot")
    await expect(key_row(page, "new")).to_be_visible()
    await expect(key_row(page, "old")).to_have_count(0)
    await expect(page.get_by_test_id("agents").locator('[data-agent="old"]')).to_have_count(0)
    await expect(page.get_by_test_id("epoch")).not_to_have_text(str(epoch))
    await new.ask("set", key="after", value=3)
    await expect(key_row(page, "after")).to_be_visible()
    await still_the_same(page)
    await page.close()
    await doorway.shut()


async def test_an_empty_hub_says_how_to_begin(browser: Browser, start_hub: StartHub, join: Join) -> None:
    hub = start_hub()
    page = await browser.new_page()
    await page.goto(hub.url)
    begin = page.get_by_test_id("begin")
    await expect(begin).to_be_visible(timeout=PATIENCE)
    await expect(begin).to_contain_text("waggle set hello '\"world\"' --ttl 60")
    agent = await join(at=hub, agent="first")
    await agent.ask("set", key="hello", value="world", ns="default")
    await expect(begin).to_be_hidden()
    await expect(key_row(page, "hello")).to_be_visible()
    await page.close()
