"""What the tests of the page share: the browser, a proxy that can be shut, and ways to find things on the page."""

from __future__ import annotations

import asyncio
import os
import shutil
from functools import partial

import pytest_asyncio
from playwright.async_api import Locator, Page, expect

from tests.e2e.hubs import HubProcess

SECONDS = 1000.0
"""Playwright counts milliseconds."""
PATIENCE = 15 * SECONDS
expect.set_options(timeout=PATIENCE)
ARGUMENTS = ["--no-sandbox", "--disable-quic", "--disable-background-networking", "--disable-gpu"]

fixture = partial(pytest_asyncio.fixture, loop_scope="session")
"""Makes a fixture that uses the browser: it runs in the event loop of the browser, which a worker starts once."""


def chromium() -> str | None:
    """Where the browser is, None if there is none."""
    chosen = os.environ.get("WAGGLE_CHROMIUM")
    places = [chosen] if chosen else ["/usr/bin/chromium", "chromium", "chromium-browser", "google-chrome"]
    return next((found for place in places if (found := shutil.which(place))), None)


class SwitchableProxy:
    """A port of loopback before a hub."""

    def __init__(self, hub: HubProcess) -> None:
        self.hub = hub
        self.url = ""
        self._server: asyncio.Server | None = None
        self._ways: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, port: int = 0) -> None:
        self._server = await asyncio.start_server(self._enter, "127.0.0.1", port)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def shut(self) -> None:
        """Cut every connection, and refuse new ones."""
        assert self._server is not None
        self._server.close()
        self.cut()
        await self._server.wait_closed()
        await asyncio.gather(*self._tasks)

    async def open_again(self) -> None:
        """Let in again, at the same port."""
        await self.open(int(self.url.rpartition(":")[2]))

    def cut(self) -> None:
        """Break every connection, as a network does."""
        for way in self._ways:
            way.transport.abort()

    async def _enter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self.hub.port)
        except OSError:
            writer.transport.abort()
            return
        self._ways |= {writer, inner_writer}
        for source, sink in ((reader, inner_writer), (inner_reader, writer)):
            task = asyncio.create_task(self._carry(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
        except OSError:
            pass
        finally:
            self._ways.discard(sink)
            sink.close()


def key_row(page: Page, key: str) -> Locator:
    return page.get_by_test_id("keys").locator(f'[data-key="{key}"]')


def events(page: Page, type: str, key: str) -> Locator:
    return page.get_by_test_id("events").locator(f'[data-type="{type}"][data-key="{key}"]')


async def never_reloaded(page: Page) -> None:
    """Marks the page; `still_the_same` says whether it is still that one."""
    await page.evaluate("() => { window.mark = 1 }")


async def still_the_same(page: Page) -> None:
    assert await page.evaluate("() => window.mark") == 1, "the page was loaded anew"


async def choose_namespace(page: Page, ns: str) -> None:
    """Show the keys of one namespace only, and wait until they are there: a click would miss rows that move."""
    await page.get_by_test_id("namespace").select_option(ns)
    await expect(page.get_by_test_id("keys-count")).to_contain_text(" of ")


async def show_keys_as(page: Page, name: str) -> None:
    """Show keys as "tree", "list" or "next to expire"."""
    await page.get_by_role("group", name="Show keys as").get_by_role("button", name=name).click()


async def look_at(page: Page, key: str) -> Locator:
    """Open an entry; its panel."""
    await key_row(page, key).first.click()
    entry = page.get_by_test_id("entry")
    await expect(page.get_by_test_id("entry-key")).to_have_text(key)
    return entry


async def open_place(page: Page, name: str) -> None:
    """Show "Keys", "Locks" or "Waits"."""
    await page.get_by_role("navigation", name="Views").get_by_role("button", name=name).click()
