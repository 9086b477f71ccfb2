"""The live page in a real browser, before a real hub.

The page reaches the hub through a proxy of the test: a port that hands bytes on to a hub, that can be cut, and
behind which the hub can be exchanged for another.

A worker starts the browser once, so all of these tests and their fixtures share an event loop. A page has a context of
its own, which ends with the page: it shares no storage with another.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, Request, async_playwright, expect

from tests.e2e.conftest import joining
from tests.e2e.hubs import HubProcess
from tests.e2e.page.browsing import ARGUMENTS, SwitchableProxy, chromium, fixture
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
async def proxy(hub: HubProcess) -> AsyncIterator[SwitchableProxy]:
    """A proxy before the hub that the tests share."""
    proxy = SwitchableProxy(hub)
    await proxy.open()
    yield proxy
    await proxy.shut()


@fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        place = chromium()
        if place is None:  # a page untested is a page broken
            pytest.fail("no Chromium: apt-get install chromium, or set WAGGLE_CHROMIUM", pytrace=False)
        browser = await playwright.chromium.launch(executable_path=place, args=ARGUMENTS)
        yield browser
        await browser.close()


@fixture
async def page(browser: Browser, proxy: SwitchableProxy) -> AsyncIterator[Page]:
    """The page, connected. It must not complain on the way, nor ask for anything from anywhere else."""
    complaints: list[str] = []
    page = await browser.new_page(viewport={"width": 1440, "height": 1800})

    def said(message: ConsoleMessage) -> None:
        # A browser logs a connection that could not be made; the page cannot keep it from that.
        if message.type in ("error", "warning") and "WebSocket connection to" not in message.text:
            complaints.append(message.text)

    def asked(request: Request) -> None:
        if not request.url.startswith(proxy.url):
            complaints.append(f"asked {request.url}")

    page.on("console", said)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", asked)
    await page.goto(proxy.url)
    await expect(page.get_by_test_id("conn-state")).to_have_text("connected")
    yield page
    await page.close()
    assert complaints == []
