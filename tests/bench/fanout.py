"""Fan-out: 500 subscribers hear 200 events that are published at once, and 20 a second.

The hub is asked twice: to `publish` a message, as Redis does, and to `set` a key, which is stored and logged first.
"""

from __future__ import annotations

from contextlib import ExitStack

from .arena import Arena, Server
from .helper import Helper, start_helper
from .machine import Cpu
from .report import Goal, Result, Spread, Table, lowest_highest, middle, ms, percent, ratio

MEMBERS = 500
EVENTS = 200
PAYLOAD = 100
RATE = 20.0
_REDIS = "redis PUBLISH"


class Tally:
    """What the rounds of one contestant gave."""

    def __init__(self, label: str, how: str, server: Server, crowd: Helper) -> None:
        self.label = label
        self.how = how
        self.server = server
        self.crowd = crowd
        self.rates: list[float] = []
        self.bytes = 0.0
        self.shares: list[float] = []
        """The CPU share of the crowd in each round."""
        self.costs: list[float] = []
        """The CPU time of the server for each delivery, in each round."""
        self.taken: list[float] = []

    def burst(self) -> None:
        cpu = Cpu(self.server.pid)
        found = self.crowd.ask(do="burst", how=self.how, events=EVENTS)
        self.rates.append(MEMBERS * EVENTS / found["seconds"])
        self.bytes = found["bytes"]
        self.shares.append(found["cpu"])
        self.costs.append(cpu.seconds()[0] / MEMBERS / EVENTS)

    def steady(self, events: int) -> None:
        cpu = Cpu(self.crowd.pid, self.server.pid)
        self.taken += self.crowd.ask(do="steady", how=self.how, events=events, rate=RATE)["taken"]
        self.shares.append(cpu.shares()[0])
        self.costs.append(cpu.seconds()[1] / MEMBERS / events)

    def cpu(self) -> list[str]:
        return [percent(middle(self.shares)), f"{middle(self.costs) * 1e6:.2f} µs"]

    def forget(self) -> None:
        """Begin another measurement."""
        for values in (self.rates, self.shares, self.costs, self.taken):
            values.clear()


async def run(arena: Arena) -> Result:
    with ExitStack() as stack:
        crowds = {
            server.kind: stack.enter_context(start_helper("crowd", server, members=MEMBERS, payload=PAYLOAD))
            for server in arena.servers
        }
        tallies = [
            Tally("hub publish", "publish", arena.hub, crowds["hub"]),
            Tally("hub set", "set", arena.hub, crowds["hub"]),
        ]
        if arena.redis is not None:
            tallies.append(Tally(_REDIS, "publish", arena.redis, crowds["redis"]))
        for tally in tallies:
            tally.burst()
            tally.forget()
        result = Result()
        _at_once(arena, tallies, result)
        _steadily(arena, tallies, result)
    return result


def _at_once(arena: Arena, tallies: list[Tally], result: Result) -> None:
    for number in range(arena.scale(15, 5)):
        for tally in tallies if number % 2 == 0 else reversed(tallies):
            tally.burst()
    rates = {tally.label: middle(tally.rates) for tally in tallies}
    table = Table(
        f"Fan-out: {MEMBERS} subscribers, {EVENTS} events at once",
        [
            "",
            "deliveries/s",
            "in millions",
            "to Redis",
            "bytes a delivery",
            "CPU of the crowd",
            "server CPU a delivery",
        ],
    )
    for tally in tallies:
        rate = rates[tally.label]
        spread = lowest_highest(tally.rates, 1e6, "{:.2f}")
        row = [tally.label, f"{rate:,.0f}", spread, ratio(rate, rates.get(_REDIS)), f"{tally.bytes:.0f}"]
        table.rows.append([*row, *tally.cpu()])
        tally.forget()
    table.notes.append(
        f"A payload of {PAYLOAD} bytes. The crowd is a process of its own that counts events without reading them; the "
        "server is the bottleneck while the crowd is below 100 %. Above 1 is faster than Redis."
    )
    result.tables.append(table)
    result.figures["at once"] = rates
    redis = rates.get(_REDIS)
    times = rates["hub publish"] / redis if redis else None
    result.goals.append(
        Goal(
            f"{MEMBERS} subscribers, {EVENTS} events at once",
            "2 times redis-server",
            f"{rates['hub publish'] / 1e6:.2f} M/s" + (f", {times:.2f} times" if times else ""),
            None if times is None else times >= 2,
        )
    )


def _steadily(arena: Arena, tallies: list[Tally], result: Result) -> None:
    for number in range(arena.scale(3, 1)):
        for tally in tallies if number % 2 == 0 else reversed(tallies):
            tally.steady(arena.scale(40, 20))
    spreads = {tally.label: Spread.of(tally.taken) for tally in tallies}
    redis = spreads.get(_REDIS)
    table = Table(
        f"Fan-out: {MEMBERS} subscribers, {RATE:.0f} events a second",
        ["", "p50 delivery", "p99", "to Redis", "CPU of the crowd", "server CPU a delivery"],
    )
    for tally in tallies:
        spread = spreads[tally.label]
        to_redis = ratio(spread.p50, redis.p50 if redis else None)
        table.rows.append([tally.label, ms(spread.p50), ms(spread.p99), to_redis, *tally.cpu()])
    table.notes.append("From publishing to the arrival at each of them; below 1 is faster than Redis.")
    result.tables.append(table)
    result.figures["steady"] = {label: spread.figures() for label, spread in spreads.items()}
    ours = spreads["hub publish"].p50
    result.goals.append(
        Goal(
            f"{MEMBERS} subscribers, {RATE:.0f} events/s, p50 delivery",
            "at most 1.0 of redis-server",
            ms(ours) + (f", {ours / redis.p50:.2f}" if redis else ""),
            None if redis is None else ours <= redis.p50,
        )
    )
