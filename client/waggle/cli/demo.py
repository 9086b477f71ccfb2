"""The command `demo`: see it work. What it starts is in `stage`, what it tells in `story`."""

from __future__ import annotations

from typing import Annotated

import typer

from waggle import WaggleError
from waggle.cli.visit import ERROR, run, say, unread

__all__ = ["demo"]


def demo(
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any free one.")] = 4483,
    once: Annotated[bool, typer.Option("--once/--keep", help="End after one build, or go on until Ctrl-C.")] = False,
    speed: Annotated[float, typer.Option("--speed", min=0.1, metavar="X", help="So many times as fast.")] = 1.0,
) -> None:
    """Start a hub and a crew of sample agents that work through one build after another.

    A researcher, three builders and a tester, each a process of its own, meet only in the hub, in the namespace
    "demo"; none of them polls. A hub that runs on the port already is used. Ctrl-C stops all that was started here.
    """
    from waggle.cli.stage import CannotGoOnError, play  # what no other command needs to import

    try:
        if run(play(port, once, speed)):
            print("\nStopped; everybody has gone home.", flush=True)
    except BrokenPipeError:
        unread()
    except (CannotGoOnError, WaggleError) as error:
        say(str(error))
        raise typer.Exit(ERROR) from None
