"""Fixtures for the tests of the dashboard: a real browser and a real hub.

The dashboard reaches the hub through a relay, which a test can cut, or turn to another hub.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, Request, async_playwright, expect

from tests.e2e.dashboard.browsing import CHROMIUM_ARGUMENTS, chromium
from tests.e2e.hubs import HubProcess
from tests.e2e.relay import Relay


@pytest.fixture
async def relay(hub: HubProcess) -> AsyncIterator[Relay]:
    """A relay to the hub that the tests share."""
    async with Relay(hub.port) as relay:
        yield relay


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        path = chromium()
        if path is None:  # without a browser nothing is tested, so the tests must not pass
            pytest.fail("no Chromium: apt-get install chromium, or set WAGGLE_CHROMIUM", pytrace=False)
        browser = await playwright.chromium.launch(executable_path=path, args=CHROMIUM_ARGUMENTS)
        yield browser
        await browser.close()


@pytest.fixture
async def page(browser: Browser, relay: Relay) -> AsyncIterator[Page]:
    """A dashboard that is connected. It must log no error and load nothing from another server."""
    complaints: list[str] = []
    page = await browser.new_page(viewport={"width": 1440, "height": 1800})

    def on_console(message: ConsoleMessage) -> None:
        # The browser itself logs a connection that failed, and a page cannot prevent that.
        if message.type in ("error", "warning") and "WebSocket connection to" not in message.text:
            complaints.append(message.text)

    def on_request(request: Request) -> None:
        if not request.url.startswith(relay.url):
            complaints.append(f"requested {request.url}")

    page.on("console", on_console)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", on_request)
    await page.goto(relay.url)
    await expect(page.get_by_test_id("conn-state")).to_have_text("connected")
    yield page
    await page.close()
    assert complaints == []
