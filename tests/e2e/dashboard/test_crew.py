"""Every view while the sample crew is at work, with an edit conflict and a reconnect."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from playwright.async_api import Browser, expect

from tests.e2e.dashboard.browsing import (
    cut_off,
    events,
    expect_not_reloaded,
    key_row,
    mark_page,
    open_entry,
    restore,
    show_keys_as,
)
from tests.e2e.hubs import HubProcess, StartHub
from tests.e2e.relay import Relay
from tests.e2e.wire import Join
from waggle.examples.crew import SERVICES

pytestmark = pytest.mark.e2e

ROLES = [["researcher"], ["tester"], *(["builder", "--service", service] for service in SERVICES)]


@pytest.fixture
def hub(start_hub: StartHub) -> Iterator[HubProcess]:
    """A separate hub with the crew at work."""
    hub = start_hub()
    here = {**os.environ, "WAGGLE_URL": hub.url}
    crew = [
        subprocess.Popen([sys.executable, "-m", "waggle.examples.crew", *role, "--speed", "4"], env=here)
        for role in ROLES
    ]
    yield hub
    for member in crew:
        member.terminate()
    for member in crew:
        member.wait(15)


async def test_every_view_with_the_crew_at_work(browser: Browser, relay: Relay, hub: HubProcess, join: Join) -> None:
    page = await browser.new_page(viewport={"width": 1440, "height": 1400})
    await page.goto(relay.url)
    await mark_page(page)

    # Health, and the agents with their status.
    await expect(page.get_by_test_id("durability")).to_have_text("memory")
    agents = page.get_by_test_id("agents")
    await expect(agents.locator("[data-agent]")).to_have_count(len(ROLES))
    await expect(agents.locator('[data-agent="tester"]')).to_contain_text("waiting for services")
    await expect(page.locator('[data-figure="connections"]')).to_contain_text(f"{len(ROLES) + 1} sessions")

    # The keys: a tree, next to expire, a filter.
    await expect(key_row(page, "build/1/tests/result")).to_contain_text('"failed": 0')
    await expect(page.get_by_test_id("tree").locator('[data-folder="build/"]')).to_have_count(1)
    await show_keys_as(page, "next to expire")
    await page.get_by_test_id("filter-keys").fill("build/*/research/*")
    await expect(page.get_by_test_id("list").locator('[data-key$="/progress"]')).to_have_count(0)
    await expect(key_row(page, "build/2/research/findings")).to_be_visible()
    await show_keys_as(page, "tree")
    await page.get_by_test_id("filter-keys").fill("")
    await page.get_by_role("button", name="that tester wrote last").click()
    await expect(page.get_by_test_id("list").locator("[data-key]").first).to_contain_text("tester")
    await page.get_by_role("button", name="Show all keys").click()

    # The events: one agent followed, and rates.
    await page.get_by_role("button", name="follow researcher").click()
    await expect(events(page, "message", "chat").first).to_contain_text("researcher")
    await expect(page.get_by_test_id("events").locator('[data-type="expire"]')).to_have_count(0)
    await page.get_by_role("button", name="Stop following").click()
    await expect(page.get_by_test_id("chart-events").locator("svg")).not_to_have_attribute("aria-label", "at most 0")

    # Another agent writes first, and the connection is cut during the edit.
    rival = await join(at=hub, agent="rival", ns="default")
    await rival.ask("set", key="plan", value={"build": 1}, kind="versioned")
    await open_entry(page, "plan")
    await page.get_by_role("button", name="edit", exact=True).click()
    await page.get_by_test_id("draft").fill('{"build": 2}')
    cut_off(relay)
    await expect(page.get_by_test_id("conn-state")).to_contain_text("reconnecting")
    await rival.ask("set", key="plan", value={"build": 3}, kind="versioned")
    await page.get_by_test_id("draft-save").click()
    restore(relay)
    await expect(page.get_by_test_id("conn-state")).to_contain_text("connected · resumed")
    await expect(page.get_by_test_id("current")).to_contain_text("by rival")
    await page.get_by_role("button", name="Overwrite with my value").click()
    await expect(page.get_by_test_id("entry-value")).to_have_text("build: 2")
    await page.get_by_role("button", name="history", exact=True).click()
    await expect(page.get_by_test_id("diff").locator(".added")).to_contain_text('"build": 2')
    assert (await rival.ask("get", key="plan"))["entry"]["value"] == {"build": 2}

    await expect_not_reloaded(page)
    await page.close()
