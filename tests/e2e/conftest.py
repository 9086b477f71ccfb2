"""Fixtures of end-to-end tests: hubs in processes of their own, and agents that speak the wire raw."""

from __future__ import annotations

import itertools
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.hubs import HubProcess, StartHub
from tests.e2e.wire import Join, Wire

_numbers = itertools.count(1)


JOURNALS: dict[str, list[str]] = {
    "memory": [],
    "relaxed": ["--durability", "relaxed"],
    "full": ["--durability", "full"],
}
"""Durabilities of a hub, with their options."""
SERVERS = ("plain", "hypercorn")
"""The servers other than the hub's own one: see `tests.e2e.variant`."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Repeat a test for every journal and every server, where its markers say so.

    The name of a test does not show the variant that people run: in memory, by the hub's own server.
    """
    if "variant" not in metafunc.fixturenames:
        return
    marked = metafunc.definition.get_closest_marker
    variants = ["memory"]
    if marked("every_journal"):
        variants += ["relaxed", "full"]
    if marked("every_server"):
        variants += ["plain"] if marked("own_server") else SERVERS
    ids = [pytest.HIDDEN_PARAM, *variants[1:]]
    metafunc.parametrize("variant", variants, ids=ids, scope="module", indirect=True)


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    """Let SIGINT end the programs that tests start, also if a shell that ignores it has started the tests."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module")
def variant(request: pytest.FixtureRequest) -> str:
    """The journal or the server of the hubs of a test: a name in `JOURNALS` or `SERVERS`."""
    return str(getattr(request, "param", "memory"))


@pytest.fixture(scope="module")
def mode(variant: str) -> str:
    """The durability of the hubs of a test: a name in `JOURNALS`."""
    return variant if variant in JOURNALS else "memory"


def _factory(variant: str, directory: Path) -> Iterator[StartHub]:
    started: list[HubProcess] = []

    def start(**settings: Any) -> HubProcess:
        if JOURNALS.get(variant) and "data" not in settings:
            settings = {"data": directory / str(len(started)), "options": JOURNALS[variant], **settings}
        if variant in SERVERS:
            settings = {"server": variant, **settings}
        hub = HubProcess(**settings)
        started.append(hub)
        return hub

    yield start
    said = []
    try:
        for hub in started:
            hub.stop()
            said.append(hub.said())
    finally:
        for hub in started:
            hub.process.kill()
            hub.close()
    assert not any(said), f"a hub complained: {''.join(said)[:4000]}"


@pytest.fixture
def start_hub(variant: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartHub]:
    """Starts a hub: `start_hub(limits={...}, bounds={...})`. All are stopped at the end of the test."""
    yield from _factory(variant, tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def start_shared_hub(variant: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartHub]:
    """The same for hubs that all tests of a module share."""
    yield from _factory(variant, tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def hub(start_shared_hub: StartHub) -> HubProcess:
    """A hub as it comes, shared by the tests of a module: use `ns` to keep apart."""
    return start_shared_hub()


@pytest.fixture
def ns() -> str:
    """A namespace that no other test uses."""
    return f"test-{next(_numbers)}"


@asynccontextmanager
async def joining(hub: HubProcess, ns: str) -> AsyncIterator[Join]:
    """Connects agents, and closes their connections at the end: what the fixture `join` is."""
    wires: list[Wire] = []

    async def join(at: HubProcess | None = None, hello: bool = True, **fields: Any) -> Wire:
        wire = await Wire.connect((at or hub).ws)
        wires.append(wire)
        if hello:
            await wire.hello(**{"ns": ns, **fields})
        return wire

    yield join
    for wire in wires:
        await wire.close()


@pytest.fixture
async def join(hub: HubProcess, ns: str) -> AsyncIterator[Join]:
    """Connects an agent and says hello: `await join(agent="a")`; `at=` is another hub, `hello=False` says nothing."""
    async with joining(hub, ns) as join:
        yield join


@pytest.fixture(scope="module")
def quick_hub(start_shared_hub: StartHub) -> HubProcess:
    """A hub with a short grace, quick marks and a quick keepalive."""
    return start_shared_hub(limits={"grace": 0.5}, bounds={"mark": 0.2, "ping": 0.5})


@pytest.fixture(scope="module")
def small_hub(start_shared_hub: StartHub) -> HubProcess:
    """A hub that remembers 60 events and looks at 50 keys in one go."""
    return start_shared_hub(limits={"log_events": 60, "scan": 50, "clear": 10, "outcomes": 20, "page_bytes": 10_000})
