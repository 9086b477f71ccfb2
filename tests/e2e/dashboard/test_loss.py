"""The dashboard loses its hub: it shows that, reconnects, and shows what it missed."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import Browser, expect

from tests.e2e.dashboard.browsing import cut_off, events, expect_not_reloaded, key_row, mark_page, restore
from tests.e2e.hubs import StartHub
from tests.e2e.relay import Relay
from tests.e2e.web import Web
from tests.e2e.wire import Join

pytestmark = pytest.mark.e2e


async def test_after_a_cut_the_missed_events_are_shown(browser: Browser, start_hub: StartHub, join: Join) -> None:
    hub = start_hub()
    async with Relay(hub.port) as relay:
        page = await browser.new_page(viewport={"width": 1440, "height": 1800})
        await page.goto(relay.url)
        await mark_page(page)
        state = page.get_by_test_id("conn-state")
        await expect(state).to_have_text("connected")
        agent = await join(at=hub, agent="steady")
        await agent.ask("set", key="cut:before", value=1)
        await expect(key_row(page, "cut:before")).to_be_visible()

        cut_off(relay)
        await expect(state).to_contain_text("reconnecting")
        for n in range(12):
            await agent.ask("set", key=f"cut:{n}", value=n)
        await agent.ask("delete", key="cut:before")
        restore(relay)

        await expect(state).to_have_text("connected · resumed, 13 events caught up")
        await expect(page.get_by_test_id("keys").locator("[data-key]")).to_have_count(12)
        await expect(events(page, "delete", "cut:before")).to_have_count(1)
        await expect(page.get_by_test_id("events").locator('[data-key^="cut:"]')).to_have_count(14)
        resumed = page.get_by_test_id("events").locator('.row[data-type="connection"]')
        await expect(resumed).to_contain_text("resumed, 13 events caught up")
        await agent.ask("set", key="cut:after", value=1)
        await expect(key_row(page, "cut:after")).to_be_visible()
        await expect_not_reloaded(page)
        await page.close()


async def test_after_the_grace_the_dashboard_resumes_in_a_new_session(browser: Browser, start_hub: StartHub) -> None:
    hub = start_hub(limits={"grace": 0.2})
    async with Relay(hub.port) as relay:
        page = await browser.new_page()
        await page.goto(relay.url)
        state = page.get_by_test_id("conn-state")
        await expect(state).to_have_text("connected")
        cut_off(relay)
        web = Web(hub)
        async with asyncio.timeout(20):
            while (await web.ok("list", pattern="dashboard-*", ns="$agents"))["entries"]:
                await asyncio.sleep(0.05)
        await web.close()
        restore(relay)
        await expect(state).to_contain_text("resumed in a new session")
        await page.close()


async def test_a_restarted_hub_is_noticed_and_shown_anew(browser: Browser, start_hub: StartHub, join: Join) -> None:
    first = start_hub()
    async with Relay(first.port) as relay:
        page = await browser.new_page()
        await page.goto(relay.url)
        state = page.get_by_test_id("conn-state")
        await expect(state).to_have_text("connected")
        await mark_page(page)
        old = await join(at=first, agent="old")
        await old.ask("set", key="old", value=1)
        await expect(key_row(page, "old")).to_be_visible()
        epoch = await page.get_by_test_id("epoch").text_content()

        first.process.kill()
        await expect(state).to_contain_text("reconnecting")
        await expect(key_row(page, "old")).to_be_visible()
        second = start_hub()
        relay.port = second.port
        new = await join(at=second, agent="new")
        await new.ask("set", key="new", value=2)

        await expect(state).to_have_text("connected · hub restarted: fresh snapshot")
        await expect(key_row(page, "new")).to_be_visible()
        await expect(key_row(page, "old")).to_have_count(0)
        await expect(page.get_by_test_id("agents").locator('[data-agent="old"]')).to_have_count(0)
        await expect(page.get_by_test_id("epoch")).not_to_have_text(str(epoch))
        await new.ask("set", key="after", value=3)
        await expect(key_row(page, "after")).to_be_visible()
        await expect_not_reloaded(page)
        await page.close()
