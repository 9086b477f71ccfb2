"""Text for values, times and sizes, for people and for programs.

Pure functions: the time and the width are arguments. Text from agents is shown so that it cannot control the
terminal. Rows and tables are in `tables`, events in `event_lines`.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime
from typing import Any

import msgspec
from msgspec import UNSET

__all__ = [
    "amount",
    "byte_size",
    "count_of",
    "duration",
    "iso_time",
    "milliseconds",
    "preview",
    "text_or_json",
    "time_left",
    "time_of_day",
    "to_json",
    "truncate",
    "visible",
]

_control_characters = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


# --- what agents wrote -------------------------------------------------------------------------------------------


def visible(text: str) -> str:
    r"""Return the text with control characters, and those that change the writing direction, as ``\u....`` (as in
    JSON)."""
    return _control_characters.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def to_json(value: Any, *, indented: bool = False) -> str:
    """Return the value as JSON: on one line, or indented for people."""
    if not indented:
        return visible(msgspec.json.encode(value).decode())
    lines = msgspec.json.format(msgspec.json.encode(value), indent=2).decode().split("\n")
    return "\n".join(map(visible, lines))


def preview(value: Any, width: int | None) -> str:
    """Return the value as JSON, cut to ``width`` characters if given; empty if there is no value."""
    return "" if value is UNSET else truncate(to_json(value), width)


def text_or_json(value: Any) -> str:
    """Return text as it is, any other value as JSON, null as nothing: for the status and role of an agent."""
    if value is None:
        return ""
    return visible(value) if isinstance(value, str) else to_json(value)


def truncate(text: str, width: int | None) -> str:
    """Return the text cut to ``width`` cells of a terminal, with ``…`` at the end if it was longer."""
    if width is None or (len(text) <= width and text.isascii()):
        return text
    room, fitting = width, 0
    for index, char in enumerate(text):
        room -= _cell_width(char)
        if room < 0:
            return text[:fitting] + "…"
        if room >= 1:
            fitting = index + 1
    return text


def _cell_width(char: str) -> int:
    """Return the number of terminal cells of a character: two for most of East Asia, none for combining ones."""
    if char.isascii():
        return 1
    return 0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1


# --- time --------------------------------------------------------------------------------------------------------


def time_left(expires_at: float | None, now: float) -> str:
    """Return the time until the deadline, in its two largest units; ``-`` without a deadline."""
    if expires_at is None:
        return "-"
    seconds = max(0.0, expires_at - now)
    if seconds < 10:
        return f"{seconds:.1f}s"
    return duration(seconds)


def duration(seconds: float) -> str:
    """Return whole seconds as ``45s``, ``3m 20s``, ``2h 5m`` or ``12d 3h``."""
    whole = int(seconds)
    for unit, smaller, size, part in (("d", "h", 86400, 3600), ("h", "m", 3600, 60), ("m", "s", 60, 1)):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size}{unit} {rest}{smaller}" if rest else f"{whole // size}{unit}"
    return f"{whole}s"


def milliseconds(seconds: float) -> str:
    """Return a short time: ``0.042 ms``, ``1.2 ms``, ``250 ms``."""
    return f"{seconds * 1000:.3g} ms"


def time_of_day(at: float) -> str:
    """Return the local time of day, to the millisecond."""
    return f"{datetime.fromtimestamp(at):%H:%M:%S.%f}"[:-3]


def iso_time(at: float) -> str:
    """Return date and time with their zone, to the millisecond: for programs."""
    return datetime.fromtimestamp(at).astimezone().isoformat(timespec="milliseconds")


# --- amounts -----------------------------------------------------------------------------------------------------


def amount(number: float) -> str:
    """Return a number: ``12``, ``1,234,567``; with one decimal below ten if it is not whole."""
    return f"{number:,.1f}" if number < 10 and number != int(number) else f"{number:,.0f}"


def count_of(number: int, what: str) -> str:
    """Return a number and its noun: ``1 session``, ``2 sessions``."""
    return f"{amount(number)} {what}{'' if number == 1 else 's'}"


def byte_size(count: float) -> str:
    """Return a number of bytes: ``512 B``, ``1.5 KiB``, ``4.0 GiB``."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:,.1f} GiB"
