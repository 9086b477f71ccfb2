"""The output of a command: a full disk, a reader that has gone, and a closed standard output."""

from __future__ import annotations

import subprocess

import pytest

import waggle.sync
from tests.e2e.cli.shell import WAGGLE

pytestmark = pytest.mark.e2e

COMMANDS = [("list",), ("list", "--json"), ("--help",), ("mcp", "--show")]


def run(env: dict[str, str], redirected: str, *args: str, buffered: bool) -> subprocess.CompletedProcess[str]:
    """Run `waggle` with these arguments, its output redirected as a shell would."""
    command = ["sh", "-c", f'exec "$@" {redirected}', "sh", WAGGLE, *args]
    kept = {**env, "PYTHONUNBUFFERED": "" if buffered else "1"}
    return subprocess.run(command, env=kept, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("buffered", [True, False], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("args", COMMANDS, ids=" ".join)
def test_output_that_cannot_be_written_is_an_error_and_no_traceback(
    env: dict[str, str], agent: waggle.sync.Hub, args: tuple[str, ...], buffered: bool
) -> None:
    agent.set("k", 1)  # an empty list would write nothing
    result = run(env, ">/dev/full", *args, buffered=buffered)
    assert result.returncode == 2
    assert result.stderr.startswith("waggle: the output cannot be written (")
    assert len(result.stderr.splitlines()) == 1
    assert run(env, ">/dev/full 2>&1", *args, buffered=buffered).returncode == 2


@pytest.mark.parametrize("args", COMMANDS, ids=" ".join)
def test_output_to_a_closed_standard_output_is_no_error(env: dict[str, str], args: tuple[str, ...]) -> None:
    result = run(env, ">&-", *args, buffered=True)
    assert (result.returncode, result.stderr) == (0, "")
