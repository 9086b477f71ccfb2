"""Waits on the dashboard: conditions, met or not, and the drawing of who waits for whom."""

from __future__ import annotations

import pytest
from playwright.async_api import Locator, Page, expect

from tests.e2e.dashboard.browsing import open_section
from tests.e2e.hubs import HubProcess, StartHub
from tests.e2e.wire import Join

pytestmark = pytest.mark.e2e


@pytest.fixture
def hub(start_hub: StartHub) -> HubProcess:
    """A separate hub: the dashboard shows the locks and waits of all agents."""
    return start_hub()


def conditions(page: Page, met: bool) -> Locator:
    return page.get_by_test_id("waits").locator(f'[data-met="{str(met).lower()}"] .what')


def node(page: Page, name: str) -> Locator:
    return page.get_by_test_id("drawing").locator(f'[data-node="{name}"]')


async def test_a_wait_shows_which_conditions_are_met(page: Page, join: Join) -> None:
    await open_section(page, "Waits")
    await expect(page.locator("#waits-none")).to_have_text("No command waits.")
    cook, helper = await join(agent="cook"), await join(agent="helper")
    dish = {"pattern": "dish:*", "count": 2, "where": {"pointer": "/ready", "value": True}}
    [id] = await cook.send(
        {"op": "wait", "timeout": 60, "all": [{"key": "fire"}, dish, {"key": "noise", "absent": True}]}
    )
    row = page.get_by_test_id("waits").locator('[data-agent="cook"]').first
    await expect(row).to_contain_text("for all of 3, 1 met")
    await expect(row.locator(".left")).to_contain_text(" s")
    await expect(conditions(page, True)).to_have_text(["no noise"])
    await expect(conditions(page, False)).to_have_text(["fire", "2 entries of dish:* where /ready is true"])
    await helper.ask("set", key="fire", value=1)
    await expect(conditions(page, True)).to_have_text(["fire", "no noise"])
    for n in range(2):
        await helper.ask("set", key=f"dish:{n}", value={"ready": True})
    await cook.ok(id)
    await expect(page.get_by_test_id("waits").locator("[data-agent]")).to_have_count(0)


async def test_a_take_and_a_lock_that_wait_are_shown(page: Page, join: Join) -> None:
    worker, holder = await join(agent="worker"), await join(agent="holder")
    await holder.ask("lock", name="tool", ttl=60)
    await worker.send({"op": "take", "patterns": ["job:*"], "timeout": None})
    await worker.send({"op": "lock", "name": "tool", "wait": 40})
    await open_section(page, "Waits")
    waits = page.get_by_test_id("waits")
    await expect(waits.locator('[data-op="take"]')).to_contain_text("to take one of job:*")
    await expect(waits.locator('[data-op="take"] .left')).to_have_text("no deadline")
    await expect(waits.locator('[data-op="lock"]').nth(0)).to_contain_text("to lock tool")
    await expect(waits.locator('[data-op="lock"]').nth(1)).to_contain_text("holder holds tool")


async def test_the_wait_graph_is_shown_as_a_drawing_and_a_table(page: Page, join: Join) -> None:
    first, second, third = [await join(agent=name) for name in ("first", "second", "third")]
    await first.ask("lock", name="a", ttl=60)
    await second.ask("lock", name="b", ttl=60)
    await second.send({"op": "lock", "name": "a", "wait": None})
    [last] = await third.send({"op": "lock", "name": "b", "wait": None})
    await third.send({"op": "wait", "all": [{"key": "go"}, {"key": "a", "unlocked": True}], "timeout": 60})
    await open_section(page, "Waits")
    for name in ("first", "second", "third", "go"):
        await expect(node(page, name)).to_be_visible()
    places = [await node(page, name).bounding_box() for name in ("first", "second", "third")]
    assert [place["x"] for place in places if place] == sorted(place["x"] for place in places if place)
    rows = page.get_by_role("table", name="Who waits for whom").locator("tbody tr")
    edges = {" ".join(await row.locator("td").all_text_contents()) for row in await rows.all()}
    assert edges == {"second a first", "third b second", "third exists go", "third a first"}
    await expect(page.get_by_test_id("deadlock")).to_have_text("")
    await third.ask("cancel", target=last)
    await expect(rows).to_have_count(3)
    await page.get_by_test_id("drawing").focus()
    await expect(page.get_by_test_id("drawing")).to_be_focused()


async def test_thirty_waits_are_drawn_whole_and_of_a_hundred_the_longest_chains(page: Page, join: Join) -> None:
    holder, guests = await join(agent="holder"), []
    await holder.ask("lock", name="till", ttl=60)
    for n in range(100):
        guests.append(await join(agent=f"guest-{n}"))
        await guests[-1].send({"op": "lock", "name": "till", "wait": None})
        if n == 29:
            await open_section(page, "Waits")
            await expect(page.get_by_test_id("drawing").locator(".node")).to_have_count(31)
            await expect(page.locator("#wait-graph-title")).to_have_text("Who waits for whom")
    await expect(page.locator("#wait-graph-title")).to_contain_text("the longest chains, 41 more are left out")
    await expect(page.get_by_test_id("drawing").locator(".node")).to_have_count(60)
    await expect(node(page, "holder")).to_be_visible()
    await expect(page.get_by_test_id("waits-count")).to_have_text("100")
