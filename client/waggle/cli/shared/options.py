"""What commands have in common: the options that say which hub, as whom and for whom, each defined once.

`shared` gives them to a command, which gets what they say as its first argument::

    @shared
    def get(options: Options, key: Key) -> None: ...

is ``waggle get KEY`` with ``--json``, ``--ns``, ``--url``, ``--agent`` and ``--token``. Arguments and options that
some commands have in common stand here too, with their completion.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Concatenate, NamedTuple, ParamSpec, get_type_hints, overload

import typer

from waggle.cli.shared import completion

__all__ = [
    "DEFAULT_URL",
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

DEFAULT_URL = "http://127.0.0.1:4483"
FOREVER = "forever"
PROGRAM = "waggle.program"
"""Where `app` leaves what stands after ``--``, for `get_program`."""

P = ParamSpec("P")


class Options(NamedTuple):
    """What the shared options say. Their order here is that of the help."""

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
            help="The namespace; else that called default.",
            autocompletion=completion.namespaces,
        ),
    ] = None
    url: Annotated[
        str,
        typer.Option("--url", envvar="WAGGLE_URL", metavar="URL", help="Where the hub is."),
    ] = DEFAULT_URL
    agent: Annotated[
        str | None,
        typer.Option(
            "--agent", envvar="WAGGLE_AGENT", metavar="NAME", help="The name to go by; else the hub makes one."
        ),
    ] = None
    token: Annotated[
        str | None,
        typer.Option("--token", envvar="WAGGLE_TOKEN", metavar="TEXT", help="The token, where the hub asks for one."),
    ] = None

    @property
    def within(self) -> str:
        """The namespace, for a sentence that would be wrong without it."""
        return "" if self.ns is None else f" in namespace {self.ns!r}"


# --- giving them to a command ------------------------------------------------------------------------------------

Body = Callable[Concatenate[Options, P], None]
Command = Callable[..., None]


@overload
def shared(body: Body[P]) -> Command: ...
@overload
def shared(*, ns: bool) -> Callable[[Body[P]], Command]: ...
def shared(body: Body[P] | None = None, *, ns: bool = True) -> Command | Callable[[Body[P]], Command]:
    """The command with the shared options; ``ns=False`` leaves out that one, where nothing lies in a namespace."""
    if body is None:
        return functools.partial(_with_options, ns=ns)
    return _with_options(body, ns=ns)


def _with_options(body: Body[P], ns: bool) -> Command:
    names = [name for name in Options._fields if ns or name != "ns"]

    @functools.wraps(body)
    def command(**said: object) -> None:
        options = Options(**{name: said.pop(name) for name in names})  # type: ignore[arg-type]
        body(options, **said)  # type: ignore[call-arg, arg-type]

    own = list(inspect.signature(body, eval_str=True).parameters.values())[1:]
    hints = get_type_hints(Options, include_extras=True)
    added = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=Options._field_defaults[name], annotation=hints[name]
        )
        for name in names
    ]
    parameters = [*(one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own), *added]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {one.name: one.annotation for one in parameters}
    return command


# --- what some commands share ------------------------------------------------------------------------------------

Key = Annotated[str, typer.Argument(metavar="KEY", show_default=False, autocompletion=completion.keys)]

Text = Annotated[bool, typer.Option("--text", help="It is text, not JSON.")]

IfRev = Annotated[
    int | None,
    typer.Option(
        "--if-rev", metavar="REV", help="Only if this is the entry's revision; 0: only if absent. Else exit code 1."
    ),
]
Limit = Annotated[
    int | None,
    typer.Option("--limit", metavar="N", min=1, help="At most so many; else all."),
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
    """What becomes of a program when what is held for it is lost."""

    kill = "kill"
    warn = "warn"


def get_program(ctx: typer.Context, example: str) -> list[str]:
    """What stands after ``--``. Raises typer.BadParameter, with the example, if it is nothing."""
    command: list[str] = ctx.meta.get(PROGRAM, [])
    if not command:
        raise typer.BadParameter(f"say after two hyphens what to run, such as: {example}")
    return command


_TIME = re.compile(r"((?:\d+\.?\d*|\.\d+)(?:e[+-]?\d{1,2})?)(ms|s|m|h|d|)", re.ASCII).fullmatch
_UNITS = {"ms": 0.001, "s": 1, "": 1, "m": 60, "h": 3_600, "d": 86_400}


def parse_time(said: str | float) -> float:
    """The parser of an option: seconds, or a number with a unit. Raises typer.BadParameter for what is neither."""
    found = _TIME(f"{said}")
    if found is None:
        raise typer.BadParameter(f"it takes seconds, or a time such as 500ms, 30s, 10m, 12h or 7d: not {said!r}.")
    return float(found[1]) * _UNITS[found[2]]


def parse_timeout(said: str, option: str) -> float | None:
    """So many seconds, or None for ever. Raises typer.BadParameter for what is neither."""
    try:
        return None if said == FOREVER else parse_time(said)
    except typer.BadParameter:
        said_else = f"{option} takes seconds, a time such as 30s, 10m, 12h or 7d, or {FOREVER}: not {said!r}."
        raise typer.BadParameter(said_else) from None
