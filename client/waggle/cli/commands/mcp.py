"""The command `mcp`: MCP over standard input and output, for an editor that starts it."""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from typing import Annotated

import typer

from waggle.cli.commands.serve import missing_packages
from waggle.cli.output.format import to_json
from waggle.cli.process.background_hub import DEFAULT_IDLE, can_start, ensure_hub
from waggle.cli.shared.connect import exit_error
from waggle.cli.shared.options import Options, shared
from waggle.mcp import NATIVE, PROFILES
from waggle.mcp.project import project_ns
from waggle.wire.file_locks import Place

__all__ = ["mcp"]


@shared
def mcp(
    options: Options,
    start: Annotated[
        bool, typer.Option("--start/--no-start", help="Start a hub on this machine where none answers.")
    ] = True,
    idle: Annotated[
        str, typer.Option("--idle", metavar="TIME", help="That hub ends after this time without a connection.")
    ] = DEFAULT_IDLE,
    limit: Annotated[
        float | None,
        typer.Option(
            "--limit",
            envvar="WAGGLE_LIMIT",
            metavar="SECONDS",
            min=1,
            help="Limit of a call; else that of the client, if known, or 55.",
        ),
    ] = None,
    profile: Annotated[
        str,
        typer.Option(
            "--profile",
            metavar="NAME",
            help=f"The tools: {NATIVE}, or those of an earlier system: {', '.join(PROFILES[1:])}.",
            autocompletion=lambda: list(PROFILES),
        ),
    ] = NATIVE,
    show: Annotated[bool, typer.Option("--show", help="Only print the hub and the namespace.")] = False,
) -> None:
    """Serve the tools of MCP over standard input and output, for an editor to start: see waggle install.

    The namespace is that of the current directory's project, unless --ns names one. The agent has a name of its own
    in each window of the editor.
    """
    if profile not in PROFILES:
        raise typer.BadParameter(f"--profile is one of {', '.join(PROFILES)}.")
    place = Place.current()
    assert place.here is not None
    ns = options.ns or project_ns(place.here)
    if show:
        known = {"url": options.url, "ns": ns, "root": f"{place.root or place.here}"}
        print(to_json(known) if options.json else "\n".join(f"{name}\t{value}" for name, value in known.items()))
        return
    if missing_packages(["mcp"]):
        exit_error(
            "the package mcp is missing: pip install 'wagglehub[hub]', or 'wagglehub[mcp]' to use a hub elsewhere"
        )
    from waggle.mcp.stdio import Wanted, serve  # here: it imports the MCP SDK

    starting = partial(ensure_hub, options.url, idle) if start and can_start(options.url) else None
    try:
        asyncio.run(serve(Wanted(options.url, ns, options.agent, options.token, limit, profile, starting), place))
    except KeyboardInterrupt:
        sys.exit(130)
