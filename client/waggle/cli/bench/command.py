"""The command `bench`: the speed of a running hub, measured from here. The loads are in `loads`, the figures in
`report`.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
from typing import Annotated

import typer
from msgspec.structs import asdict

from waggle import Hub, Statistics, connect
from waggle.cli.bench.loads import BENCH_KEYS, LOADS, MAX_EVENTS, Load, Sizes, Workspace
from waggle.cli.bench.report import Figures, Scale, summarize
from waggle.cli.output.format import amount, count_of, milliseconds, to_json
from waggle.cli.output.tables import Rows
from waggle.cli.shared.connect import CONNECT_TIMEOUT_S, exit_error, notify, run_with_hub
from waggle.cli.shared.options import Options, shared

__all__ = ["bench"]

CLEAR_TIMEOUT_S = 5.0
"""Limit for clearing the namespace at the end; keys left after that expire by their ttl."""
MAX_FILL = 0.9
"""The largest share of its limits that a hub may use already: a fuller hub might evict others' cached entries."""

OnlyLoads = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="LOAD", help=f"Only this load: {', '.join(LOADS)}. Repeatable."),
]


@shared(ns=False)
def bench(
    options: Options,
    seconds: Annotated[
        float, typer.Option("--seconds", min=0.1, max=600, metavar="SECONDS", help="Duration of all loads together.")
    ] = 10.0,
    only: OnlyLoads = None,
    at_once: Annotated[int, typer.Option("--at-once", min=1, max=1000, metavar="N", help="Sets at a time.")] = 64,
    connections: Annotated[
        int, typer.Option("--connections", min=1, max=500, metavar="N", help="Connections that set.")
    ] = 50,
    subscribers: Annotated[
        int, typer.Option("--subscribers", min=1, max=500, metavar="N", help="Connections that subscribe.")
    ] = 100,
) -> None:
    """Measure the hub from here: how many operations a second, how long each takes, and how the times are spread.

    The hub may have data and agents: the keys are in a namespace of their own, which is cleared at the end. The load
    comes from one Python program; where CPU HERE is near 100 %, that program is the limit rather than the hub.
    """
    unknown = [name for name in only or () if name not in LOADS]
    if unknown:
        raise typer.BadParameter(f"--only {unknown[0]}: there is {', '.join(LOADS)}.")
    loads, sizes = [LOADS[name] for name in only or LOADS], Sizes(at_once, connections, subscribers)

    async def work(hub: Hub) -> None:
        now = await hub.stats()
        _check_room(now)
        _describe_target(options.url, hub, now)
        place = Workspace(f"bench-{secrets.token_hex(4)}", lambda: _connect_again(options))
        results: list[tuple[Figures, list[float]]] = []
        try:
            for load in loads:
                results.append(await _measure(load, place, sizes, seconds, len(loads)))
                if options.json:
                    print(to_json({"durability": hub.welcome.durability} | asdict(results[-1][0])), flush=True)
        finally:
            await _clear(hub, place.ns)
        if not options.json:
            _show(results, sizes)

    run_with_hub(options, work)


def _check_room(now: Statistics) -> None:
    if now.keys + BENCH_KEYS > now.max_keys * MAX_FILL or now.bytes > now.max_bytes * MAX_FILL:
        exit_error(
            f"the hub is nearly full ({amount(now.keys)} of {amount(now.max_keys)} keys), and might evict what others"
            " have cached: measure another one, such as that of `waggle serve --memory --port 4484`."
        )


def _describe_target(url: str, hub: Hub, now: Statistics) -> None:
    """Tell the person which hub is measured, and how many other sessions will notice."""
    notify(f"{url}, version {hub.welcome.hub.version}, durability {hub.welcome.durability}")
    if now.sessions > 1:
        notify(f"{count_of(now.sessions - 1, 'other session')} at this hub: they share its speed with this measurement")


async def _connect_again(options: Options) -> Hub:
    return await connect(
        options.url,
        agent=options.agent,
        ns="default",
        token=options.token,
        meta={"role": "cli"},
        connect_timeout=CONNECT_TIMEOUT_S,
    )


async def _measure(
    load: Load, place: Workspace, sizes: Sizes, seconds: float, parts: int
) -> tuple[Figures, list[float]]:
    times, took, cpu = await load.work(place, sizes, seconds / parts, MAX_EVENTS // parts)
    return summarize(load.name, load.what, times.taken, took, cpu), times.taken


async def _clear(hub: Hub, ns: str) -> None:
    """Delete the keys of the benchmark, even when interrupted. If the hub does not answer now, they expire."""
    try:
        async with asyncio.timeout(CLEAR_TIMEOUT_S):
            await hub.clear("*", ns=ns)
    except Exception:
        notify(f"namespace {ns} could not be cleared; its keys expire by themselves")


def _show(results: list[tuple[Figures, list[float]]], sizes: Sizes) -> None:
    """Print a row for each load; on a terminal with a picture of the times, all on one scale."""
    terminal = sys.stdout.isatty()
    scale = Scale.over([times for _, times in results])
    picture = ("HOW LONG EACH TOOK",) if terminal else ()
    rows = Rows(("LOAD", "A SECOND", "P50", "P99", "MAX", "CPU HERE", *picture), wide=0, numbers=(1, 2, 3, 4, 5))
    shown = [
        [
            LOADS[each.load].title(sizes),
            f"{each.rate:,.0f} {each.what}",
            milliseconds(each.p50),
            milliseconds(each.p99),
            milliseconds(each.max),
            f"{each.cpu:.0%}",
            *([scale.picture(times)] if terminal else []),
        ]
        for each, times in results
    ]
    rows.print([*shown, ["", "", "", "", "", "", scale.axis()]] if terminal else shown)
