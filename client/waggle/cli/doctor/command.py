"""The command `doctor`: proves each door of a hub by using it, and says what is wrong. What is done is in `checks`."""

from __future__ import annotations

import secrets
import time
from contextlib import suppress

import typer

from waggle import WaggleError, connect
from waggle.cli.doctor.checks import CHECK_TIMEOUT_S, CHECKS, NS, Check, CheckFailed, Target
from waggle.cli.output.format import milliseconds, to_json, visible
from waggle.cli.shared.connect import describe, exit_error, run_until_signal
from waggle.cli.shared.options import Options, shared

__all__ = ["doctor"]


@shared(ns=False)
def doctor(options: Options) -> None:
    """Use each door of the hub once: WebSocket, HTTP, events, MCP, the page. Exit code 1 if one of them fails.

    What is written for that is in the namespace waggle-doctor, and deleted.
    """
    patient = Target(options.url, options.token, f"doctor:{secrets.token_hex(4)}")
    failed = 0

    async def work() -> None:
        nonlocal failed
        await _require_hub(patient)
        for check in CHECKS:
            failed += await _run_check(check, patient, options.json)
        with suppress(WaggleError):  # it goes by itself, too
            async with connect(patient.url, ns=NS, token=patient.token, connect_timeout=CHECK_TIMEOUT_S) as hub:
                await hub.delete(patient.key)

    ended_by = run_until_signal(work())
    if ended_by is not None:
        raise typer.Exit(128 + ended_by)
    raise typer.Exit(1 if failed else 0)


async def _require_hub(patient: Target) -> None:
    """Exit with an error if there is no hub at all: then nothing else needs to be said."""
    try:
        async with connect(patient.url, ns=NS, token=patient.token, connect_timeout=CHECK_TIMEOUT_S / 2) as hub:
            await hub.ping()
    except WaggleError as error:
        exit_error(describe(error))


async def _run_check(check: Check, patient: Target, json: bool) -> bool:
    """Make a check and tell of it; whether it failed."""
    began = time.perf_counter()
    wrong = None
    try:
        await check.use(patient)
    except (CheckFailed, WaggleError, OSError, ValueError) as fault:
        wrong = visible(f"{fault}") or type(fault).__name__
    seconds = time.perf_counter() - began
    took = milliseconds(seconds) if seconds < 1 else f"{seconds:.1f} s"
    if json:
        print(to_json({"door": check.name, "ok": wrong is None, **({"wrong": wrong} if wrong else {"took": took})}))
    elif wrong is None:
        print(f"ok    {check.name:<15} {took}", flush=True)
    else:
        print(f"FAIL  {check.name:<15} {wrong}\n      {check.remedy}", flush=True)
    return wrong is not None
