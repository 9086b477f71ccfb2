"""Rows of results: a table for a person, lines with tabs for a program.

A table fits the terminal: the column ``wide`` shrinks first; the first column shrinks only beyond half of the room.
For a program no text is cut, and there is no heading.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Collection, Sequence

import typer

from waggle import Entry
from waggle.cli.output.format import duration, preview, text_or_json, time_left, truncate, visible

__all__ = ["GAP", "Rows", "agent_row", "aligned_line", "entry_row", "tab_line"]

GAP = "  "
"""The gap between the columns of a table."""
MAX_CELL_CHARS = 1000
"""Characters of a cell that are measured: no terminal is wider."""

Row = Sequence[str]


def entry_row(entry: Entry, now: float, *, values: bool = True) -> list[str]:
    """Return an entry as the columns of `waggle list`: key, value, time left, author, revision."""
    return [
        visible(entry.key),
        *([preview(entry.value, None)] if values else []),
        time_left(entry.expires_at, now),
        visible(entry.by),
        f"{entry.rev}",
    ]


def agent_row(entry: Entry, now: float) -> list[str]:
    """Return an entry of ``$agents`` as the columns of `waggle agents`: agent, role, state, for how long, status."""
    value = entry.value
    return [
        visible(entry.key),
        text_or_json((value["meta"] or {}).get("role")),
        "here" if value["connected"] else "away",
        duration(max(0.0, now - value["since"])),
        text_or_json(value["status"]),
    ]


def tab_line(row: Row) -> str:
    """Return a row for a program: tabs between the columns, no text cut."""
    return "\t".join(row) + "\n"


def aligned_line(row: Row, widths: Sequence[int], numbers: Collection[int]) -> str:
    """Return a row on one line: each cell as wide as its column, numbers to the right; cut cells end in ``…``."""
    from rich.cells import cell_len, set_cell_size

    cells = []
    for index, (cell, width) in enumerate(zip(row, widths, strict=True)):
        room = width - cell_len(cell)
        if room < 0:
            cells.append(set_cell_size(set_cell_size(cell, width - 1) + "…", width) if width else "")
        else:
            cells.append(" " * room + cell if index in numbers else cell + " " * room)
    return GAP.join(cells)


class Rows:
    """A table that prints rows as they come, under one heading. The first rows decide the widths."""

    def __init__(self, heading: Row, *, wide: int, numbers: Collection[int] = ()) -> None:
        self._heading, self._wide, self._numbers = heading, wide, numbers
        self._widths: list[int] = []
        self._room = 0

    def print(self, rows: Sequence[Row]) -> None:
        """Print more rows. The heading comes before the first, even if there are none."""
        if sys.stdout.isatty():
            self.as_table(rows)
        else:
            sys.stdout.writelines(map(tab_line, rows))

    def as_table(self, rows: Sequence[Row]) -> None:
        """Print more rows as a table, also where the output is no terminal."""
        rows = [[truncate(cell, MAX_CELL_CHARS) for cell in row] for row in rows]
        if not self._widths:
            self._room = shutil.get_terminal_size().columns
            self._widths = self._fitting(rows, self._room)
            heading = self._line(self._heading)
            print(typer.style(heading, bold=True) if sys.stdout.isatty() else heading)
        sys.stdout.writelines(f"{self._line(row)}\n" for row in rows)

    def _line(self, row: Row) -> str:
        return truncate(aligned_line(row, self._widths, self._numbers).rstrip(), self._room)

    def _fitting(self, rows: Sequence[Row], room: int) -> list[int]:
        """Return column widths with which these rows fit into ``room`` cells."""
        from rich.cells import cell_len

        wide = self._wide
        widths = [max(map(cell_len, column)) for column in zip(self._heading, *rows, strict=True)]
        room -= len(GAP) * (len(widths) - 1) + sum(widths) - (widths[wide] + widths[0] if wide else widths[0])
        if wide:
            widths[0] = max(len(self._heading[0]), min(widths[0], max(room // 2, room - widths[wide])))
            room -= widths[0]
        widths[wide] = max(len(self._heading[wide]), min(widths[wide], room))
        return widths
