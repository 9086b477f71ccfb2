"""The command `demo`. The demos are in `catalog`; `launcher` starts them."""

from __future__ import annotations

from typing import Annotated

import typer

from waggle import WaggleError
from waggle.cli.shared.connect import ERROR, exit_error, exit_output_closed, notify, run_until_signal

__all__ = ["demo"]


def demo(
    name: Annotated[str, typer.Argument(help="The demo; --list lists them.", show_default=False)] = "crew",
    list_: Annotated[bool, typer.Option("--list", help="List the demos.")] = False,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any free one.")] = 4483,
    once: Annotated[bool, typer.Option("--once/--keep", help="End after one build, or go on until Ctrl-C.")] = False,
    speed: Annotated[float, typer.Option("--speed", min=0.1, metavar="X", help="Run X times as fast.")] = 1.0,
    yes: Annotated[bool, typer.Option("--yes", help="Answer all questions with yes.")] = False,
) -> None:
    """Start a hub and a crew of sample agents that work through one build after another, or run an example.

    Each agent is a process of its own. The agents meet only in the hub, in a namespace of their own ("demo",
    "demo-NAME"), and none of them polls. A hub that already runs on the port is used. An example ends by itself;
    Ctrl-C stops all that was started here.
    """
    from waggle.cli.demo.catalog import demo_titles, find_demo  # here: no other command needs to import it
    from waggle.cli.demo.launcher import DemoError, run_demo

    if list_:
        for title in demo_titles():
            print("\t".join(title))
        return
    try:
        chosen = find_demo(name, once=once, speed=speed)
    except KeyError:
        exit_error(f"there is no demo {name!r}: it is one of {', '.join(name for name, _ in demo_titles())}.")
    try:
        if run_until_signal(run_demo(chosen, port, yes)):
            print("\nStopped: all agents have ended.", flush=True)
    except BrokenPipeError:
        exit_output_closed()
    except (DemoError, WaggleError) as error:
        notify(str(error))
        raise typer.Exit(ERROR) from None
