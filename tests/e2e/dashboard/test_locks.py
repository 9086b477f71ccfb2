"""Locks on the dashboard: holders, queues, deadlines; and releasing a lock by force."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Locator, Page, expect

from tests.e2e.dashboard.browsing import cut_off, events, expect_not_reloaded, mark_page, open_section, restore
from tests.e2e.hubs import HubProcess, StartHub
from tests.e2e.relay import Relay
from tests.e2e.wire import Join, Wire

pytestmark = pytest.mark.e2e


@pytest.fixture
def hub(start_hub: StartHub) -> HubProcess:
    """A separate hub: the dashboard shows the locks and waits of all agents."""
    return start_hub()


def held(page: Page, token: int) -> Locator:
    """Return the row of a lock."""
    return page.get_by_test_id("locks").locator(f'[data-token="{token}"]:not([data-waiter])')


def queue(page: Page, token: int) -> Locator:
    """Return the rows of a lock's queue, in the order shown."""
    return page.get_by_test_id("locks").locator(f'[data-token="{token}"][data-waiter]')


async def request_lock(agent: Wire, name: str, wait: float | None = None) -> int:
    """Ask for a lock that another agent holds. Return the id of the command."""
    [id] = await agent.send({"op": "lock", "name": name, "wait": wait})
    assert isinstance(id, int)
    return id


async def ask_to_release(page: Page, name: str) -> Locator:
    """Open the dialog that releases a lock by force."""
    await page.get_by_role("button", name=f"release the lock {name}").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_be_visible()
    return dialog


async def test_a_lock_is_shown_with_its_holder_token_age_and_countdown(page: Page, join: Join, ns: str) -> None:
    await mark_page(page)
    await open_section(page, "Locks")
    agent = await join(agent="holder")
    lock = await agent.ask("lock", names=["shop", "till"], ttl=13)
    row = held(page, lock["token"])
    await expect(row).to_contain_text("shop, till")
    await expect(row).to_contain_text("holder")
    await expect(row).to_contain_text(ns)
    await expect(row.locator(".c-token")).to_have_attribute("title", f"token {lock['token']}")
    await expect(row.locator(".c-age")).to_have_text(re.compile(r"^([1-9]|1\d) s$"))
    await expect(row.locator(".left")).to_have_text(re.compile(r"^[1-9]\.\d s$"))
    await agent.ask("renew", token=lock["token"], ttl=60)
    await expect(row.locator(".left")).to_have_text(re.compile(r"^5\d s$"))
    await agent.ask("unlock", token=lock["token"])
    await expect(row).to_have_count(0)
    await expect_not_reloaded(page)


async def test_the_queue_of_a_lock_is_in_the_order_of_the_requests(page: Page, join: Join) -> None:
    holder, one, two, three = [await join(agent=name) for name in ("holder", "one", "two", "three")]
    lock = await holder.ask("lock", name="desk", ttl=60)
    await request_lock(two, "desk")
    await request_lock(one, "desk", wait=50)
    third = await request_lock(three, "desk")
    await open_section(page, "Locks")
    rows = queue(page, lock["token"])
    await expect(rows.locator(".c-agent")).to_have_text(["two", "one", "three"])
    await expect(rows.locator(".place")).to_have_text(["1.", "2.", "3."])
    await expect(rows.nth(0)).to_contain_text("no deadline")
    await expect(rows.nth(1).locator(".left")).to_contain_text("s")

    await three.ask("cancel", target=third)
    await expect(rows).to_have_count(2)
    await holder.ask("unlock", token=lock["token"])
    await expect(page.get_by_test_id("locks").locator("[data-waiter]")).to_have_count(1)
    await expect(page.get_by_test_id("locks").locator(":not([data-waiter]) > .c-agent")).to_have_text("two")


async def test_a_forced_release_needs_a_reason_and_the_holder_receives_it(page: Page, join: Join) -> None:
    holder, heir = await join(agent="stuck"), await join(agent="heir")
    lock = await holder.ask("lock", name="press", ttl=60)
    waiting = await request_lock(heir, "press")
    await open_section(page, "Locks")
    dialog = await ask_to_release(page, "press that stuck holds")
    await expect(dialog).to_contain_text("stuck has held this lock for")
    await expect(dialog).to_contain_text("the hub refuses writes with this lock's token")
    await expect(dialog).to_contain_text("heir is first in the queue")

    await dialog.get_by_role("button", name="Release").click()
    await expect(dialog.get_by_role("alert")).to_have_text("Give a reason: the holder receives it.")
    assert (await heir.ask("locks", pattern="press"))["locks"][0]["agent"] == "stuck"

    await dialog.get_by_label("Reason").fill("it hangs since lunch")
    await dialog.get_by_role("button", name="Release").click()
    await expect(dialog).to_be_hidden()
    granted = await heir.ok(waiting)
    await expect(page.get_by_test_id("released")).to_have_text(
        "press was released: stuck lost it and receives your reason. Now held by heir."
    )
    await expect(held(page, granted["token"])).to_contain_text("heir")
    await expect(events(page, "unlock", "press")).to_contain_text("forced")
    await holder.ask("ping")
    [loss] = holder.lost
    assert (loss["token"], loss["reason"]) == (lock["token"], "forced")
    assert "it hangs since lunch" in loss["message"]
    refused = await holder.refusal("set", key="page:1", value="late", guard={"token": lock["token"]})
    assert refused.error["code"] == "not_holder"


async def test_a_forced_release_of_a_lock_that_has_ended_releases_nothing(page: Page, join: Join) -> None:
    holder, heir = await join(agent="quick"), await join(agent="heir")
    lock = await holder.ask("lock", name="brush", ttl=60)
    await open_section(page, "Locks")
    dialog = await ask_to_release(page, "brush")
    await holder.ask("unlock", token=lock["token"])
    mine = await heir.ask("lock", name="brush", ttl=60)
    await expect(dialog).to_contain_text("quick no longer holds this lock")
    await dialog.get_by_label("Reason").fill("too slow")
    await dialog.get_by_label("Reason").press("Enter")
    await expect(dialog.get_by_role("alert")).to_have_text("The lock has ended meanwhile: nothing was released.")
    await page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()
    await expect(held(page, mine["token"])).to_be_visible()
    assert holder.lost == heir.lost == []


async def test_locks_are_reached_and_released_by_keyboard(page: Page, join: Join) -> None:
    agent = await join(agent="holder")
    for name in ("first", "second"):
        await agent.ask("lock", name=name, ttl=60)
    await open_section(page, "Locks")
    await expect(page.get_by_test_id("locks").locator("[data-token]")).to_have_count(2)
    await page.keyboard.press("/")
    await expect(page.get_by_test_id("filter-locks")).to_be_focused()
    await page.get_by_test_id("locks").focus()
    for name in ("first", "second"):
        await page.keyboard.press("ArrowDown")
        await expect(page.get_by_role("button", name=f"follow the lock {name}")).to_be_focused()
    await page.keyboard.press("ArrowRight")
    button = page.get_by_role("button", name="release the lock second")
    await expect(button).to_be_focused()
    await page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_label("Reason")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()
    await expect(button).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(dialog.get_by_label("Reason")).to_be_focused()
    await page.keyboard.type("by hand")
    await page.keyboard.press("Enter")
    await expect(button).to_have_count(0)
    await expect(page.get_by_test_id("released")).to_contain_text("No agent holds it now.")


async def test_an_agents_locks_and_waits_are_shown(page: Page, join: Join) -> None:
    rich, other = await join(agent="rich"), await join(agent="other")
    for name in ("car", "boat"):
        await rich.ask("lock", name=name, ttl=60)
    await other.ask("lock", name="bike", ttl=60)
    await request_lock(other, "boat")
    await page.get_by_role("button", name="2 locks held by rich").click()
    await expect(page.get_by_test_id("locks-count")).to_have_text("2 of 3, 1 waiting")
    await page.get_by_role("button", name="1 wait of other").click()
    waits = page.get_by_test_id("waits")
    await expect(waits.locator('[data-agent="other"]').first).to_contain_text("to lock boat")
    await page.locator(".panel.waits").get_by_role("button", name="Show all").click()
    await open_section(page, "Locks")
    await page.get_by_test_id("filter-locks").fill("b*")
    await expect(page.get_by_test_id("locks-count")).to_contain_text("2 of 3")


async def test_events_of_locks_can_be_filtered_and_a_lock_followed(page: Page, join: Join) -> None:
    agent, other = await join(agent="holder"), await join(agent="other")
    gate = await agent.ask("lock", name="gate", ttl=60)
    await other.ask("lock", name="door", ttl=60)
    waiting = await request_lock(other, "gate")
    for type in ("lock", "queue"):
        await expect(events(page, type, "gate")).to_have_count(1)
    await page.locator("#types").get_by_role("button", name="queue").click()
    await expect(events(page, "queue", "gate")).to_have_count(0)
    await page.locator("#types").get_by_role("button", name="queue").click()

    await open_section(page, "Locks")
    await page.get_by_role("button", name="follow the lock gate").click()
    await expect(page.get_by_test_id("followed")).to_contain_text("Following the lock gate")
    await agent.ask("renew", token=gate["token"])
    await agent.ask("unlock", token=gate["token"])
    await other.ok(waiting)
    await other.ask("set", key="gate", value="open")
    rows = page.get_by_test_id("events").locator("[data-key]")
    await expect(events(page, "lock", "gate")).to_have_count(2)
    for type in ("renew", "unlock"):
        await expect(events(page, type, "gate")).to_have_count(1)
    await expect(events(page, "set", "gate")).to_have_count(0)
    await expect(events(page, "lock", "door")).to_have_count(0)
    await rows.first.get_by_role("button", name="gate").click()
    await expect(page.get_by_test_id("filter-locks")).to_have_value("gate")


async def test_after_a_reconnect_the_current_locks_are_shown(page: Page, relay: Relay, join: Join) -> None:
    await mark_page(page)
    await open_section(page, "Locks")
    agent = await join(agent="holder")
    before = await agent.ask("lock", name="before", ttl=60)
    await expect(held(page, before["token"])).to_be_visible()

    cut_off(relay)
    await expect(page.get_by_test_id("conn-state")).to_contain_text("reconnecting")
    await expect(held(page, before["token"])).to_be_visible()
    await agent.ask("unlock", token=before["token"])
    after = await agent.ask("lock", name="after", ttl=60)
    restore(relay)
    await expect(held(page, after["token"])).to_be_visible()
    await expect(held(page, before["token"])).to_have_count(0)
    await expect(events(page, "unlock", "before")).to_have_count(1)
    await expect_not_reloaded(page)
