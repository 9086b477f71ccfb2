"""Programs that run while something is held: signals, and how they end."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest
import typer

from waggle.cli.process.child import check_runnable, run_program


async def run(*command: str, stop: asyncio.Event | None = None, stdin: bytes | None = None) -> int:
    return await run_program(command, {"SAID": "yes"}, stop or asyncio.Event(), stdin=stdin)


async def until(path: Path) -> str:
    async with asyncio.timeout(20):
        while not (path.exists() and path.read_text().endswith("\n")):
            await asyncio.sleep(0.01)
    return path.read_text()


async def test_its_exit_code_is_as_shells_count() -> None:
    assert await run("sh", "-c", "exit 7") == 7
    assert await run("sh", "-c", "kill -KILL $$") == 128 + signal.SIGKILL


async def test_a_program_has_its_variables_and_its_input() -> None:
    assert await run("sh", "-c", 'test "$SAID" = yes && test "$(cat)" = input', stdin=b"input") == 0
    assert await run("true", stdin=b"x" * 5_000_000) == 0


@pytest.mark.parametrize(("name", "code"), [("no-such-program-at-all", 127), ("./none", 127), ("/etc/passwd", 126)])
async def test_a_program_that_cannot_be_run_gives_the_exit_code_of_shells(
    name: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as before:
        check_runnable([name])
    with pytest.raises(typer.Exit) as then:
        await run(name)
    assert (before.value.exit_code, then.value.exit_code) == (code, code)
    assert capsys.readouterr().err.count(name) == 2


async def test_told_to_stop_all_that_it_has_started_ends(tmp_path: Path) -> None:
    stop, out = asyncio.Event(), tmp_path / "pid"
    script = f"trap 'exit 9' TERM; (trap '' TERM; echo $$ > {out}; sleep 60) & echo begun; while :; do sleep 0.1; done"
    running = asyncio.ensure_future(run("sh", "-c", script, stop=stop))
    await until(out)
    stop.set()
    assert await running == 9


async def test_cancelled_it_ends_the_program(tmp_path: Path) -> None:
    out = tmp_path / "pid"
    running = asyncio.ensure_future(run("sh", "-c", f"echo $$ > {out}; exec sleep 60"))
    pid = int(await until(out))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
async def test_a_signal_is_the_program_s_and_it_decides(number: signal.Signals, tmp_path: Path) -> None:
    out = tmp_path / "ready"
    heard: list[signal.Signals] = []
    before = signal.getsignal(number)
    script = f"trap 'exit 5' {number.name[3:]}; echo ready > {out}; while :; do sleep 0.05; done"
    running = asyncio.ensure_future(run_program(["sh", "-c", script], {}, asyncio.Event(), on_signal=heard.append))
    await until(out)
    os.kill(os.getpid(), number)
    assert await running == 5
    assert heard == [number]
    assert signal.getsignal(number) in (before, signal.SIG_DFL, signal.default_int_handler)
    signal.signal(number, before)
