"""The command `import`: the entries of an export, or of an earlier system, written to a hub that is at work.

1. Nothing is written unless all of it is good, and unless no key is there already, or it was said what to do then.
2. Each batch is one txn: whole, and seen at one revision. Others may write in between; what they wrote meanwhile is
   never overwritten unless that was said.
3. A deadline is an instant: an entry has what is left of its time, and is left out if nothing is.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, BinaryIO

import msgspec
import typer

from waggle import BadRequest, Conflict, Hub, WaggleError
from waggle.cli.commands.backup import NoBackup, backup_first
from waggle.cli.output.format import amount, to_json, visible
from waggle.cli.output.pages import entry_pages
from waggle.cli.output.progress import Progress
from waggle.cli.shared.connect import exit_error, exit_no, notify, run_with_hub
from waggle.cli.shared.options import Options, shared
from waggle.cli.transfer.entry_file import (
    CheckedFile,
    ExportLine,
    ReadEntries,
    batches,
    check_file,
    read_export,
    valid_entries,
)
from waggle.compat.import_sources import ImportSource, from_database, from_json
from waggle.compat.mapping import MEMORY, SETTINGS, most_memories
from waggle.wire.messages import Done, Txn

__all__ = ["import_"]

MAX_NAMED_KEYS = 5
"""Keys that are named of those that are there already."""


class ImportResult(msgspec.Struct):
    """What became of the entries of a file."""

    written: int = 0
    skipped: int = 0
    """There already."""
    expired: int = 0
    """Their time was over."""
    wrong: int = 0
    """Nothing that a hub could hold."""


@shared(ns=False)
def import_(
    options: Options,
    file: Annotated[
        str, typer.Argument(metavar="FILE", show_default=False, help="What waggle export wrote; - is standard input.")
    ],
    seed: Annotated[
        ImportSource,
        typer.Option("--from", metavar="SYSTEM", help="Whose it is: shared-memory, hive-mind, claude-flow."),
    ] = ImportSource.export,
    ns: Annotated[
        str | None, typer.Option("--ns", metavar="NAME", help="The namespace for all; else where each was.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Write over what is there.")] = False,
    skip: Annotated[bool, typer.Option("--skip-existing", help="Leave out keys that are there.")] = False,
    skip_wrong: Annotated[bool, typer.Option("--skip-wrong", help="Leave out what is wrong.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be written.")] = False,
    no_backup: NoBackup = False,
) -> None:
    """Write the entries of FILE to the hub, while it goes on.

    All of FILE is looked at first: if something in it is wrong, nothing is written, and the exit code is 2, unless
    --skip-wrong says to leave it out. If a key is there already, nothing is written either, and the exit code is 1,
    unless --overwrite or --skip-existing says what to do. A hub that keeps its data on disk makes a backup first.

    --from reads what an earlier system has kept: shared-memory its memory.json, hive-mind its shared-memory.json,
    claude-flow its memory.db. If there are more memories then than its profile keeps, that is said.
    """
    if overwrite and skip:
        raise typer.BadParameter("say --overwrite or --skip-existing, not both.")
    if seed is ImportSource.claude_flow and file == "-":
        raise typer.BadParameter("a database is not read from standard input: name its file.")
    with _open_source(file, seed) as read:
        checked = _check(read, ns, skip_wrong)

        async def work(hub: Hub) -> None:
            there = {} if overwrite else await _existing_keys(hub, checked)
            taken = sum(map(len, there.values()))
            if taken and not skip:
                _refuse_existing(there, taken)
            entries = (
                line
                for line in valid_entries(read(), ns, CheckedFile())
                if line.place[1] not in there.get(line.place[0], ())
            )
            writing = _Writer(hub, (await hub.ping()).at, overwrite=overwrite, skip=skip)
            writing.result.skipped, writing.result.wrong = taken, checked.faults
            if not dry_run and checked.count > taken:
                await backup_first(hub, no_backup)
            with Progress("written", of=checked.count - taken) as progress:
                for batch in batches(entries):
                    await writing.write(batch, dry_run)
                    progress.add(len(batch))
            print(to_json(writing.result) if options.json else _summary(writing.result, dry_run))
            if seed is ImportSource.shared_memory and MEMORY in checked.keys:
                await _warn_of_rotation(hub)

        run_with_hub(options, work)


class _Writer:
    """Writes batches. ``at`` is the hub's time now."""

    def __init__(self, hub: Hub, at: float, *, overwrite: bool, skip: bool) -> None:
        self.result = ImportResult()
        self._hub, self._overwrite, self._skip = hub, overwrite, skip
        self._ahead = at - time.monotonic()

    async def write(self, batch: list[ExportLine], dry_run: bool = False) -> None:
        """Write what is not over, all or nothing. Raises what the hub has against it, and says how far it came."""
        while batch:
            now = time.monotonic() + self._ahead
            rest = [line for line in batch if line.expires_at is None or line.expires_at > now]
            self.result.expired += len(batch) - len(rest)
            try:
                if rest and not dry_run:
                    await self._hub._driver.request(
                        Txn(id=0, if_=[], then=[line.step(now, overwrite=self._overwrite) for line in rest]), Done
                    )
            except Conflict as conflict:
                if not self._skip:
                    raise self._stopped(rest, conflict) from None
                index = conflict.details["index"]  # somebody was faster
                self.result.skipped += 1
                batch = rest[:index] + rest[index + 1 :]
            except WaggleError as error:
                raise self._stopped(rest, error) from None
            else:
                self.result.written += len(rest)
                return

    def _stopped(self, batch: list[ExportLine], error: WaggleError) -> WaggleError:
        """The error, which says where it stopped, and how to go on."""
        where = ""
        if "index" in error.details:
            ns, key = batch[error.details["index"]].place
            where = f"{key!r} in namespace {ns!r}: "
        done = "nothing was written" if not self.result.written else f"{amount(self.result.written)} were written"
        again = "--overwrite" if self._overwrite else "--skip-existing"
        error.message = f"{where}{error.message.rstrip('.')}. Up to there {done}; {again} goes on from here."
        return error


@contextmanager
def _open_source(file: str, seed: ImportSource) -> Iterator[ReadEntries]:
    """What is in the file. Ends the command if it is not what was said."""
    try:
        if seed is ImportSource.claude_flow:
            with _open_binary(file):  # whether it is there, and may be read
                pass
            with from_database(file) as read:
                yield read
            return
        with _open_binary(file) as opened:
            yield (lambda: read_export(opened)) if seed is ImportSource.export else from_json(seed, opened)
    except BadRequest as wrong:
        exit_error(f"{file} is not what {seed} keeps: {wrong.message}.")


@contextmanager
def _open_binary(file: str) -> Iterator[BinaryIO]:
    """The file, to be read more than once."""
    if file == "-":
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(sys.stdin.buffer, copy)
            copy.seek(0)
            yield copy
        return
    try:
        opened = open(file, "rb")  # noqa: SIM115 - closed below
    except OSError as error:
        exit_error(f"{file} cannot be read: {error.strerror}.")
    with opened:
        yield opened


def _check(read: ReadEntries, ns: str | None, skip_wrong: bool) -> CheckedFile:
    """What is in the file, and what is wrong with it. Ends the command if that is not to be left out."""
    checked = check_file(read(), ns)
    for fault in checked.shown:
        notify(fault)
    more = f" ({amount(checked.faults - len(checked.shown))} more)" if checked.faults > len(checked.shown) else ""
    if checked.faults and not (skip_wrong and checked.count):
        remedy = ". --skip-wrong leaves out what is wrong" if checked.count else ""
        exit_error(f"nothing was written: {amount(checked.faults)} wrong{more}{remedy}")
    return checked


async def _existing_keys(hub: Hub, checked: CheckedFile) -> dict[str, set[str]]:
    """The keys of the file that the hub has already, by namespace."""
    there: dict[str, set[str]] = {}
    with Progress("compared") as progress:
        for one in await hub.namespaces():
            wanted = checked.keys.get(one.ns)
            if wanted:
                found = there[one.ns] = set()
                async for page in entry_pages(hub, "*", ns=one.ns, values=False):
                    found |= wanted.intersection(entry.key for entry in page)
                    progress.add(len(page))
    return there


def _refuse_existing(there: dict[str, set[str]], taken: int) -> None:
    names = [f"{key} in {ns}" for ns, keys in sorted(there.items()) for key in sorted(keys)[:MAX_NAMED_KEYS]][
        :MAX_NAMED_KEYS
    ]
    shown = ", ".join(map(visible, names)) + (", ..." if taken > MAX_NAMED_KEYS else "")
    exit_no(f"nothing was written: {amount(taken)} there already ({shown}). Say --overwrite or --skip-existing.")


async def _warn_of_rotation(hub: Hub) -> None:
    """Say so if there are more memories than there may be: the next that is added drops the oldest."""
    entry = await hub.get(SETTINGS, ns=MEMORY)
    most, _ = most_memories(None if entry is None else msgspec.json.encode(entry.value))
    there = sum(one.keys for one in await hub.namespaces() if one.ns == MEMORY) - (entry is not None)
    if there > most:
        setting = to_json({"max_entries": max(2 * there, most)})
        notify(
            f"the profile shared-memory keeps {amount(most)} memories, and {amount(there)} are there: the next that is"
            f" added drops the oldest. To keep more: waggle set {SETTINGS} '{setting}' --ns {MEMORY}"
        )


def _summary(result: ImportResult, dry_run: bool) -> str:
    parts = [f"{amount(result.written)} {'would be ' if dry_run else ''}written"]
    if result.skipped:
        parts.append(f"{amount(result.skipped)} skipped, there already")
    if result.expired:
        parts.append(f"{amount(result.expired)} left out, expired")
    if result.wrong:
        parts.append(f"{amount(result.wrong)} left out, wrong")
    return ", ".join(parts)
