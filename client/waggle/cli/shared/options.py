"""Options and arguments that several commands share, each defined once.

`shared` adds the options for the hub, the agent and the namespace to a command, which gets them as its first
argument::

    @shared
    def get(options: Options, key: Key) -> None: ...

is ``waggle get KEY`` with ``--json``, ``--ns``, ``--url``, ``--agent`` and ``--token``.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Concatenate, NamedTuple, ParamSpec, get_type_hints, overload

import typer

from waggle.cli.shared import completion
from waggle.wire.durations import parse_duration
from waggle.wire.limits import DEFAULT_URL

__all__ = [
    "FOREVER",
    "PROGRAM",
    "Guard",
    "IfRev",
    "Key",
    "Limit",
    "OnLoss",
    "Options",
    "Text",
    "get_program",
    "parse_time",
    "parse_timeout",
    "shared",
]

FOREVER = "forever"
PROGRAM = "waggle.program"
"""The name under which `app` keeps the program after ``--``, for `get_program`."""

P = ParamSpec("P")


class Options(NamedTuple):
    """The values of the shared options. Their order here is their order in the help."""

    json: Annotated[
        bool,
        typer.Option("--json", help="Print JSON, one object a line, for programs."),
    ] = False
    ns: Annotated[
        str | None,
        typer.Option(
            "--ns",
            envvar="WAGGLE_NS",
            metavar="NAME",
            help="The namespace; else default.",
            autocompletion=completion.namespaces,
        ),
    ] = None
    url: Annotated[
        str,
        typer.Option("--url", envvar="WAGGLE_URL", metavar="URL", help="The hub's address."),
    ] = DEFAULT_URL
    agent: Annotated[
        str | None,
        typer.Option(
            "--agent", envvar="WAGGLE_AGENT", metavar="NAME", help="The agent's name; else the hub makes one."
        ),
    ] = None
    token: Annotated[
        str | None,
        typer.Option("--token", envvar="WAGGLE_TOKEN", metavar="TEXT", help="The token, if the hub needs one."),
    ] = None

    @property
    def within(self) -> str:
        """The namespace as the end of a sentence; empty for the default namespace."""
        return "" if self.ns is None else f" in namespace {self.ns!r}"


# --- adding the options to a command -----------------------------------------------------------------------------

Body = Callable[Concatenate[Options, P], None]
Command = Callable[..., None]


@overload
def shared(body: Body[P]) -> Command: ...
@overload
def shared(*, ns: bool) -> Callable[[Body[P]], Command]: ...
def shared(body: Body[P] | None = None, *, ns: bool = True) -> Command | Callable[[Body[P]], Command]:
    """Add the shared options to a command. ``ns=False`` leaves out ``--ns``, for commands without a namespace."""
    if body is None:
        return functools.partial(_with_options, ns=ns)
    return _with_options(body, ns=ns)


def _with_options(body: Body[P], ns: bool) -> Command:
    names = [name for name in Options._fields if ns or name != "ns"]

    @functools.wraps(body)
    def command(**values: object) -> None:
        options = Options(**{name: values.pop(name) for name in names})  # type: ignore[arg-type]
        body(options, **values)  # type: ignore[call-arg, arg-type]

    own = list(inspect.signature(body, eval_str=True).parameters.values())[1:]
    hints = get_type_hints(Options, include_extras=True)
    added = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=Options._field_defaults[name], annotation=hints[name]
        )
        for name in names
    ]
    parameters = [*(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own), *added]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


# --- options of some commands ------------------------------------------------------------------------------------

Key = Annotated[str, typer.Argument(metavar="KEY", show_default=False, autocompletion=completion.keys)]

Text = Annotated[bool, typer.Option("--text", help="The value is text, not JSON.")]

IfRev = Annotated[
    int | None,
    typer.Option(
        "--if-rev", metavar="REV", help="Only if this is the entry's revision; 0: only if absent. Else exit code 1."
    ),
]
Limit = Annotated[
    int | None,
    typer.Option("--limit", metavar="N", min=1, help="At most N; else all."),
]
Guard = Annotated[
    int | None,
    typer.Option(
        "--guard",
        envvar="WAGGLE_LOCK_TOKEN",
        metavar="TOKEN",
        help="Only while the lock with this token is held. Else exit code 1.",
    ),
]


class OnLoss(StrEnum):
    """The treatment of a running program whose lock or job is lost."""

    kill = "kill"
    warn = "warn"


def get_program(ctx: typer.Context, example: str) -> list[str]:
    """Return the program after ``--``. Raises typer.BadParameter, with the example, if there is none."""
    command: list[str] = ctx.meta.get(PROGRAM, [])
    if not command:
        raise typer.BadParameter(f"say after two hyphens what to run, such as: {example}")
    return command


def parse_time(text: str | float) -> float:
    """Return the seconds of a time, such as 30 or 10m: the parser of an option. Raises typer.BadParameter."""
    try:
        return parse_duration(f"{text}")
    except ValueError:
        message = f"it takes seconds, or a time such as 500ms, 30s, 10m, 12h or 7d: not {text!r}."
        raise typer.BadParameter(message) from None


def parse_timeout(text: str, option: str) -> float | None:
    """Return the seconds of a time limit, or None for ``forever``. Raises typer.BadParameter, naming the option."""
    try:
        return None if text == FOREVER else parse_duration(text)
    except ValueError:
        message = f"{option} takes seconds, a time such as 30s, 10m, 12h or 7d, or {FOREVER}: not {text!r}."
        raise typer.BadParameter(message) from None
