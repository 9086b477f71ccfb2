"""Makes the images of docs/dashboard.md: the sample crew at work at a hub, and other agents with locks and waits.

    .venv/bin/python -m tests.tools.dashboard_images

It takes a minute, most of which the crew works, and needs Chromium as the tests of the dashboard do.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, async_playwright, expect

from tests.e2e.dashboard.browsing import CHROMIUM_ARGUMENTS, chromium, open_entry, open_section
from tests.e2e.hubs import HubProcess
from tests.e2e.wire import Wire
from waggle.examples.crew import SERVICES

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
ROLES = [["researcher"], ["tester"], *(["builder", "--service", service] for service in SERVICES)]
AGENTS = {
    "architect": "architect", "deployer": "deploy", "fixer": "builder", "migrator": "database", "reviewer": "review",
    "writer": "docs",
}  # fmt: skip
"""The names and the roles of the agents beside the crew."""
CREW_WORKS_S = 40.0
WIDE, PHONE = (1440, 900), (390, 844)


async def main() -> None:
    hub = HubProcess()
    environment = {**os.environ, "WAGGLE_URL": hub.url}
    command = [sys.executable, "-m", "waggle.examples.crew"]
    crew = [subprocess.Popen([*command, *role, "--speed", "4"], env=environment) for role in ROLES]
    try:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_ARGUMENTS)
            light, dark = [await open_dashboard(browser, hub, scheme, WIDE) for scheme in ("light", "dark")]
            phones = [await open_dashboard(browser, hub, scheme, PHONE) for scheme in ("light", "dark")]
            wires = await add_agents(hub)
            await asyncio.sleep(CREW_WORKS_S)
            await take_images(light, dark, phones)
            for wire in wires:
                await wire.close()
            await browser.close()
    finally:
        for member in crew:
            member.terminate()
            member.wait()
        hub.stop()
        hub.close()


async def open_dashboard(browser: Browser, hub: HubProcess, scheme: Any, size: tuple[int, int]) -> Page:
    width, height = size
    page = await browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    await page.goto(hub.url)
    await expect(page.get_by_test_id("conn-state")).to_have_text("connected")
    return page


async def add_agents(hub: HubProcess) -> list[Wire]:
    """Connect the agents beside the crew, and let them hold locks and wait. Return their connections."""
    wires = {}
    for name, role in AGENTS.items():
        wires[name] = await Wire.connect(hub.ws)
        await wires[name].hello(agent=name, meta={"role": role})
    architect, deployer, fixer = wires["architect"], wires["deployer"], wires["fixer"]
    migrator, reviewer, writer = wires["migrator"], wires["reviewer"], wires["writer"]
    plan = {"build": 1, "services": ["user", "order"], "owner": "architect"}
    await architect.ask("set", key="plan", value=plan, kind="versioned")
    plan |= {"build": 2, "services": ["user", "order", "product"], "reviewed": True}
    await architect.ask("set", key="plan", value=plan, kind="versioned")
    await architect.ask("status", status="watching the crew")
    await migrator.ask("status", status="migrating the schema")
    await migrator.ask("lock", names=["schema", "table:users"], ttl=150)
    await reviewer.ask("lock", name="repo:main", ttl=90)
    await writer.ask("lock", name="handbook", mode="shared", ttl=300)
    await architect.ask("lock", name="handbook", mode="shared", ttl=240)
    await deployer.ask("lock", pattern="deploy/*", ttl=600)
    await fixer.send({"op": "lock", "names": ["table:users", "table:orders"], "wait": None})
    await fixer.send({"op": "take", "patterns": ["question:*"], "timeout": None})
    await reviewer.send({"op": "lock", "name": "schema", "wait": 180})
    await migrator.send({"op": "lock", "name": "handbook", "wait": 240})
    await deployer.send({"op": "lock", "name": "repo:main", "wait": None})
    conditions = [
        {"key": "build/1/tests/result"},
        {"key": "approval", "where": {"pointer": "/by", "value": "reviewer"}},
        {"key": "repo:main", "unlocked": True},
        {"key": "freeze", "absent": True},
    ]
    await deployer.send({"op": "wait", "all": conditions, "timeout": 1200})
    return list(wires.values())


async def take_images(light: Page, dark: Page, phones: list[Page]) -> None:
    await save(light, "light")
    await save(dark, "dark")
    for page in (light, dark):
        await page.get_by_test_id("filter-keys").fill("plan")
        await open_entry(page, "plan")
    await save(light, "entry-light")
    await dark.get_by_test_id("entry").get_by_role("button", name="history", exact=True).click()
    await save(dark, "history-dark")
    for page, scheme in ((light, "light"), (dark, "dark")):
        await open_section(page, "Locks")
        await save(page, f"locks-{scheme}")
    await open_section(light, "Waits")
    await save(light, "waits-light")
    for page, scheme in zip(phones, ("light", "dark"), strict=True):
        await save(page, f"phone-{scheme}")


async def save(page: Page, name: str) -> None:
    await asyncio.sleep(0.5)  # transitions of the page end meanwhile
    await page.screenshot(path=IMAGES / f"dashboard-{name}.png")


if __name__ == "__main__":
    asyncio.run(main())
