"""Times as people type them: seconds, or a number with a unit, such as ``500ms``, ``30s``, ``10m``, ``12h`` or ``7d``.

The options of the hub and of the command line read them alike.
"""

from __future__ import annotations

import re

__all__ = ["parse_duration"]

_DURATION = re.compile(r"((?:\d+\.?\d*|\.\d+)(?:e[+-]?\d{1,2})?)(ms|s|m|h|d|)", re.ASCII).fullmatch
_SECONDS = {"ms": 0.001, "s": 1, "": 1, "m": 60, "h": 3_600, "d": 86_400}
"""Seconds in each unit of time."""


def parse_duration(text: str) -> float:
    """Return the seconds of a time, 0 or more. Raises ValueError for any other text."""
    match = _DURATION(text)
    if match is None:
        raise ValueError(f"{text!r} is not a time: 500ms, 30s, 10m, 12h, 7d")
    return float(match[1]) * _SECONDS[match[2]]
