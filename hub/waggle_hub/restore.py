"""`python -m waggle_hub.restore`, which `waggle restore` runs: make a backup the data of a hub that does not run."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from .cli_options import data_directory
from .journal.data_directory import DataDirectory
from .journal.interface import StoreError
from .settings import Settings


def main(argv: Sequence[str] | None = None) -> int:
    """Restore a backup and print the consequences. Return 0, or 2 if nothing was changed because it cannot be done."""
    parser = argparse.ArgumentParser(prog="waggle restore")
    parser.add_argument("backup", type=Path)
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--data", type=Path)
    where.add_argument("--port", type=int, default=Settings().port)
    args = parser.parse_args(argv)
    try:
        restore(args.backup, args.data or data_directory(args.port))
    except (StoreError, OSError) as error:
        print(f"waggle: {error}", file=sys.stderr)
        return 2
    return 0


def restore(backup: Path, data: Path) -> None:
    """Make the backup the data in this directory.

    Raises StoreError if a hub uses the directory, or if the file is no backup.
    """
    if not backup.exists() and (data / "backups" / backup).exists():
        backup = data / "backups" / backup
    if not backup.is_file():
        raise StoreError(f"{backup} is not there, nor is it in {data / 'backups'}: name the file of a backup")
    with DataDirectory(data) as directory:
        restored, aside = directory.restore(backup)
    print(f"{backup} is now the data in {data}")
    if aside is not None:
        print(f"  before        in {aside}")
    print("  back          entries, with their versions and history")
    print("  not back      sessions, and what they held and waited for")
    print("  at the start  a new epoch begins: agents that come back read everything anew")
    if restored.suffix == ".json":
        print("                the hub needs --journal json")


if __name__ == "__main__":
    sys.exit(main())
