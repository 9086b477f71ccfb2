"""Programs that a command runs in front of the person: they end when it does."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from waggle.cli.process.processes import run_to_end


async def test_its_exit_code_is_as_shells_count() -> None:
    assert await run_to_end(["sh", "-c", "exit 7"]) == 7
    assert await run_to_end(["sh", "-c", "kill -TERM $$"]) == 128 + signal.SIGTERM


async def test_a_program_that_there_is_not_is_an_os_error() -> None:
    with pytest.raises(FileNotFoundError):
        await run_to_end(["no-such-program-at-all"])


@pytest.mark.parametrize("stdin", [None, b"input"])
async def test_cancelled_it_ends_the_program(stdin: bytes | None, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    running = asyncio.ensure_future(run_to_end(["sh", "-c", f"echo $$ > {pid}; exec sleep 60"], stdin=stdin))
    await _until(pid)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


async def test_children_of_a_program_with_input_end_with_it(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    running = asyncio.ensure_future(run_to_end(["sh", "-c", f"sleep 60 & echo $! > {pid}; wait; true"], stdin=b""))
    await _until(pid)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    stat = Path(f"/proc/{pid.read_text().strip()}/stat")
    assert not stat.exists() or stat.read_text().split()[2] == "Z"


async def _until(path: Path) -> None:
    async with asyncio.timeout(20):
        while not (path.exists() and path.read_text().endswith("\n")):
            await asyncio.sleep(0.01)
