"""The options that many commands share, each defined once."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import typer

__all__ = ["Agent", "IfRev", "Json", "Ns", "Token", "Url", "Where"]

DEFAULT_URL = "http://127.0.0.1:4483"

Url = Annotated[
    str,
    typer.Option("--url", envvar="WAGGLE_URL", metavar="URL", help="Where the hub is."),
]
Ns = Annotated[
    str | None,
    typer.Option("--ns", envvar="WAGGLE_NS", metavar="NAME", help="The namespace; else that called default."),
]
Agent = Annotated[
    str | None,
    typer.Option(
        "--agent",
        envvar="WAGGLE_AGENT",
        metavar="NAME",
        help="The name to go by; else the hub makes one.",
    ),
]
Token = Annotated[
    str | None,
    typer.Option("--token", envvar="WAGGLE_TOKEN", metavar="TEXT", help="The token, where the hub asks for one."),
]
Json = Annotated[
    bool,
    typer.Option("--json", help="Print JSON, one object a line, for programs."),
]
IfRev = Annotated[
    int | None,
    typer.Option(
        "--if-rev", metavar="REV", help="Only if this is the entry's revision; 0: only if absent. Else exit code 1."
    ),
]


class Where(NamedTuple):
    """Which hub, and as whom: what the shared options say."""

    url: str = DEFAULT_URL
    agent: str | None = None
    token: str | None = None
