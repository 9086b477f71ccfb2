"""The commands `backup` and `restore`, and the backup before a change that cannot be undone."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from waggle import Hub, Unavailable
from waggle.cli.commands.serve import require_hub
from waggle.cli.output.format import byte_size, to_json, visible
from waggle.cli.shared.connect import notify, run_with_hub
from waggle.cli.shared.options import Options, shared

__all__ = ["RESTORE_COMMAND", "NoBackup", "backup", "backup_first", "restore"]

RESTORE_COMMAND = (sys.executable, "-P", "-m", "waggle_hub.restore")
"""The command line that restores a backup: a part of the hub, as in `waggle.cli.commands.serve`."""

NoBackup = Annotated[bool, typer.Option("--no-backup", help="Make no backup first.")]


@shared(ns=False)
def backup(options: Options) -> None:
    """Make the hub back up its data on disk, while it runs, and print where the backup is.

    The backup has every change that was answered before. The hub keeps the newest 10, or as many as it was told to.
    """

    async def work(hub: Hub) -> None:
        made = await hub.backup()
        print(to_json(made) if options.json else f"{visible(made.path)}: {byte_size(made.bytes)}, up to rev {made.rev}")

    run_with_hub(options, work)


def restore(
    backup: Annotated[
        str,
        typer.Argument(metavar="BACKUP", show_default=False, help="Its file, or its name among those of the hub."),
    ],
    data: Annotated[
        str | None, typer.Option("--data", metavar="DIR", help="The data directory of the hub; else that of its port.")
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", metavar="PORT", help="The port of the hub; else 4483.", min=0, max=65535)
    ] = None,
) -> None:
    """Make a backup the data of a hub that does not run; the present data is moved aside.

    Entries come back with their versions and history; sessions, their locks and their waits do not. If a hub runs
    there, or if the backup is damaged, nothing changes.
    """
    if data is not None and port is not None:
        raise typer.BadParameter("say --data or --port: a port stands for a directory.")
    require_hub()
    sys.stdout.flush()
    where = [*(["--data", data] if data is not None else []), *(["--port", str(port)] if port is not None else [])]
    os.execv(RESTORE_COMMAND[0], [*RESTORE_COMMAND, *where, "--", backup])


async def backup_first(hub: Hub, unwanted: bool) -> None:
    """Make a backup before a change that cannot be undone, and tell the person; not for a hub in memory."""
    if unwanted or hub.welcome.durability == "memory":
        return
    try:
        made = await hub.backup()
    except Unavailable as error:
        error.message += " So nothing was done; --no-backup goes on without."
        raise
    notify(f"backup made first: {made.path} ({byte_size(made.bytes)})")
