"""The command `doctor`: use each door of a hub once, and say what is wrong. The checks are in `checks`."""

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
    """Use each door of the hub once: WebSocket, HTTP, events, MCP, the dashboard. Exit code 1 if one of them fails.

    The entries for that are in the namespace waggle-doctor, and are deleted.
    """
    target = Target(options.url, options.token, f"doctor:{secrets.token_hex(4)}")
    failed = 0

    async def work() -> None:
        nonlocal failed
        await _require_hub(target)
        for check in CHECKS:
            failed += await _run_check(check, target, options.json)
        with suppress(WaggleError):  # it expires by itself, too
            async with connect(target.url, ns=NS, token=target.token, connect_timeout=CHECK_TIMEOUT_S) as hub:
                await hub.delete(target.key)

    ended_by = run_until_signal(work())
    if ended_by is not None:
        raise typer.Exit(128 + ended_by)
    raise typer.Exit(1 if failed else 0)


async def _require_hub(target: Target) -> None:
    """Exit with an error if no hub answers at all: then the checks would only repeat that."""
    try:
        async with connect(target.url, ns=NS, token=target.token, connect_timeout=CHECK_TIMEOUT_S / 2) as hub:
            await hub.ping()
    except WaggleError as error:
        exit_error(describe(error))


async def _run_check(check: Check, target: Target, json: bool) -> bool:
    """Run a check and print its result. Returns whether it failed."""
    began = time.perf_counter()
    failure = None
    try:
        await check.use(target)
    except (CheckFailed, WaggleError, OSError, ValueError) as error:
        failure = visible(f"{error}") or type(error).__name__
    seconds = time.perf_counter() - began
    took = milliseconds(seconds) if seconds < 1 else f"{seconds:.1f} s"
    if json:
        print(
            to_json({"door": check.name, "ok": failure is None, **({"wrong": failure} if failure else {"took": took})})
        )
    elif failure is None:
        print(f"ok    {check.name:<15} {took}", flush=True)
    else:
        print(f"FAIL  {check.name:<15} {failure}\n      {check.remedy}", flush=True)
    return failure is not None
