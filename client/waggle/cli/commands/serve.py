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

from waggle.cli.shared.connect import exit_error

__all__ = ["HUB_COMMAND", "HUB_PACKAGES", "missing_packages", "require_hub", "serve"]

HUB_PACKAGES = ("waggle_hub", "sortedcontainers", "starlette", "uvicorn", "httptools")
"""The hub and what it cannot do without."""

HUB_COMMAND = (sys.executable, "-P", "-m", "waggle_hub")
"""What starts a hub. ``-P``: whatever lies in the current directory is none of the hub's modules."""


def serve(ctx: typer.Context) -> None:
    """Start a hub, and say where it is; --help tells its options."""
    require_hub()
    sys.stdout.flush()
    os.execv(HUB_COMMAND[0], [*HUB_COMMAND, *ctx.args])


def require_hub() -> None:
    """Exit with an error if the hub is not installed."""
    if absent := missing_packages(HUB_PACKAGES):
        exit_error(f"the hub is not installed here ({', '.join(absent)} missing): pip install 'wagglehub[hub]'")


def missing_packages(needed: Sequence[str]) -> list[str]:
    """Which of these packages are not installed."""
    return [name for name in needed if importlib.util.find_spec(name) is None]
