"""The commands of `waggle`, in the order of the help.

A command costs the others nothing: its module is imported when it is called, and not for the list of commands.
"""

from __future__ import annotations

from collections.abc import Callable
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
    """The place of a command's code, and its line in the list of commands."""

    module: str
    function: str
    help: str
    own_options: bool = False
    """Whether the command gets all its arguments unparsed, --help included."""
    runs: bool = False
    """Whether the command runs a program, given after two hyphens."""


SECTIONS = {
    "A hub": {
        "serve": CommandSpec("commands.serve", "serve", "Start a hub; --help lists its options.", own_options=True),
        "demo": CommandSpec("demo.command", "demo", "Start a hub and a crew of sample agents."),
        "ping": CommandSpec("commands.stats", "ping", "Ask whether the hub answers, and how fast."),
        "stats": CommandSpec("commands.stats", "stats", "Print what the hub holds and has done."),
        "top": CommandSpec("top.command", "top", "Show the hub live: rates, agents, latest events."),
        "bench": CommandSpec("bench.command", "bench", "Measure how fast the hub is, from here."),
        "namespaces": CommandSpec("commands.stats", "namespaces", "List the namespaces, with their keys and bytes."),
        "backup": CommandSpec("commands.backup", "backup", "Make the hub back up its data on disk."),
        "restore": CommandSpec("commands.backup", "restore", "Make a backup the data of a stopped hub."),
        "export": CommandSpec("transfer.export", "export", "Write entries to a file, as JSON lines."),
        "import": CommandSpec("transfer.import_", "import_", "Write such a file, or an earlier system's, to the hub."),
    },
    "Keys": {
        "get": CommandSpec("commands.keys", "get", "Print the value of a key."),
        "set": CommandSpec("commands.keys", "set_", "Write a value under a key."),
        "update": CommandSpec("commands.update", "update", "Change a value in place, in one step."),
        "touch": CommandSpec("commands.keys", "touch", "Give an entry a new deadline, or none."),
        "delete": CommandSpec("commands.keys", "delete", "Delete a key."),
        "list": CommandSpec("commands.list", "list_", "List the entries whose key matches a pattern."),
        "search": CommandSpec("commands.list", "search", "Find the entries that contain some words."),
        "clear": CommandSpec("commands.list", "clear", "Delete all entries whose key matches a pattern."),
        "txn": CommandSpec("commands.txn", "txn", "Make several changes, all or nothing, on conditions."),
        "history": CommandSpec("commands.history", "history", "Show the versions of an entry, and their changes."),
    },
    "Locks, waits and work": {
        "lock": CommandSpec("commands.lock", "lock", "Hold a lock while a program runs.", runs=True),
        "locks": CommandSpec("commands.lock", "locks", "List the locks, their holders and their waiters."),
        "unlock": CommandSpec("commands.lock", "unlock", "Release another agent's lock by force, with a reason."),
        "wait": CommandSpec("commands.wait", "wait", "Wait until an entry exists, or other conditions hold."),
        "take": CommandSpec("commands.take", "take", "Run a program for a job that no other worker has.", runs=True),
        "why": CommandSpec("commands.why", "why", "Explain which agents wait, and for which others."),
    },
    "Events": {
        "watch": CommandSpec("commands.watch", "watch", "Print each event as it happens, or run a command for it."),
        "log": CommandSpec("commands.log", "log", "Print past events, as far back as the hub keeps them."),
        "publish": CommandSpec("commands.publish", "publish", "Send a message to all who watch a channel."),
    },
    "Agents": {
        "agents": CommandSpec("commands.agents", "agents", "List the connected agents."),
        "status": CommandSpec("commands.agents", "status", "Show a status to others while a program runs."),
        "send": CommandSpec("commands.inbox", "send", "Leave a message for an agent, connected or not."),
        "inbox": CommandSpec("commands.inbox", "inbox", "Read the messages for this agent."),
    },
    "Models": {
        "mcp": CommandSpec("commands.mcp", "mcp", "Serve the tools of MCP to an editor that starts this."),
        "install": CommandSpec("install.command", "install", "Add waggle mcp to an editor, or remove it."),
        "doctor": CommandSpec("doctor.command", "doctor", "Use each door of the hub once, and say what is wrong."),
    },
}

COMMANDS = {name: spec for section in SECTIONS.values() for name, spec in section.items()}


class _FastParams:
    """A command whose parameters skip typer's conversion for text and for absent values.

    typer (0.27 and later) converts every value with pydantic, also where there is nothing to convert, and has no
    setting against it. The import of pydantic takes 60 ms, a quarter of a command's time.
    """

    def get_params(self, ctx: Any) -> list[Any]:
        """Return all arguments and options, --help included, which typer makes only here."""
        parameters: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for parameter in parameters:
            # typer makes its parameters of classes of its own: the method can only be replaced in each of them, once
            if "process_value" not in vars(parameter):
                parameter.process_value = partial(_process_value, parameter, parameter.process_value)
        return parameters


def _process_value(parameter: Any, convert: Callable[..., Any], ctx: typer.Context, value: Any) -> Any:
    """Return the value of a parameter, by ``convert`` (typer's own way) only where it has to be converted."""
    is_text = isinstance(value, str) and parameter.type_descriptor.annotation is str
    is_absent = value is None and not parameter.required
    if not (is_text or is_absent) or parameter.nargs != 1 or parameter.multiple:
        return convert(ctx, value)
    return value if parameter.callback is None else parameter.callback(ctx, parameter, value)


class _Command(_FastParams, TyperCommand):
    """A command with fast parameters."""


class _RunningCommand(_Command):
    """A command that runs a program: the words after the first two hyphens are the program's."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Keep the program for `waggle.cli.shared.options.get_program`, and parse the words before it."""
        if "--" in args:
            index = args.index("--")
            ctx.meta[PROGRAM] = args[index + 1 :]
            args = args[:index]
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the arguments in the usage line, with the program at the end."""
        return [*super().collect_usage_pieces(ctx), "-- CMD..."]


class _Group(_FastParams, TyperGroup):
    """The group of all commands. A command's module is imported when the command is asked for (click's LazyGroup)."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands: Any = COMMANDS  # for their names: typer lists them, and suggests one after a typing error

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command of this name, or None."""
        spec = COMMANDS.get(cmd_name)
        if spec is None:
            return None
        function = getattr(import_module(f"waggle.cli.{spec.module}"), spec.function)
        single = typer.Typer(add_completion=False, rich_markup_mode=None)
        settings: dict[str, Any] = {"help_option_names": HELP_OPTIONS}
        if spec.own_options:
            settings = {"help_option_names": [], "allow_extra_args": True, "ignore_unknown_options": True}
        cls = _RunningCommand if spec.runs else _Command
        single.command(cmd_name, cls=cls, short_help=spec.help, context_settings=settings)(function)
        return typer.main.get_command(single)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands in sections, without importing them."""
        width = max(map(len, COMMANDS))
        for title, section in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), spec.help) for name, spec in section.items()])


app = typer.Typer(
    name="waggle",
    cls=_Group,
    rich_markup_mode=None,  # plain help: half the lines, and no 60 ms for the import of rich
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
