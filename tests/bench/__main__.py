"""`python -m tests.bench [--quick] [--only NAME] [--json FILE]`: measure, and print tables for docs/performance.md."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from . import expiry, fanout, handoff, journal, locks, million, page, sets
from .arena import Arena, arena, redis_py_version, redis_version
from .machine import Watch, describe
from .report import Goal, Result, goals_table

SCENARIOS: dict[str, Callable[[Arena], Awaitable[Result]]] = {
    "sets": sets.run,
    "handoff": handoff.run,
    "locks": locks.run,
    "fanout": fanout.run,
    "million": million.run,
    "expiry": expiry.run,
    "journal": journal.run,
    "page": page.run,
}


def main() -> int:
    args = _parser().parse_args()
    if not sys.platform.startswith("linux"):
        print("bench: reads /proc, so it runs on Linux only", file=sys.stderr)
        return 2
    machine = describe(redis_version(), redis_py_version())
    for name, words in machine.items():
        print(f"* {name}: {words}")
    print(f"* Load before the run: {os.getloadavg()[0]:.2f}\n", flush=True)
    watch, started = Watch(), time.monotonic()
    report: dict[str, Any] = {"machine": machine, "quick": args.quick, "scenarios": {}}
    goals: list[Goal] = []
    with arena(args.quick) as field:
        for name in args.only or SCENARIOS:
            result = _run(SCENARIOS[name], field)
            report["scenarios"][name] = result.figures
            goals += result.goals
            for table in result.tables:
                print(table.markdown(), flush=True)
    report["goals"] = [{"what": goal.what, "measured": goal.measured, "met": goal.met} for goal in goals]
    report["others"] = watch.others()
    print(goals_table(goals))
    print(f"{time.monotonic() - started:.0f} s. Others took {report['others'] * 100:.0f} % of the machine meanwhile.")
    if args.json is not None:
        args.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


def _run(scenario: Callable[[Arena], Awaitable[Result]], field: Arena) -> Result:
    async def run() -> Result:
        return await scenario(field)

    try:
        import uvloop
    except ImportError:
        return asyncio.run(run())
    return uvloop.run(run())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure the hub beside its rivals.")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and keys: under 40 s, and rougher")
    parser.add_argument("--only", action="append", choices=list(SCENARIOS), metavar="NAME", help=", ".join(SCENARIOS))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    return parser


if __name__ == "__main__":
    sys.exit(main())
