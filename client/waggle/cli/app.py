"""The commands of `waggle`, in the order in which the help lists them.

A command costs the others nothing: its module is imported when it is called, and not for the help of all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib import import_module
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from waggle.cli.shared.options import PROGRAM
from waggle.version import __version__

__all__ = ["COMMANDS", "app"]

HELP_OPTIONS = ["-h", "--help"]


class CommandSpec(NamedTuple):
    """Where a command is, and what the list of all says of it."""

    module: str
    function: str
    help: str
    own_options: bool = False
    """Whether it takes what follows as it is, --help included."""
    runs: bool = False
    """Whether it runs a program, which stands after two hyphens."""


SECTIONS = {
    "A hub": {
        "serve": CommandSpec("commands.serve", "serve", "Start a hub; --help tells its options.", own_options=True),
        "demo": CommandSpec("demo.command", "demo", "Start a hub and a crew of sample agents."),
        "ping": CommandSpec("commands.stats", "ping", "Ask whether the hub is there, and how far away."),
        "stats": CommandSpec("commands.stats", "stats", "What the hub holds and has done."),
        "top": CommandSpec("top.command", "top", "The same, live: rates, agents, latest events."),
        "bench": CommandSpec("bench.command", "bench", "Measure how fast the hub is, from here."),
        "namespaces": CommandSpec("commands.stats", "namespaces", "List the namespaces, with their keys and bytes."),
        "backup": CommandSpec("commands.backup", "backup", "Have the hub back up what it keeps on disk."),
        "restore": CommandSpec("commands.backup", "restore", "Let a backup be the data of a hub that does not run."),
        "export": CommandSpec("transfer.export", "export", "Write entries to a file, as JSON lines."),
        "import": CommandSpec("transfer.import_", "import_", "Write such a file to the hub, or an earlier system's."),
    },
    "Keys": {
        "get": CommandSpec("commands.keys", "get", "Print the value of a key."),
        "set": CommandSpec("commands.keys", "set_", "Write a value under a key."),
        "update": CommandSpec("commands.update", "update", "Change a value where it is, with nobody in between."),
        "touch": CommandSpec("commands.keys", "touch", "Give an entry a new deadline, or none."),
        "delete": CommandSpec("commands.keys", "delete", "Delete a key."),
        "list": CommandSpec("commands.list", "list_", "List the entries whose key matches a pattern."),
        "search": CommandSpec("commands.list", "search", "Find the entries with some words in them."),
        "clear": CommandSpec("commands.list", "clear", "Delete all entries whose key matches a pattern."),
        "txn": CommandSpec("commands.txn", "txn", "Several changes, all or nothing, on conditions."),
        "history": CommandSpec("commands.history", "history", "What an entry was before, and what changed."),
    },
    "Locks, waits and work": {
        "lock": CommandSpec("commands.lock", "lock", "Hold a lock while a program runs.", runs=True),
        "locks": CommandSpec("commands.lock", "locks", "List the locks: who holds them, and who waits."),
        "unlock": CommandSpec("commands.lock", "unlock", "Free somebody else's lock by force, and say why."),
        "wait": CommandSpec("commands.wait", "wait", "Wait until an entry is there, or other conditions hold."),
        "take": CommandSpec("commands.take", "take", "Run a program for a job that nobody else has.", runs=True),
        "why": CommandSpec("commands.why", "why", "Say who waits for whom, and why nothing moves."),
    },
    "Events": {
        "watch": CommandSpec("commands.watch", "watch", "Print each event as it happens, or run a command for it."),
        "log": CommandSpec("commands.log", "log", "What happened so far, by whom, as far back as is kept."),
        "publish": CommandSpec("commands.publish", "publish", "Send a message to all who watch a channel."),
    },
    "Agents": {
        "agents": CommandSpec("commands.agents", "agents", "List the agents that are here."),
        "status": CommandSpec("commands.agents", "status", "Be here, and say what you do, while a command runs."),
        "send": CommandSpec("commands.inbox", "send", "Leave a message for an agent, here or not."),
        "inbox": CommandSpec("commands.inbox", "inbox", "Read the messages for this agent."),
    },
    "Models": {
        "mcp": CommandSpec("commands.mcp", "mcp", "Serve the tools of MCP to an editor that starts this."),
        "install": CommandSpec("install.command", "install", "Tell an editor of waggle mcp, or take that back."),
        "doctor": CommandSpec("doctor.command", "doctor", "Use each door of the hub once, and say what is wrong."),
    },
}

COMMANDS = {name: named for section in SECTIONS.values() for name, named in section.items()}


class _FastParams:
    """A command where typer does nothing to what was not given, nor to text.

    It would do so by way of pydantic, which takes 60 ms to import: a quarter of what a command takes.
    """

    def get_params(self, ctx: Any) -> list[Any]:
        """All arguments and options."""
        parameters: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for parameter in parameters:
            if "process_value" not in vars(parameter):
                parameter.process_value = partial(_process_value, parameter, parameter.process_value)
        return parameters


def _process_value(parameter: Any, typer_s: Callable[..., Any], ctx: typer.Context, value: Any) -> Any:
    """What becomes of a value; ``typer_s`` is how typer does it."""
    text = isinstance(value, str) and getattr(getattr(parameter, "type_descriptor", None), "annotation", None) is str
    nothing = value is None and not parameter.required
    if not (text or nothing) or parameter.nargs != 1 or parameter.multiple:
        return typer_s(ctx, value)
    return value if parameter.callback is None else parameter.callback(ctx, parameter, value)


class _Command(_FastParams, TyperCommand):
    """One command."""


class _RunningCommand(_Command):
    """One that runs a program: what stands after the first two hyphens is not its own."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Keep the program for `waggle.cli.shared.options.get_program`, and read the rest."""
        if "--" in args:
            place = args.index("--")
            ctx.meta[PROGRAM] = args[place + 1 :]
            args = args[:place]
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """What stands behind the name of the command in its help."""
        return [*super().collect_usage_pieces(ctx), "-- CMD..."]


class _OnDemand(Mapping[str, Any]):
    """The commands by name, each made when it is asked for."""

    def __getitem__(self, name: str) -> Any:
        named = COMMANDS[name]
        function = getattr(import_module(f"waggle.cli.{named.module}"), named.function)
        alone = typer.Typer(add_completion=False, rich_markup_mode=None)
        settings: dict[str, Any] = {"help_option_names": HELP_OPTIONS}
        if named.own_options:
            settings = {"help_option_names": [], "allow_extra_args": True, "ignore_unknown_options": True}
        cls = _RunningCommand if named.runs else _Command
        alone.command(name, cls=cls, short_help=named.help, context_settings=settings)(function)
        return typer.main.get_command(alone)

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)

    def __contains__(self, name: object) -> bool:
        return name in COMMANDS


class _Group(_FastParams, TyperGroup):
    """All commands, listed in sections."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands: Any = _OnDemand()

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write what the help lists."""
        width = max(map(len, COMMANDS))
        for title, section in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), named.help) for name, named in section.items()])


app = typer.Typer(
    name="waggle",
    cls=_Group,
    rich_markup_mode=None,  # plain help: half the lines, and no 60 ms to import what draws the boxes
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": HELP_OPTIONS},
)


@app.callback(invoke_without_command=True)
def waggle(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Waggle: the hub where AI agents that work on the same thing find each other.

    \b
      waggle serve    start a hub: agents connect, and you watch them in a browser
      waggle demo     the same with a crew of sample agents, to see it work

    The other commands talk to a hub: the one at WAGGLE_URL, else at http://127.0.0.1:4483.

    Exit codes: 0 done, 1 a plain "no" (absent, out of time), 2 an error.
    """
    if version:
        print(f"waggle {__version__}")
    elif ctx.invoked_subcommand is None:
        print(ctx.get_help())
