"""The commands `backup` and `restore`, and the backup that is made before what cannot be undone."""

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
"""What restores a backup: the hub's part, as in `waggle.cli.commands.serve`."""

NoBackup = Annotated[bool, typer.Option("--no-backup", help="Make no backup first.")]


@shared(ns=False)
def backup(options: Options) -> None:
    """Have the hub back up what it keeps on disk, while it goes on, and say where that is.

    Everything that was answered before is in it. The newest 10 are kept, or as many as the hub was told to.
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
    """Let a backup be the data of a hub that does not run; what was there is moved aside.

    Entries come back with their versions and history; sessions, and what they held and waited for, do not. Nothing
    changes if a hub runs there, or if the backup is damaged.
    """
    if data is not None and port is not None:
        raise typer.BadParameter("say --data or --port: a port stands for a directory.")
    require_hub()
    sys.stdout.flush()
    where = [*(["--data", data] if data is not None else []), *(["--port", str(port)] if port is not None else [])]
    os.execv(RESTORE_COMMAND[0], [*RESTORE_COMMAND, *where, "--", backup])


async def backup_first(hub: Hub, unwanted: bool) -> None:
    """Have a backup made before something that cannot be undone, where the hub keeps anything, and say so."""
    if unwanted or hub.welcome.durability == "memory":
        return
    try:
        made = await hub.backup()
    except Unavailable as error:
        error.message += " So nothing was done; --no-backup goes on without."
        raise
    notify(f"backup made first: {made.path} ({byte_size(made.bytes)})")
