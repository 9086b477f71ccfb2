"""Helpers for the tests of the dashboard: the browser, cutting the connection, finding elements."""

from __future__ import annotations

import os
import shutil
from functools import partial

import pytest_asyncio
from playwright.async_api import Locator, Page, expect

from tests.e2e.relay import Relay

EXPECT_TIMEOUT_MS = 15_000.0
expect.set_options(timeout=EXPECT_TIMEOUT_MS)
CHROMIUM_ARGUMENTS = ["--no-sandbox", "--disable-quic", "--disable-background-networking", "--disable-gpu"]

fixture = partial(pytest_asyncio.fixture, loop_scope="session")
"""Make a fixture that uses the browser. It runs in the event loop of the browser, which each worker starts once."""


def chromium() -> str | None:
    """Return the path of the browser, None if there is none."""
    chosen = os.environ.get("WAGGLE_CHROMIUM")
    places = [chosen] if chosen else ["/usr/bin/chromium", "chromium", "chromium-browser", "google-chrome"]
    return next((path for place in places if (path := shutil.which(place))), None)


def cut_off(relay: Relay) -> None:
    """Cut every connection to the hub, and refuse new ones."""
    relay.refusing = True
    relay.cut()


def restore(relay: Relay) -> None:
    """Accept connections to the hub again."""
    relay.refusing = False


def key_row(page: Page, key: str) -> Locator:
    """Return the rows of a key."""
    return page.get_by_test_id("keys").locator(f'[data-key="{key}"]')


def events(page: Page, type: str, key: str) -> Locator:
    """Return the rows of the events of this type and key."""
    return page.get_by_test_id("events").locator(f'[data-type="{type}"][data-key="{key}"]')


async def mark_page(page: Page) -> None:
    """Mark the page, so that `expect_not_reloaded` can find out whether it was reloaded."""
    await page.evaluate("() => { window.mark = 1 }")


async def expect_not_reloaded(page: Page) -> None:
    """Fail if the page was reloaded since `mark_page`."""
    assert await page.evaluate("() => window.mark") == 1, "the page was reloaded"


async def choose_namespace(page: Page, ns: str) -> None:
    """Show the keys of one namespace only, and wait for them: a click would miss rows that still move."""
    await page.get_by_test_id("namespace").select_option(ns)
    await expect(page.get_by_test_id("keys-count")).to_contain_text(" of ")


async def show_keys_as(page: Page, name: str) -> None:
    """Show keys as "tree", "list" or "next to expire"."""
    await page.get_by_role("group", name="Show keys as").get_by_role("button", name=name).click()


async def open_entry(page: Page, key: str) -> Locator:
    """Open an entry. Return its panel."""
    await key_row(page, key).first.click()
    entry = page.get_by_test_id("entry")
    await expect(page.get_by_test_id("entry-key")).to_have_text(key)
    return entry


async def open_section(page: Page, name: str) -> None:
    """Show the section "Keys", "Locks" or "Waits"."""
    await page.get_by_role("navigation", name="Views").get_by_role("button", name=name).click()
