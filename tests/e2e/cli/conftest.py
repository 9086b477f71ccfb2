"""A shell to run `waggle` in, and somebody else at the same hub."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

import waggle.sync
from tests.e2e.cli.shell import WAGGLE, Shell, environment
from tests.e2e.hubs import HubProcess


@pytest.fixture
def env(hub: HubProcess, ns: str) -> dict[str, str]:
    return environment(WAGGLE_URL=hub.url, WAGGLE_NS=ns)


@pytest.fixture
def shell(env: dict[str, str]) -> Shell:
    """Runs `waggle` with these arguments to its end."""

    def run(*args: str, stdin: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [WAGGLE, *args], input=stdin, env={**env, **variables}, capture_output=True, text=True, timeout=60
        )

    return run


@pytest.fixture
def agent(hub: HubProcess, ns: str) -> Iterator[waggle.sync.Hub]:
    """Another agent, by the Python client."""
    with waggle.sync.connect(hub.url, agent=f"other-{ns}", ns=ns) as connected:
        yield connected
