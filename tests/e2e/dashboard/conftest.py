"""Fixtures for the tests of the dashboard: a real browser and a real hub.

The dashboard reaches the hub through a relay, which a test can cut, or turn to another hub.

A worker starts the browser once, so all of these tests and their fixtures share an event loop. Each page has a browser
context of its own, which ends with the page: it shares no storage with another page.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, Request, async_playwright, expect

from tests.e2e.conftest import joining
from tests.e2e.dashboard.browsing import CHROMIUM_ARGUMENTS, chromium, fixture
from tests.e2e.hubs import HubProcess
from tests.e2e.relay import Relay
from tests.e2e.wire import Join


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests of this folder in the event loop of the browser."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@fixture
async def join(hub: HubProcess, ns: str) -> AsyncIterator[Join]:
    """The fixture of all end-to-end tests, in the event loop of the browser."""
    async with joining(hub, ns) as join:
        yield join


@fixture
async def relay(hub: HubProcess) -> AsyncIterator[Relay]:
    """A relay to the hub that the tests share."""
    async with Relay(hub.port) as relay:
        yield relay


@fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        path = chromium()
        if path is None:  # without a browser nothing is tested, so the tests must not pass
            pytest.fail("no Chromium: apt-get install chromium, or set WAGGLE_CHROMIUM", pytrace=False)
        browser = await playwright.chromium.launch(executable_path=path, args=CHROMIUM_ARGUMENTS)
        yield browser
        await browser.close()


@fixture
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
