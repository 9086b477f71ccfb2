"""The keys on the dashboard: as a tree, as lists, filtered, with their countdown."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import Locator, Page, expect

from tests.e2e.dashboard.browsing import choose_namespace, events, key_row, show_keys_as
from tests.e2e.wire import Join

pytestmark = pytest.mark.e2e


def folder(page: Page, prefix: str) -> Locator:
    return page.get_by_test_id("tree").locator(f'[data-folder="{prefix}"]')


async def test_folders_of_the_tree_have_counts_and_open_and_close(page: Page, join: Join, ns: str) -> None:
    agent = await join(agent="planter")
    for key in ("task:a:1", "task:a:2", "task:b", "note", "src/deep/down/file.py"):
        await agent.ask("set", key=key, value=key)
    await choose_namespace(page, ns)
    task = folder(page, "task:")
    await expect(task).to_have_attribute("aria-expanded", "true")
    await expect(task).to_contain_text("3")
    await expect(key_row(page, "task:a:2")).to_contain_text('"task:a:2"')
    await expect(key_row(page, "src/deep/down/file.py").locator(".key")).to_have_text("src/deep/down/file.py")
    await task.click()
    await expect(key_row(page, "task:b")).to_have_count(0)
    await agent.ask("set", key="task:c", value=1)
    await expect(task).to_contain_text("4")
    await task.click()
    await expect(key_row(page, "task:c")).to_be_visible()
    for key in ("task:a:1", "task:a:2"):
        await agent.ask("delete", key=key)
    await expect(folder(page, "task:a:")).to_have_count(0)


async def test_a_large_folder_starts_closed_and_has_few_elements_when_open(page: Page, join: Join, ns: str) -> None:
    agent = await join(agent="many")
    for start in range(0, 5000, 500):
        await agent.send(*({"op": "set", "key": f"m:{n:05}", "value": n} for n in range(start, start + 500)))
    await agent.settle()
    await choose_namespace(page, ns)
    await expect(page.get_by_test_id("keys-count")).to_contain_text("5,000 of")
    await expect(folder(page, "m:")).to_have_attribute("aria-expanded", "false")
    await folder(page, "m:").click()
    await expect(key_row(page, "m:00000")).to_be_visible()
    assert await page.locator("[data-key]").count() < 150
    await page.get_by_test_id("tree").evaluate("list => { list.scrollTop = list.scrollHeight }")
    await expect(key_row(page, "m:04999")).to_contain_text("4999")
    assert await page.locator("[data-key]").count() < 150


async def test_the_arrow_keys_move_through_the_tree(page: Page, join: Join, ns: str) -> None:
    agent = await join(agent="typist")
    await agent.send(
        *({"op": "set", "key": f"kb:{n:03}", "value": n} for n in range(200)), {"op": "set", "key": "z", "value": 1}
    )
    await choose_namespace(page, ns)
    await expect(page.get_by_test_id("keys-count")).to_contain_text("201 of")
    await page.keyboard.press("/")
    await expect(page.get_by_test_id("filter-keys")).to_be_focused()
    await page.get_by_test_id("tree").focus()
    await page.keyboard.press("ArrowDown")
    box = folder(page, "kb:")
    await expect(box).to_be_focused()
    await page.keyboard.press("ArrowLeft")
    await expect(box).to_have_attribute("aria-expanded", "false")
    await page.keyboard.press("ArrowRight")
    await expect(box).to_have_attribute("aria-expanded", "true")
    await page.keyboard.press("ArrowRight")
    await expect(key_row(page, "kb:000")).to_be_focused()
    await page.keyboard.press("End")
    await expect(key_row(page, "z")).to_be_focused()
    await page.keyboard.press("ArrowUp")
    await expect(key_row(page, "kb:199")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("entry-value")).to_have_text("199")
    await expect(key_row(page, "kb:199")).to_have_attribute("aria-selected", "true")
    await page.keyboard.press("ArrowLeft")
    await expect(box).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(page.get_by_test_id("entry")).to_be_hidden()


async def test_the_arrow_keys_move_through_the_list(page: Page, join: Join, ns: str) -> None:
    agent = await join(agent="lister")
    await agent.send(*({"op": "set", "key": f"li:{n}", "value": n} for n in range(200)))
    await choose_namespace(page, ns)
    await show_keys_as(page, "list")
    await expect(page.get_by_test_id("keys-count")).to_contain_text("200 of")
    await expect(page.get_by_test_id("list").locator('[data-key="li:0"]')).to_be_visible()  # not the row of the tree
    await page.get_by_test_id("list").press("ArrowDown")
    await expect(key_row(page, "li:0").get_by_role("button")).to_be_focused()
    await page.keyboard.press("End")
    await expect(key_row(page, "li:99").get_by_role("button")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("entry-value")).to_have_text("99")


async def test_a_filter_is_a_pattern_or_a_part_of_a_key(page: Page, join: Join, ns: str) -> None:
    agent = await join(agent="filterer")
    await agent.send(*({"op": "set", "key": key, "value": 1} for key in ("fruit:apple", "fruit:pear", "nut")))
    rows = page.get_by_test_id("keys").locator("[data-key]")
    await choose_namespace(page, ns)
    await expect(rows).to_have_count(3)
    await page.get_by_test_id("filter-keys").fill("fruit:*")
    await expect(rows).to_have_count(2)
    await agent.ask("set", key="fruit:plum", value=1)
    await agent.ask("set", key="stone", value=1)
    await expect(rows).to_have_count(3)
    await page.get_by_test_id("filter-keys").fill("fruit:[")
    await expect(page.get_by_test_id("filter-keys")).to_have_attribute("aria-invalid", "true")
    await expect(rows).to_have_count(3)
    await page.get_by_test_id("filter-keys").fill("pear")
    await expect(rows).to_have_count(1)
    await page.get_by_test_id("filter-keys").fill("nothing like it")
    await expect(page.locator("#keys-none")).to_contain_text("No key matches")
    await page.get_by_test_id("filter-keys").fill("")
    await expect(rows).to_have_count(5)


async def test_an_entry_counts_down_and_disappears_when_it_expires(page: Page, join: Join) -> None:
    agent = await join(agent="clock")
    await page.get_by_test_id("filter-keys").fill("short")
    await agent.ask("set", key="short", value=1, ttl=5)
    row = key_row(page, "short")
    await expect(row).to_be_visible()
    left: list[float] = []
    while text := "".join(await row.locator(".left").all_text_contents()):
        if text != "due":
            left.append(float(text.removesuffix(" s")))
        await asyncio.sleep(0.1)
    assert left == sorted(left, reverse=True)
    assert left[0] > 1.5
    assert 0 < left[-1] < 2, "it counts down to its end"
    await expect(events(page, "expire", "short")).to_have_count(1)
    await expect(events(page, "expire", "short")).to_contain_text("$hub")


async def test_a_touch_moves_the_deadline(page: Page, join: Join) -> None:
    agent = await join(agent="toucher")
    await page.get_by_test_id("filter-keys").fill("touched")
    await agent.ask("set", key="touched", value=1, ttl=7200)
    await expect(key_row(page, "touched")).to_contain_text(" h ")
    await agent.ask("touch", key="touched", ttl=300)
    await expect(key_row(page, "touched")).to_contain_text(" min ")
    await agent.ask("touch", key="touched", ttl=None)
    await expect(key_row(page, "touched")).to_contain_text("no deadline")


async def test_keys_next_to_expire_are_in_the_order_of_their_deadlines(page: Page, join: Join, ns: str) -> None:
    agent = await join(agent="timer")
    for key, ttl in (("late", 900), ("soon", 300), ("never", None), ("later", 1800)):
        await agent.ask("set", key=key, value=1, ttl=ttl)
    await choose_namespace(page, ns)
    await show_keys_as(page, "next to expire")
    rows = page.get_by_test_id("list").locator("[data-key]")
    await expect(rows.locator(".key")).to_have_text(["soon", "late", "later"])
    await agent.ask("touch", key="later", ttl=60)
    await expect(rows.locator(".key")).to_have_text(["later", "soon", "late"])


async def test_the_keys_that_an_agent_wrote_last_are_shown(page: Page, join: Join, ns: str) -> None:
    holder, other = await join(agent="holder"), await join(agent="other")
    await holder.ask("set", key="held:1", value=1)
    await holder.ask("set", key="held:2", value=1, ephemeral=True)
    await other.ask("set", key="elsewhere", value=1)
    await choose_namespace(page, ns)
    await page.get_by_role("button", name="2 keys that holder wrote last").click()
    rows = page.get_by_test_id("list").locator("[data-key]")
    await expect(rows.locator(".key")).to_have_text(["held:1", "held:2"])
    await expect(page.get_by_test_id("keys-of")).to_contain_text("Last written by holder")
    await other.ask("set", key="held:1", value=2)
    await expect(rows).to_have_count(1)
    await holder.ask("bye")
    await expect(rows).to_have_count(0)
    await page.get_by_role("button", name="Show all keys").click()
    await expect(key_row(page, "held:1")).to_be_visible()
