"""The engine: clock -> machine -> journal -> fan-out, one command at a time."""

from __future__ import annotations

from .engine import Engine

__all__ = ["Engine"]
