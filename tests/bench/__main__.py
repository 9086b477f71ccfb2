"""`python -m tests.bench [--quick] [--only NAME] [--write]`: measure the hub beside its rivals."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from . import goals, publishing, runner, tables
from .results import Report
from .workloads import WORKLOADS


def main() -> int:
    args = _parser().parse_args()
    if not sys.platform.startswith("linux"):
        print("bench: reads /proc, so it runs on Linux only", file=sys.stderr)
        return 2
    if args.again:
        return _again()
    names = args.only or list(WORKLOADS)
    try:
        report = _run(names, args.quick)
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("bench: stopped; nothing was written", file=sys.stderr)
        return 130
    except RuntimeError as failure:
        print(f"bench: {failure}", file=sys.stderr)
        return 2
    print(tables.machine_markdown(report))
    print(tables.goals_markdown([goal for goal in report.goals if goal.met is not None or not args.only]))
    if args.json is not None:
        args.json.write_text(publishing.to_json(report))
    if args.write or not (args.only or args.quick):
        publishing.publish(report if not args.only else _beside(report))
        print("Written:", ", ".join(path.name for path in (*publishing.PAGES, publishing.IMAGES)))
    return 1 if any(result.missing for result in report.results.values()) else 0


def _run(names: list[str], quick: bool) -> Report:
    import uvloop

    return uvloop.run(runner.run(names, quick))


def _beside(report: Report) -> Report:
    """The report that is published, with what was measured now in place of the same, which it says."""
    before = publishing.stored()
    if before is None:
        return report
    before.results |= report.results
    before.machine["Measured again"] = f"{', '.join(report.results)} ({report.at}), after the run"
    before.goals = goals.verdicts(before)
    return before


def _again() -> int:
    report = publishing.stored()
    if report is None:
        print("bench: there is no report to write again: run it first", file=sys.stderr)
        return 2
    report.goals = goals.verdicts(report)
    publishing.publish(report)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure the hub beside its rivals.")
    parser.add_argument("--quick", action="store_true", help="less of everything: about 3 minutes, and rougher")
    parser.add_argument("--only", action="append", choices=list(WORKLOADS), metavar="NAME", help=", ".join(WORKLOADS))
    parser.add_argument("--write", action="store_true", help="write the page also after --quick or --only")
    parser.add_argument("--again", action="store_true", help="write the page from the figures kept, measure nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
