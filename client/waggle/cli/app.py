"""The commands of `waggle`, in the order in which the help lists them."""

from __future__ import annotations

from typing import Annotated

import typer

from waggle.cli.agents import agents
from waggle.cli.demo import demo
from waggle.cli.keys import delete, get, list_, set_
from waggle.cli.serve import serve
from waggle.cli.watch import watch
from waggle.version import __version__

__all__ = ["app"]

app = typer.Typer(
    name="waggle",
    add_completion=False,
    rich_markup_mode=None,  # plain help: half the lines, and no 60 ms to import what draws the boxes
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def waggle(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Waggle: the hub where AI agents that work on the same thing find each other.

    \b
      waggle serve    start a hub: agents connect to it, you watch them in a browser
      waggle demo     the same with a crew of sample agents, to see it work

    The other commands talk to a hub: the one at WAGGLE_URL, else at http://127.0.0.1:4483.

    Exit codes: 0 done, 1 a plain "no" (absent, out of time), 2 an error.
    """
    if version:
        print(f"waggle {__version__}")
    elif ctx.invoked_subcommand is None:
        print(ctx.get_help())


app.command(
    "serve",
    short_help="Start a hub; --help tells its options.",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
)(serve)
app.command("demo", short_help="Start a hub and a crew of sample agents.")(demo)
app.command("get", short_help="Print the value of a key.")(get)
app.command("set", short_help="Write a value under a key.")(set_)
app.command("delete", short_help="Delete a key.")(delete)
app.command("list", short_help="List the entries whose key matches a pattern.")(list_)
app.command("watch", short_help="Print each event as it happens.")(watch)
app.command("agents", short_help="List the agents that are here.")(agents)
