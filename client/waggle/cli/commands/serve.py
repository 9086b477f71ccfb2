"""The command `serve`: replace this process by a hub.

The client never imports the hub, which may not be installed. So this module checks the hub's packages, and then
executes the hub with all options; the hub defines them.
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
"""The hub's package and the packages that it needs."""

HUB_COMMAND = (sys.executable, "-P", "-m", "waggle_hub")
"""The command line that starts a hub. ``-P``: a module in the current directory must not replace one of the hub's."""


def serve(ctx: typer.Context) -> None:
    """Start a hub, and print its address; --help lists its options."""
    require_hub()
    sys.stdout.flush()
    os.execv(HUB_COMMAND[0], [*HUB_COMMAND, *ctx.args])


def require_hub() -> None:
    """Exit with an error if the hub is not installed."""
    if absent := missing_packages(HUB_PACKAGES):
        exit_error(f"the hub is not installed here ({', '.join(absent)} missing): pip install 'wagglehub[hub]'")


def missing_packages(needed: Sequence[str]) -> list[str]:
    """Return which of these packages are not installed."""
    return [name for name in needed if importlib.util.find_spec(name) is None]
