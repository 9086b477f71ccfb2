"""The command `serve`: become a hub.

The client never imports the hub: it may not be installed. So this looks whether it is, and hands over to it, options
and all; what they are is the hub's to say.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence

import typer

from waggle.cli.shared.connect import fail

__all__ = ["NEEDED", "SERVE", "missing", "need_hub", "serve"]

NEEDED = ("waggle_hub", "sortedcontainers", "starlette", "uvicorn", "httptools")
"""The hub and what it cannot do without."""

SERVE = (sys.executable, "-P", "-m", "waggle_hub")
"""What starts a hub. ``-P``: whatever lies in the current directory is none of the hub's modules."""


def serve(ctx: typer.Context) -> None:
    """Start a hub, and say where it is; --help tells its options."""
    need_hub()
    sys.stdout.flush()
    os.execv(SERVE[0], [*SERVE, *ctx.args])


def need_hub() -> None:
    """Exit with an error if the hub is not installed."""
    if absent := missing(NEEDED):
        fail(f"the hub is not installed here ({', '.join(absent)} missing): pip install 'wagglehub[hub]'")


def missing(needed: Sequence[str]) -> list[str]:
    """Which of these packages are not installed."""
    return [name for name in needed if importlib.util.find_spec(name) is None]
