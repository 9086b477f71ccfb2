"""The events on the dashboard: filters, pause, following; and the charts of rates."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from tests.e2e.dashboard.browsing import events, key_row, open_entry
from tests.e2e.wire import Join

pytestmark = pytest.mark.e2e


async def test_events_are_filtered_by_key_agent_and_type(page: Page, join: Join) -> None:
    first, second = await join(agent="one"), await join(agent="two")
    for agent in (first, second):
        await agent.send(*({"op": "set", "key": f"fruit:{key}", "value": 1} for key in ("apple", "pear")))
    await first.ask("set", key="nut", value=1)
    rows = page.get_by_test_id("events").locator("[data-key]")
    await page.get_by_test_id("filter-events").fill("fruit:*")
    await expect(rows).to_have_count(4)
    await page.get_by_test_id("filter-agents").fill("one")
    await expect(rows).to_have_count(2)
    await first.ask("delete", key="fruit:pear")
    await second.ask("delete", key="fruit:apple")
    await expect(rows).to_have_count(3)
    await page.locator("#types").get_by_role("button", name="set").click()
    await expect(rows).to_have_count(1)
    await page.get_by_test_id("filter-agents").fill("on[")
    await expect(page.get_by_test_id("filter-agents")).to_have_attribute("aria-invalid", "true")


async def test_pause_freezes_the_events(page: Page, join: Join) -> None:
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


async def test_following_an_agent_shows_only_its_events(page: Page, join: Join) -> None:
    leader, other = await join(agent="leader"), await join(agent="other")
    await page.get_by_role("button", name="follow leader").click()
    await expect(page.get_by_test_id("followed")).to_contain_text("Following the agent leader")
    await leader.ask("set", key="led", value=1)
    await other.ask("set", key="stray", value=1)
    await leader.ask("status", status="ahead")
    await expect(events(page, "set", "led")).to_have_count(1)
    await expect(events(page, "agent", "leader").first).to_contain_text("status ahead")
    await expect(events(page, "set", "stray")).to_have_count(0)
    await page.get_by_role("button", name="Stop following").click()
    await expect(events(page, "set", "stray")).to_have_count(1)


async def test_following_a_key_shows_only_its_events(page: Page, join: Join) -> None:
    agent = await join(agent="walker")
    await agent.ask("set", key="path", value=1)
    await agent.ask("set", key="path:beside", value=1)
    await open_entry(page, "path")
    await page.get_by_test_id("entry").get_by_role("button", name="Follow").click()
    await agent.ask("set", key="path", value=2)
    await agent.ask("set", key="path:beside", value=2)
    await agent.ask("delete", key="path")
    await expect(events(page, "delete", "path")).to_have_count(1)
    await expect(page.get_by_test_id("events").locator("[data-key]")).to_have_count(3)


async def test_rates_are_drawn(page: Page, join: Join) -> None:
    agent = await join(agent="runner")
    peak = page.get_by_test_id("chart-revisions").locator("svg")
    for _ in range(40):
        await agent.send(*({"op": "set", "key": f"fast:{n}", "value": n} for n in range(20)))
        await agent.settle()
        await page.wait_for_timeout(100)
        label = await peak.get_attribute("aria-label") or ""
        path = await peak.locator(".line").get_attribute("d") or ""
        if "at most 0" not in label and "at most" in label and path.count("L") > 1:
            break
    else:
        raise AssertionError("nothing was drawn")
    assert "revisions a second over the last 5 minutes" in label
