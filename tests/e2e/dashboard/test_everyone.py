"""Accessibility of the dashboard: axe-core finds no violation, in both themes, in a wide window and on a phone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from tests.e2e.dashboard.browsing import choose_namespace, cut_off, fixture, key_row, open_entry, restore, show_keys_as
from tests.e2e.relay import Relay
from tests.e2e.wire import Join, Wire

pytestmark = pytest.mark.e2e

AXE = Path(__file__).parents[2] / "node_modules/axe-core/axe.min.js"
WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 360, "height": 740}

Check = Callable[[str], Awaitable[None]]


@fixture(
    params=[("light", WIDE), ("dark", WIDE), ("light", PHONE), ("dark", PHONE)],
    ids=lambda it: f"{it[0]}-{it[1]['width']}",
)
async def page(request: pytest.FixtureRequest, browser: Browser, relay: Relay) -> AsyncIterator[Page]:
    """The dashboard in one theme and size."""
    theme, size = request.param
    page = await browser.new_page(viewport=size, color_scheme=theme)
    await page.goto(relay.url)
    await expect(page.get_by_test_id("conn-state")).to_have_text("connected")
    yield page
    await page.close()


@pytest.fixture
def check(page: Page) -> Check:
    """Return a function that checks what is shown now: `await check("the tree")`."""
    if not AXE.is_file():
        pytest.fail("axe-core is missing: sh tests/needs.sh", pytrace=False)

    async def check(where: str) -> None:
        if not await page.evaluate("() => typeof axe === 'object'"):
            await page.evaluate(AXE.read_text())
        result: Any = await page.evaluate("() => axe.run(document, { resultTypes: ['violations'] })")
        violations = [
            f"{each['id']}: {each['help']}: {node['html'][:200]} {node.get('failureSummary', '')}"
            for each in result["violations"]
            for node in each["nodes"][:3]
        ]
        assert violations == [], f"{where}: " + "\n".join(violations)

    return check


async def fill_hub(agent: Wire) -> None:
    """Write entries and send events of several kinds."""
    for n in range(3):
        await agent.ask(
            "set", key="config", value={"n": n, "list": [1, 2], "text": "x"}, kind="versioned", meta={"a": 1}
        )
    await agent.send(*({"op": "set", "key": f"task:{n}", "value": n, "ttl": 600 + n} for n in range(20)))
    await agent.ask("status", status="planting")
    await agent.ask("publish", channel="chat", data="hello")
    await agent.ask("delete", key="task:3")


async def open_tab(page: Page, name: str) -> None:
    """Show a view. A phone shows one view at a time."""
    tab = page.get_by_role("navigation", name="Views").get_by_role("button", name=name)
    if await tab.is_visible():
        await tab.click()


async def test_axe_finds_no_violation_in_any_view(page: Page, join: Join, ns: str, check: Check) -> None:
    agent = await join(agent="gardener", meta={"role": "gardener"})
    await fill_hub(agent)
    await choose_namespace(page, ns)
    await expect(key_row(page, "task:1")).to_be_visible()
    await check("the tree")
    await show_keys_as(page, "list")
    await check("the list")
    await show_keys_as(page, "next to expire")
    await check("next to expire")
    await page.get_by_test_id("filter-keys").fill("[")
    await check("a filter that is not a pattern")
    await page.get_by_test_id("filter-keys").fill("")
    await open_tab(page, "Health")
    await check("health")
    await open_tab(page, "Agents")
    await page.get_by_label("dashboard").check()
    await check("agents")
    await page.get_by_role("button", name="follow gardener").click()
    await check("events")
    await page.get_by_test_id("pause").click()
    await agent.ask("set", key="later", value=1)
    await expect(page.locator("#newer")).to_be_visible()
    await check("events, paused")


async def test_axe_finds_no_violation_in_an_entry(page: Page, join: Join, ns: str, check: Check) -> None:
    agent = await join(agent="gardener")
    await fill_hub(agent)
    await choose_namespace(page, ns)
    await page.get_by_test_id("filter-keys").fill("config")
    await expect(page.get_by_test_id("keys").locator("[data-key]")).to_have_count(1)
    await open_entry(page, "config")
    await expect(page.get_by_test_id("entry-value")).to_contain_text("list")
    await check("its value")
    shown = page.get_by_role("group", name="Show of this entry")
    await shown.get_by_role("button", name="history").click()
    await expect(page.get_by_test_id("diff")).to_contain_text('"n"')
    await check("its history")
    await shown.get_by_role("button", name="edit").click()
    await page.get_by_test_id("draft").fill("{")
    await check("a draft that is not JSON")
    await page.get_by_test_id("draft").fill("1")
    await agent.ask("set", key="config", value=2)
    await page.get_by_test_id("draft-save").click()
    await expect(page.get_by_test_id("current")).to_be_visible()
    await check("a conflict")
    await page.get_by_test_id("entry-delete").click()
    await check("a deletion")


async def test_axe_finds_no_violation_in_locks_and_waits(page: Page, join: Join, check: Check) -> None:
    holder, waiter = await join(agent="holder"), await join(agent="waiter")
    await open_tab(page, "Locks")
    await check("no locks")
    await open_tab(page, "Waits")
    await check("no waits")
    await holder.ask("lock", names=["a", "b"], ttl=600)
    await holder.ask("lock", pattern="c*", ttl=600, mode="shared")
    await waiter.send({"op": "lock", "names": ["b", "d"], "wait": None})
    await waiter.send({"op": "wait", "timeout": 600, "all": [{"key": "e"}, {"key": "f", "absent": True}]})
    await expect(page.get_by_test_id("waits").locator('[data-met="true"]')).to_have_count(1)
    await expect(page.get_by_test_id("drawing").locator(".node")).to_have_count(3)
    await check("waits")
    await open_tab(page, "Locks")
    await expect(page.get_by_test_id("locks").locator("[data-waiter]")).to_have_count(1)
    await check("locks")
    await page.get_by_role("button", name="release the lock a, b").click()
    await check("a release")
    await page.get_by_role("button", name="Release", exact=True).click()
    await check("a release without a reason")
    await page.get_by_label("Reason").fill("enough")
    await page.get_by_role("button", name="Release", exact=True).click()
    await expect(page.get_by_test_id("released")).to_contain_text("Now held by waiter")
    await check("a release that was done")
    await open_tab(page, "Events")
    await check("events of locks")
    for agent in (holder, waiter):  # the next test counts the locks
        await agent.ask("bye")


async def test_axe_finds_no_violation_without_a_hub(page: Page, relay: Relay, check: Check) -> None:
    cut_off(relay)
    await expect(page.get_by_test_id("conn-state")).to_contain_text("reconnecting")
    await check("without a hub")
    restore(relay)


async def test_nothing_is_wider_than_the_window(page: Page, join: Join, ns: str) -> None:
    agent = await join(agent="a" * 100, meta={"role": "r" * 200})
    await agent.ask("set", key="k" * 255, value="v" * 1000)
    await agent.ask("status", status="s" * 500)
    await agent.ask("lock", name="l" * 255)
    other = await join(agent="b" * 100)
    await other.send({"op": "lock", "names": ["l" * 255, "m" * 255], "wait": None})
    await other.send({"op": "wait", "all": [{"key": "n" * 255, "where": {"value": "w" * 500}}]})
    await choose_namespace(page, ns)
    await open_entry(page, "k" * 255)
    for tab in ("Health", "Agents", "Keys", "Locks", "Waits", "Events"):
        await open_tab(page, tab)
        assert await page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), tab
