"""The commands about the hub itself: ping, stats, namespaces."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

import msgspec

from waggle import Hub, Statistics
from waggle.cli.output.format import amount, byte_size, duration, milliseconds, time_of_day, to_json, visible
from waggle.cli.output.tables import Rows, tab_line
from waggle.cli.shared.connect import run_with_hub
from waggle.cli.shared.options import Options, shared

__all__ = ["figure_rows", "namespaces", "op_rows", "ping", "stats"]


@shared(ns=False)
def ping(options: Options) -> None:
    """Print whether the hub answers, its version and revision, and how long the answer took."""

    async def work(hub: Hub) -> None:
        began = time.perf_counter()
        pong = await hub.ping()
        took = time.perf_counter() - began
        version = hub.welcome.hub.version
        if options.json:
            print(to_json({"rev": pong.rev, "at": pong.at, "version": version, "seconds": took}))
        else:
            print(f"{visible(options.url)}: {milliseconds(took)}, version {visible(version)}, rev {pong.rev}")

    run_with_hub(options, work)


@shared(ns=False)
def namespaces(options: Options) -> None:
    """List the namespaces that have keys, with the number of their keys and bytes."""

    async def work(hub: Hub) -> None:
        found = await hub.namespaces()
        if options.json:
            sys.stdout.writelines(f"{to_json(namespace)}\n" for namespace in found)
            return
        shown = byte_size if sys.stdout.isatty() else str
        rows = Rows(("NAMESPACE", "KEYS", "BYTES"), wide=0, numbers=(1, 2))
        rows.print([[visible(namespace.ns), f"{namespace.keys}", shown(namespace.bytes)] for namespace in found])

    run_with_hub(options, work)


# --- stats -------------------------------------------------------------------------------------------------------


@shared(ns=False)
def stats(options: Options) -> None:
    """Print what the hub holds, and what it has done since it started.

    Where the output is not a terminal: a line for each figure, with its name, a tab, and the number, in bytes and
    seconds.
    """

    async def work(hub: Hub) -> None:
        now = await hub.stats()
        if options.json:
            print(to_json(now))
        elif not sys.stdout.isatty():
            sys.stdout.writelines(tab_line(row) for row in _flatten("", msgspec.to_builtins(now)))
        else:
            Rows(("HUB", visible(options.url)), wide=1).as_table(figure_rows(now))
            print()
            Rows(("COMMAND", "COUNT", "REFUSED", "MEAN TIME"), wide=0, numbers=(1, 2, 3)).as_table(op_rows(now))

    run_with_hub(options, work)


def _flatten(prefix: str, value: dict[str, Any]) -> Iterator[list[str]]:
    for name, part in value.items():
        if isinstance(part, dict):
            yield from _flatten(f"{prefix}{name}.", part)
        else:
            yield [visible(f"{prefix}{name}"), visible(str(part))]


def figure_rows(now: Statistics) -> list[list[str]]:
    """Return the figures of a hub for people: a name and a text each."""
    late, log = now.lateness, now.log
    return [
        ["up", f"{duration(now.at - now.started_at)}, since {time_of_day(now.started_at)[:-4]}"],
        ["durability", visible(now.durability)],
        ["memory", byte_size(now.memory)],
        ["keys", f"{amount(now.keys)} of {amount(now.max_keys)}"],
        ["values", f"{byte_size(now.bytes)} of {byte_size(now.max_bytes)}"],
        ["connections", f"{amount(now.connections)}, {amount(now.slow)} slow"],
        ["sessions", amount(now.sessions)],
        ["subscriptions", amount(now.subscriptions)],
        ["locks", f"{amount(now.locks)}, {amount(now.waits)} wait"],
        ["per second", f"{amount(now.rates.commands)} commands, {amount(now.rates.events)} events"],
        ["reads", f"{amount(now.reads)}, {amount(now.hits)} hits, {amount(now.misses)} misses"],
        ["writes", amount(now.writes)],
        ["events", amount(now.events)],
        ["expiries", f"{amount(now.expiries)}, late {milliseconds(late.p50)} at p50, {milliseconds(late.max)} at most"],
        ["evictions", amount(now.evictions)],
        ["log", f"{amount(log.events)} events, {byte_size(log.bytes)}, from revision {log.floor + 1} to {log.rev}"],
    ]


def op_rows(now: Statistics) -> list[list[str]]:
    """Return the commands that the hub was asked, the most frequent first."""
    by_count = sorted(now.ops.items(), key=lambda item: (-item[1].count, item[0]))
    return [[visible(op), amount(stat.count), amount(stat.errors), milliseconds(stat.mean)] for op, stat in by_count]
