"""The screen of `waggle top`: takes one sample after another, and draws itself in any size.

From top to bottom: the hub, its figures, the most frequent commands and the agents, and the latest events in the
room that is left. On a wide screen parts stand side by side. Everything is drawn as lines, each cut to the width, so
that the height is the number of lines. This module does not ask the hub.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple

from rich.cells import set_cell_size
from rich.text import Text

from waggle import Event, Statistics
from waggle.cli.output.event_lines import TYPE_COLOURS, event_detail
from waggle.cli.output.format import amount, byte_size, count_of, duration, milliseconds, time_of_day, truncate, visible
from waggle.cli.output.tables import GAP, agent_row, aligned_line

if TYPE_CHECKING:
    from waggle.cli.top.command import Sample

__all__ = ["TopScreen", "sparkline"]

BARS = "▁▂▃▄▅▆▇█"
SPARKLINE_SAMPLES = 16
"""Samples in a sparkline."""
WIDE_COLUMNS = 110
"""Columns from which parts stand side by side."""
TALL_LINES = 32
"""Lines from which the lists are longer."""
MAX_DETAIL_CHARS = 300
"""Characters kept of the detail of an event."""


class Column(NamedTuple):
    """A column: its name, its width (0: the room that is left), and whether it holds numbers."""

    name: str
    width: int = 0
    number: bool = False


COMMANDS = (
    Column("COMMAND", 12), Column("PER S", 7, True), Column("COUNT", 11, True), Column("REFUSED", 7, True),
    Column("MEAN", 9, True),
)  # fmt: skip
AGENTS = (Column("AGENT", 16), Column("ROLE", 10), Column("STATE", 5), Column("FOR", 7), Column("STATUS"))
EVENTS = (Column("TIME", 12), Column("EVENT", 7), Column("NAMESPACE", 10), Column("KEY"), Column("BY", 18))
COMMANDS_WIDTH = sum(column.width for column in COMMANDS) + len(GAP) * len(COMMANDS)


class TopScreen:
    """The samples so far, drawn as a screen."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._now: Statistics | None = None
        self._before: Statistics | None = None
        self._agents: list[list[str]] = []
        self._events: deque[list[str]] = deque(maxlen=200)
        self._command_rates: deque[float] = deque(maxlen=SPARKLINE_SAMPLES)
        self._event_rates: deque[float] = deque(maxlen=SPARKLINE_SAMPLES)
        self._answered = True

    def update(self, sample: Sample | None) -> None:
        """Take a new sample; None if the hub did not answer."""
        self._answered = sample is not None
        if sample is None:
            return
        same = self._now is not None and self._now.started_at == sample.stats.started_at
        self._before, self._now = self._now if same else None, sample.stats
        self._agents = [agent_row(entry, sample.stats.at) for entry in sample.agents]
        self._events.extend(map(_event_row, sample.events))
        self._command_rates.append(sample.stats.rates.commands)
        self._event_rates.append(sample.stats.rates.events)

    def render(self, width: int, height: int) -> Text:
        """Return the screen, at most that large."""
        if self._now is None:
            return Text("waiting for the hub ...")
        wide = width >= WIDE_COLUMNS
        listed = 6 if height >= TALL_LINES or wide else 4
        lines = [self._head(self._now, width), Text(), *_figures(self._numbers(self._now), 3 if wide else 2, width)]
        commands = _table(COMMANDS, _busiest(self._now, self._before)[:listed], width)
        room = width - COMMANDS_WIDTH if wide else width
        agents = _table(AGENTS, self._agents[:listed], room)
        lines += [Text(), *(_side_by_side(commands, agents) if wide else [*commands, Text(), *agents])]
        free_lines = height - len(lines) - 3
        if free_lines > 0:
            latest = [*self._events][-free_lines:][::-1]
            lines += [Text(), *_colour_types(_table(EVENTS, latest, width), [row[1] for row in latest])]
        for line in lines:
            line.truncate(width)
        return Text("\n", no_wrap=True).join(lines[: max(1, height - 1)])

    def _head(self, now: Statistics, width: int) -> Text:
        title = f"waggle top  {visible(self._url)}  up {duration(now.at - now.started_at)}  {visible(now.durability)}"
        state = f"{time_of_day(now.at)[:-4]}  q ends" if self._answered else "THE HUB DOES NOT ANSWER"
        line = Text(set_cell_size(title, max(0, width - len(state) - 2)) + GAP, style="bold")
        return line.append(state, style="dim" if self._answered else "red")

    def _numbers(self, now: Statistics) -> list[tuple[str, str]]:
        rates, log = now.rates, now.log
        return [
            ("commands/s", f"{amount(rates.commands):>7}  {sparkline(self._command_rates)}"),
            ("events/s", f"{amount(rates.events):>7}  {sparkline(self._event_rates)}"),
            ("changes/s", f"{amount(rates.revisions):>7}"),
            ("sends/s", f"{amount(rates.sends):>7}"),
            ("connections", f"{amount(now.connections)}, {amount(now.slow)} slow"),
            ("sessions", f"{amount(now.sessions)}, {count_of(now.subscriptions, 'subscription')}"),
            ("locks", f"{amount(now.locks)}, {amount(now.waits)} wait"),
            ("memory", byte_size(now.memory)),
            ("keys", f"{amount(now.keys)} of {amount(now.max_keys)}"),
            ("values", f"{byte_size(now.bytes)} of {byte_size(now.max_bytes)}"),
            ("expiries", f"{amount(now.expiries)}, late {milliseconds(now.lateness.p99)} at p99"),
            ("log", f"{count_of(log.events, 'event')}, {byte_size(log.bytes)}"),
        ]


def sparkline(series: Iterable[float]) -> str:
    """Return numbers as bars; the greatest is full."""
    numbers = list(series)
    top = max(numbers, default=0.0) or 1.0
    return "".join(BARS[min(len(BARS) - 1, int(number / top * len(BARS)))] for number in numbers)


# --- rows --------------------------------------------------------------------------------------------------------


def _busiest(now: Statistics, before: Statistics | None) -> list[list[str]]:
    """Return rows of the commands most asked since the sample before, or since the hub started."""
    seconds = now.at - before.at if before is not None else 0.0

    def rate(op: str) -> float:
        known = before.ops.get(op) if before is not None else None
        return (now.ops[op].count - (known.count if known else 0)) / seconds if seconds > 0 else 0.0

    def row(op: str) -> list[str]:
        count = now.ops[op]
        rated = amount(rate(op)) if seconds > 0 else ""
        return [visible(op), rated, amount(count.count), amount(count.errors), milliseconds(count.mean)]

    return [row(op) for op in sorted(now.ops, key=lambda op: (-rate(op), -now.ops[op].count, op))]


def _event_row(event: Event) -> list[str]:
    more = event_detail(event)
    key = visible(event.key) + (f"  {truncate(more, MAX_DETAIL_CHARS)}" if more else "")
    return [time_of_day(event.at), event.type, visible(event.ns), key, visible(event.by)]


# --- lines -------------------------------------------------------------------------------------------------------


def _table(columns: Sequence[Column], rows: Iterable[Sequence[str]], width: int) -> list[Text]:
    """Return a heading and a line for each row."""
    rest = max(8, width - sum(column.width for column in columns) - len(GAP) * (len(columns) - 1))
    widths = [column.width or rest for column in columns]
    numbers = [place for place, column in enumerate(columns) if column.number]
    heading = Text(aligned_line([column.name for column in columns], widths, numbers), style="bold")
    return [heading, *(Text(aligned_line(row, widths, numbers)) for row in rows)]


def _figures(figures: Sequence[tuple[str, str]], columns: int, width: int) -> list[Text]:
    """Return figures below each other, in several columns."""
    each = (width + len(GAP)) // columns - len(GAP)
    rows = -(-len(figures) // columns)
    lines = []
    for row in range(rows):
        line = Text()
        for name, figure in figures[row::rows]:
            line.append(f"{name:<12} ", style="dim").append(set_cell_size(figure, max(0, each - 13)) + GAP)
        lines.append(line)
    return lines


def _side_by_side(left: Sequence[Text], right: Sequence[Text]) -> list[Text]:
    lines = []
    for first, second in zip_longest(left, right, fillvalue=Text()):
        lines.append(Text().append(first).append(" " * (COMMANDS_WIDTH - first.cell_len)).append(second))
    return lines


def _colour_types(lines: list[Text], types: Sequence[str]) -> list[Text]:
    """Return the lines of events with the type in its colour; the first line is the heading."""
    begin = EVENTS[0].width + len(GAP)
    for line, kind in zip(lines[1:], types, strict=True):
        line.stylize(TYPE_COLOURS.get(kind, ""), begin, begin + EVENTS[1].width)
    return lines
