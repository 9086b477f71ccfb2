"""How tests of the command line run `waggle`, and another agent at the same hub."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import waggle.sync
from tests.e2e.cli.shell import Completed, Shell, environment, run_here, run_process
from tests.e2e.hubs import HubProcess


@pytest.fixture
def env(hub: HubProcess, ns: str) -> dict[str, str]:
    return environment(WAGGLE_URL=hub.url, WAGGLE_NS=ns)


@pytest.fixture
def shell(env: dict[str, str]) -> Shell:
    """Runs `waggle` with these arguments to its end, within the process of the test."""

    def run(*args: str, stdin: str = "", **variables: str) -> Completed:
        return run_here({**env, **variables}, args, stdin)

    return run


@pytest.fixture
def process(env: dict[str, str]) -> Shell:
    """Runs `waggle` in a process of its own: for commands that start programs or become another one."""

    def run(*args: str, stdin: str = "", **variables: str) -> Completed:
        return run_process({**env, **variables}, args, stdin)

    return run


@pytest.fixture
def agent(hub: HubProcess, ns: str) -> Iterator[waggle.sync.Hub]:
    """Another agent, by the Python client."""
    with waggle.sync.connect(hub.url, agent=f"other-{ns}", ns=ns) as connected:
        yield connected
