"""The command `take`: run a program for a job that no other worker has."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Annotated

import msgspec
import typer

from waggle import Hub, Job, LockLost, TimedOut
from waggle.cli.process.child import check_runnable, run_program
from waggle.cli.process.event_handler import MAX_VARIABLE_BYTES
from waggle.cli.process.run_while_held import lock_environment, run_while_held
from waggle.cli.process.stay_connected import HubStatus
from waggle.cli.shared import completion
from waggle.cli.shared.connect import exit_no, notify, run_with_hub
from waggle.cli.shared.options import FOREVER, OnLoss, Options, get_program, parse_time, parse_timeout, shared

__all__ = ["job_variables", "take"]

MIN_PAUSE_S, MAX_PAUSE_S = 1.0, 60.0
"""The pause after a failed job, doubled after each failure: without it, the same job would come again at once."""
SIGNAL_EXIT_CODES = {128 + number: number for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}


@shared
def take(
    options: Options,
    ctx: typer.Context,
    patterns: Annotated[
        list[str],
        typer.Argument(
            metavar="PATTERN",
            show_default=False,
            help="Quote them against the shell.",
            autocompletion=completion.keys,
        ),
    ],
    lease: Annotated[
        float,
        typer.Option(
            "--lease", parser=parse_time, metavar="TIME", help="It ends after this time if it cannot be renewed."
        ),
    ] = 30.0,
    timeout: Annotated[
        str | None,
        typer.Option("--timeout", metavar="TIME", help="Wait for a job this time, or forever; else not at all."),
    ] = None,
    max_deliveries: Annotated[
        int | None,
        typer.Option("--max-deliveries", metavar="N", min=1, help="A job that was taken N times goes to $dead."),
    ] = None,
    loop: Annotated[
        bool, typer.Option("--loop", help="One job after another, until none comes within --timeout; else for ever.")
    ] = False,
    on_loss: Annotated[
        OnLoss, typer.Option("--on-loss", help="End CMD if the job is lost, or only tell you.")
    ] = OnLoss.kill,
) -> None:
    """Take the oldest entry that matches and that no other worker has, and run CMD for it. Exit code 1 if there is
    none.

    CMD gets the entry as JSON on standard input, and the variables WAGGLE_KEY, WAGGLE_VALUE and WAGGLE_DELIVERY (how
    often it was taken). Exit code 0 of CMD means that the job is done, and the entry is deleted; after any other
    code the job is given back for another worker. The exit code of this command is that of CMD. WAGGLE_LOCK_TOKEN is
    as with waggle lock. Signals go to CMD.
    """
    command = get_program(
        ctx, "waggle take 'job:*' -- sh -c 'do-it \"$WAGGLE_KEY\"'. A job ends with who has taken it."
    )
    wait_s = parse_timeout(timeout or (FOREVER if loop else "0"), "--timeout")
    check_runnable(command)
    code = 0

    async def work(hub: Hub) -> None:
        nonlocal code
        worker = Worker(hub, options, command, on_loss)

        async def run_next() -> int:
            return await worker.run_job(
                hub.take(*patterns, ns=options.ns, lease=lease, timeout=wait_s, max_deliveries=max_deliveries)
            )

        try:
            code = await (_work_in_a_loop(worker, run_next) if loop else run_next())
        except TimedOut as error:
            if error.details.get("unanswered"):
                raise
            if not worker.taken:
                exit_no(f"nothing to take: no free entry{options.within} matches" + _within(wait_s))

    run_with_hub(options, work, on_state=HubStatus())
    raise typer.Exit(code)


class Worker:
    """Runs the program for one job after another."""

    def __init__(self, hub: Hub, options: Options, command: list[str], on_loss: OnLoss) -> None:
        self._hub, self._options, self._command, self._on_loss = hub, options, command, on_loss
        self.taken = 0
        self.signals: list[signal.Signals] = []
        """The signals passed on to a running program: they end the loop, too."""

    async def run_job(self, job: Job) -> int:
        """Take a job, run the program for it, and return its exit code. Raises TimedOut if there is no job."""
        return await run_while_held(job, self._run, self._on_loss, ignored_loss="released")

    async def _run(self, job: Job, stop: asyncio.Event) -> int:
        self.taken += 1
        code = await run_program(
            self._command,
            {**lock_environment(self._options, self._hub, job.token), **job_variables(job)},
            stop,
            stdin=msgspec.json.encode(job.entry),
            on_signal=self._on_signal,
        )
        if code and job.lost is None:
            with suppress(LockLost):
                await job.give_back()
            notify(f"{job.key}: given back, because the command ended with code {code}")
        return code

    def _on_signal(self, number: signal.Signals) -> None:
        if 128 + number in SIGNAL_EXIT_CODES:
            self.signals.append(number)


async def _work_in_a_loop(worker: Worker, run_next: Callable[[], Awaitable[int]]) -> int:
    """Take jobs until a signal comes, and return its exit code. Raises TimedOut if no job comes in time."""
    pause = MIN_PAUSE_S
    while True:
        code = await run_next()
        if worker.signals:
            return 128 + worker.signals[0]
        if code in SIGNAL_EXIT_CODES:
            return code  # Ctrl-C at a terminal reaches only the program
        if code:
            await asyncio.sleep(pause)
        pause = min(2 * pause, MAX_PAUSE_S) if code else MIN_PAUSE_S


def job_variables(job: Job) -> dict[str, str]:
    """Return the environment variables for a job: key, delivery, and value as JSON unless it is too long."""
    value = msgspec.json.encode(job.value)
    known = {"WAGGLE_KEY": job.key, "WAGGLE_DELIVERY": f"{job.delivery}"}
    return known if len(value) > MAX_VARIABLE_BYTES else {**known, "WAGGLE_VALUE": value.decode()}


def _within(wait_s: float | None) -> str:
    return f", not within {wait_s:g} s" if wait_s else ""
