"""One entry on the dashboard: its value, its history, editing it and deleting it."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Locator, Page, expect

from tests.e2e.dashboard.browsing import key_row, open_entry
from tests.e2e.wire import Join

pytestmark = pytest.mark.e2e


async def open_part(page: Page, name: str) -> None:
    """Show the "value", the "history" or the "edit" form of the entry."""
    await page.get_by_role("group", name="Show of this entry").get_by_role("button", name=name).click()


def value_of(page: Page) -> Locator:
    return page.get_by_test_id("entry-value")


async def test_an_entry_is_shown_in_full(page: Page, join: Join) -> None:
    agent = await join(agent="author")
    long = {"text": "x" * 5000, "list": [1, {"deep": True}]}
    await agent.ask("set", key="long", value=long, meta={"why": "test"})
    entry = await open_entry(page, "long")
    await expect(value_of(page)).to_contain_text("x" * 5000)
    await expect(entry).to_contain_text('{"why":"test"}')
    await page.get_by_test_id("value-raw").click()
    await expect(value_of(page)).to_contain_text('"deep": true')
    await page.get_by_test_id("value-raw").click()
    await agent.ask("set", key="long", value=2**53 + 1)
    await expect(value_of(page)).to_have_text("9007199254740993")
    await expect(key_row(page, "long")).to_contain_text("9007199254740993")
    await agent.ask("delete", key="long")
    await expect(entry).to_contain_text("Deleted at revision")
    await page.get_by_role("button", name="Close the entry").click()
    await expect(entry).to_be_hidden()


async def test_a_value_is_shown_by_its_type(page: Page, join: Join) -> None:
    agent = await join(agent="typer")
    shown = {
        "number": (1_800_000_000, "1800000000", "number · as an instant: 2027-01-1"),
        "text": ("one\ntwo", "one\ntwo", "text · 7 characters, 2 lines"),
        "truth": (False, "false", "boolean"),
        "nothing": (None, "null", "null"),
        "inner": ('{"a": [1, 2]}', "a: [ 2 ]", "text holding JSON"),
        "object": ({"a": {"b": "c"}}, "a: { 1 }", "object · 1 field"),
        "empty": ({}, "no fields", "object · 0 fields"),
    }
    for name, (value, text, about) in shown.items():
        await agent.ask("set", key=f"typed-{name}", value=value)
        await open_entry(page, f"typed-{name}")
        await expect(value_of(page)).to_contain_text(text)
        await expect(page.get_by_test_id("value-about")).to_contain_text(about)


async def test_an_object_opens_part_by_part_and_stays_open_after_a_write(page: Page, join: Join) -> None:
    agent = await join(agent="nester")
    value = {"big": {f"f{n:03}": n for n in range(300)}, "n": 1}
    await agent.ask("set", key="nested", value=value)
    await open_entry(page, "nested")
    await expect(value_of(page)).to_contain_text("big: { 300 }")
    await expect(value_of(page)).not_to_contain_text("f000")
    await value_of(page).locator("summary").click()
    await expect(value_of(page)).to_contain_text("f099: 99")
    await value_of(page).get_by_role("button", name="200 more").click()
    await expect(value_of(page)).to_contain_text("f199: 199")
    await agent.ask("set", key="nested", value={**value, "n": 2})
    await expect(value_of(page)).to_contain_text("n: 2")
    await expect(value_of(page)).to_contain_text("f000: 0")


async def test_a_value_is_copied(page: Page, join: Join) -> None:
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    agent = await join(agent="copyist")
    await agent.ask("set", key="copied", value={"a": 1})
    await open_entry(page, "copied")
    await page.get_by_test_id("value-copy").click()
    await expect(page.get_by_test_id("value-copy")).to_have_text("Copied")
    assert await page.evaluate("() => navigator.clipboard.readText()") == '{\n  "a": 1\n}'


async def test_history_shows_the_difference_between_versions(page: Page, join: Join) -> None:
    agent = await join(agent="historian")
    for n in range(1, 4):
        await agent.ask("set", key="versions", kind="versioned", value={"n": n, "same": True})
    await open_entry(page, "versions")
    await open_part(page, "history")
    diff = page.get_by_test_id("diff")
    await expect(diff.locator(".removed")).to_contain_text('"n": 2')
    await expect(diff.locator(".added")).to_contain_text('"n": 3')
    await page.get_by_test_id("compare-older").select_option("2")
    await expect(diff.locator(".removed")).to_contain_text('"n": 1')
    await agent.ask("set", key="versions", kind="versioned", value={"n": 4, "same": True})
    await expect(diff.locator(".added")).to_contain_text('"n": 4')


async def test_an_entry_without_history_says_why(page: Page, join: Join) -> None:
    agent = await join(agent="forgetter")
    await agent.ask("set", key="once", value=1)
    await open_entry(page, "once")
    await open_part(page, "history")
    await expect(page.get_by_test_id("part-history")).to_contain_text("kind versioned keeps its earlier values")


async def test_an_edit_changes_the_value_and_nothing_else(page: Page, join: Join) -> None:
    agent = await join(agent="owner")
    await agent.ask("set", key="edited", value={"n": 1}, kind="versioned", meta={"k": 1}, ttl=900, ephemeral=True)
    await open_entry(page, "edited")
    await open_part(page, "edit")
    draft = page.get_by_test_id("draft")
    await expect(draft).to_have_value('{\n  "n": 1\n}')
    await draft.fill('{"n": ')
    await expect(page.locator("#draft-error")).to_contain_text("Not JSON yet")
    await expect(page.get_by_test_id("draft-save")).to_be_disabled()
    await draft.fill('{"n": 2}')
    await page.get_by_test_id("draft-save").click()
    await expect(value_of(page)).to_contain_text("n: 2")
    entry = (await agent.ask("get", key="edited"))["entry"]
    assert (entry["value"], entry["version"], entry["kind"], entry["meta"]) == ({"n": 2}, 2, "versioned", {"k": 1})
    assert entry["expires_at"] is not None
    assert entry["by"].startswith("dashboard")
    await agent.ask("bye")
    await expect(page.get_by_test_id("entry")).to_contain_text("Deleted at revision")


async def test_a_conflict_shows_both_values_and_lets_the_user_choose(page: Page, join: Join) -> None:
    agent = await join(agent="rival")
    await agent.ask("set", key="contested", value={"n": 1, "of": "all"})
    await open_entry(page, "contested")
    await open_part(page, "edit")
    await page.get_by_test_id("draft").fill('{"n": "mine", "of": "all"}')
    await agent.ask("set", key="contested", value={"n": "theirs", "of": "all"})
    await expect(page.locator("#edit-hint")).to_contain_text("written since you began to edit")
    await page.get_by_test_id("draft-save").click()
    current = page.get_by_test_id("current")
    await expect(current).to_contain_text("by rival")
    await expect(current.locator(".removed")).to_contain_text('"n": "theirs"')
    await expect(current.locator(".added")).to_contain_text('"n": "mine"')
    assert (await agent.ask("get", key="contested"))["entry"]["value"]["n"] == "theirs", "nothing was written"
    await page.get_by_role("button", name="Overwrite with my value").click()
    await expect(value_of(page)).to_contain_text('n: "mine"')
    assert (await agent.ask("get", key="contested"))["entry"]["value"]["n"] == "mine"

    await open_part(page, "edit")
    await page.get_by_test_id("draft").fill('{"n": "again"}')
    await agent.ask("set", key="contested", value={"n": "theirs again"})
    await page.get_by_test_id("draft-save").click()
    await page.get_by_test_id("draft-take").click()
    await expect(page.get_by_test_id("draft")).to_have_value('{\n  "n": "theirs again"\n}')


async def test_a_draft_of_a_deleted_entry_can_be_written(page: Page, join: Join) -> None:
    agent = await join(agent="remover")
    await agent.ask("set", key="fleeting", value=1)
    await open_entry(page, "fleeting")
    await open_part(page, "edit")
    await page.get_by_test_id("draft").fill("2")
    await agent.ask("delete", key="fleeting")
    await page.get_by_test_id("draft-save").click()
    await expect(page.locator("#edit-hint")).to_contain_text("the entry was deleted meanwhile")
    await page.get_by_role("button", name="Overwrite with my value").click()
    await expect(value_of(page)).to_have_text("2")
    assert (await agent.ask("get", key="fleeting"))["entry"]["value"] == 2


async def test_a_deletion_is_confirmed_and_deletes_the_revision_that_was_shown(page: Page, join: Join) -> None:
    agent = await join(agent="keeper")
    await agent.ask("set", key="doomed", value=1)
    entry = await open_entry(page, "doomed")
    await page.get_by_test_id("entry-delete").click()
    await expect(page.get_by_test_id("entry-confirm")).to_contain_text("Delete version 1")
    await expect(page.get_by_role("button", name="Keep", exact=True)).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(page.get_by_test_id("entry-confirm")).to_be_hidden()
    await page.get_by_test_id("entry-delete").click()
    await agent.ask("set", key="doomed", value=2)
    await page.get_by_role("button", name="Delete", exact=True).click()
    await expect(page.get_by_test_id("entry-confirm")).to_contain_text("written meanwhile")
    await expect(value_of(page)).to_have_text("2")
    await page.get_by_role("button", name="Delete", exact=True).click()
    await expect(entry).to_contain_text(re.compile("Deleted at revision"))
    await expect(key_row(page, "doomed")).to_have_count(0)


async def test_names_and_values_are_never_markup(page: Page, join: Join) -> None:
    hostile = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    agent = await join(agent="<b>mallory</b>", meta={"role": "<i>role</i>"})
    await agent.ask("status", status=hostile)
    for version in range(2):
        await agent.ask("set", key=hostile, value={hostile: [hostile, version]}, kind="versioned")
    await agent.ask("publish", channel=hostile, data={hostile: hostile})
    row = page.get_by_test_id("keys").get_by_role("treeitem").filter(has_text="onerror")
    await expect(row).to_have_count(1)
    await row.click()
    await expect(value_of(page)).to_contain_text("<script>")
    await open_part(page, "history")
    await expect(page.get_by_test_id("diff")).to_contain_text("<script>")
    await open_part(page, "edit")
    await expect(page.get_by_test_id("draft")).to_have_value(re.compile("<script>"))
    await expect(page.get_by_test_id("agents")).to_contain_text("<b>mallory</b>")
    await expect(page.get_by_test_id("events")).to_contain_text("message")
    for markup in ("main b:not(.tile b):not(.chart b)", "main i", "main script", "main img"):
        await expect(page.locator(markup)).to_have_count(0)


async def test_invisible_characters_in_a_name_are_shown_as_codes(page: Page, join: Join) -> None:
    agent = await join(agent="trickster")
    await agent.ask("set", key="invoice\u202egpj.exe", value="a\u200bb")
    row = page.get_by_test_id("keys").get_by_role("treeitem").filter(has_text="invoice")
    await expect(row).to_contain_text("invoice\\u202egpj.exe")
    await expect(row).to_contain_text("a\\u200bb")
