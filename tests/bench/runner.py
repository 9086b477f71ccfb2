"""Runs workloads, one after another, each within its time and all within theirs, and says what was found.

A workload that fails, or takes too long, costs its own part of the report and nothing else. Whatever ends the run,
Ctrl-C and SIGTERM included, the processes and directories that it made are gone afterwards.
"""

from __future__ import annotations

import asyncio
import datetime
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

from . import goals, machine, tables
from .generator import Load, compiler
from .measurement import Measurement
from .processes import many_files
from .results import Report, Result
from .systems import SYSTEMS, System
from .workloads import WORKLOADS, Workload

TOTAL = 15 * 60.0
"""Seconds for all of it; what is not begun by then is left out."""


async def run(names: Sequence[str], quick: bool) -> Report:
    """Run these workloads. Raises RuntimeError if there is no C compiler."""
    if compiler() is None:
        raise RuntimeError("the load generator needs a C compiler: apt-get install gcc libc6-dev")
    _stop_at_sigterm()
    many_files()
    systems, missing = available()
    for each in missing:
        print(f"waggle: {each}", file=sys.stderr)
    watch = machine.Watch()
    report = Report(machine.describe(systems, missing), datetime.date.today().isoformat(), quick)
    with tempfile.TemporaryDirectory(prefix="waggle-bench-") as directory:
        measurement = Measurement(systems, Load(Path(directory)), Path(directory), quick)
        for name in names:
            report.results[name] = await measured(name, WORKLOADS[name], measurement, TOTAL - watch.elapsed)
            _tell(name, report.results[name])
    report.seconds, report.others, report.steal = watch.elapsed, watch.others(), watch.steal()
    report.goals = goals.verdicts(report)
    return report


def available() -> tuple[list[System], list[str]]:
    """The systems that are installed; and of the others, what is missing."""
    absent = {system.name: system.missing() for system in SYSTEMS}
    missing = [f"{name} (for want of {what}: sh tests/bench/needs.sh)" for name, what in absent.items() if what]
    return [system for system in SYSTEMS if not absent[system.name]], missing


async def measured(name: str, workload: Workload, measurement: Measurement, left: float) -> Result:
    """Run the workload; if it fails or takes longer than its limit or the time left, return why."""
    watch = machine.Watch()
    limit = asyncio.timeout(max(0.0, min(workload.limit, left)))
    try:
        async with limit:
            result = await workload.run(measurement)
    except Exception as failure:
        traceback.print_exc()
        why = f"it took longer than {min(workload.limit, left):.0f} s" if limit.expired() else f"{failure!r}"
        result = Result(missing=[f"{name}: {why}"])
    result.seconds, result.others = watch.elapsed, watch.others()
    return result


def _tell(name: str, result: Result) -> None:
    for table in result.tables:
        print(tables.markdown(table), flush=True)
    for each in result.missing:
        print(f"Not measured: {each}\n", flush=True)
    print(f"{name}: {result.seconds:.0f} s, others took {result.others:.0%} of the machine\n", flush=True)


def _stop_at_sigterm() -> None:
    """As at Ctrl-C: what has been started is ended first."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
