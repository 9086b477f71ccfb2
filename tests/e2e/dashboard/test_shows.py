"""What the dashboard shows of a hub: its version, its first keys, its agents."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, Page, expect

from tests.e2e.dashboard.browsing import (
    EXPECT_TIMEOUT_MS,
    events,
    expect_not_reloaded,
    key_row,
    mark_page,
    show_keys_as,
)
from tests.e2e.hubs import StartHub
from tests.e2e.relay import Relay
from tests.e2e.wire import Join

pytestmark = pytest.mark.e2e


async def test_the_header_shows_the_hub(page: Page, join: Join) -> None:
    agent = await join(agent="teller")
    await expect(page.get_by_test_id("hub-version")).to_have_text(
        f"{agent.welcome['hub']['name']} {agent.welcome['hub']['version']}"
    )
    await expect(page.get_by_test_id("durability")).to_have_text(agent.welcome["durability"])
    await expect(page.get_by_test_id("epoch")).to_have_text(agent.welcome["epoch"])


async def test_a_key_appears_when_it_is_set_and_disappears_when_it_is_deleted(page: Page, join: Join, ns: str) -> None:
    await mark_page(page)
    agent = await join(agent="writer")
    first = await agent.ask("set", key="task:1", value={"n": 1})
    row = key_row(page, "task:1")
    await expect(row).to_have_attribute("data-rev", str(first["rev"]))
    await expect(row).to_contain_text('{"n": 1}')
    await expect(row).to_contain_text("writer")
    await show_keys_as(page, "list")
    await expect(row).to_contain_text(ns)
    second = await agent.ask("set", key="task:1", value={"n": 2})
    await expect(row).to_have_attribute("data-rev", str(second["rev"]))
    await expect(row).to_contain_text('{"n": 2}')
    await expect(events(page, "set", "task:1")).to_have_count(2)
    await agent.ask("delete", key="task:1")
    await expect(row).to_have_count(0)
    await expect(events(page, "delete", "task:1")).to_have_count(1)
    await expect_not_reloaded(page)


async def test_entries_and_agents_from_before_are_shown(browser: Browser, relay: Relay, join: Join) -> None:
    agent = await join(agent="early")
    await agent.ask("set", key="before", value="you came")
    page = await browser.new_page()
    await page.goto(relay.url)
    await expect(key_row(page, "before")).to_contain_text("you came")
    await expect(page.get_by_test_id("agents").locator('[data-agent="early"]')).to_have_count(1)
    await expect(events(page, "set", "before")).to_have_count(0)


async def test_an_agent_joins_and_leaves(page: Page, join: Join) -> None:
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


async def test_dashboards_are_hidden_until_chosen(page: Page) -> None:
    row = page.get_by_test_id("agents").locator('[data-role="dashboard"]', has_text="this dashboard")
    await expect(row).to_have_count(0)
    await page.get_by_label("dashboard").check()
    await expect(row).to_have_count(1)


async def test_closing_the_dashboard_ends_its_session(browser: Browser, start_hub: StartHub, join: Join) -> None:
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


async def test_an_empty_hub_shows_how_to_begin(browser: Browser, start_hub: StartHub, join: Join) -> None:
    hub = start_hub()
    page = await browser.new_page()
    await page.goto(hub.url)
    begin = page.get_by_test_id("begin")
    await expect(begin).to_be_visible(timeout=EXPECT_TIMEOUT_MS)
    await expect(begin).to_contain_text("waggle set hello '\"world\"' --ttl 60")
    agent = await join(at=hub, agent="first")
    await agent.ask("set", key="hello", value="world", ns="default")
    await expect(begin).to_be_hidden()
    await expect(key_row(page, "hello")).to_be_visible()
    await page.close()
