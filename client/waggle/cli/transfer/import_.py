"""The command `import`: write the entries of an export, or of an earlier system, to a running hub.

1. Nothing is written unless all entries are valid, and no key exists already, or an option says what to do then.
2. Each batch is one txn: all of it or nothing, at one revision. Other agents may write between batches; their writes
   are never overwritten without ``--overwrite``.
3. A deadline is a point in time: an entry gets the rest of its time, and is left out if it has expired.
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
    ReadEntries,
    check_file,
    read_export,
    valid_entries,
)
from waggle.compat.import_sources import ImportSource, from_database, from_json
from waggle.compat.mapping import MEMORY, SETTINGS, most_memories
from waggle.wire.export_lines import ExportLine
from waggle.wire.exports import batches, set_step
from waggle.wire.messages import Done, Txn

__all__ = ["import_"]

MAX_NAMED_KEYS = 5
"""Keys named in the message about existing keys."""


class ImportResult(msgspec.Struct):
    """The numbers of entries written and left out."""

    written: int = 0
    skipped: int = 0
    """Left out: the key exists."""
    expired: int = 0
    """Left out: the deadline has passed."""
    wrong: int = 0
    """Left out: a hub would refuse it."""


@shared(ns=False)
def import_(
    options: Options,
    file: Annotated[
        str, typer.Argument(metavar="FILE", show_default=False, help="What waggle export wrote; - is standard input.")
    ],
    source: Annotated[
        ImportSource,
        typer.Option("--from", metavar="SYSTEM", help="The system: shared-memory, hive-mind, claude-flow."),
    ] = ImportSource.export,
    ns: Annotated[
        str | None, typer.Option("--ns", metavar="NAME", help="The namespace for all; else that of each.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Overwrite keys that exist.")] = False,
    skip: Annotated[bool, typer.Option("--skip-existing", help="Leave out keys that exist.")] = False,
    skip_wrong: Annotated[bool, typer.Option("--skip-wrong", help="Leave out invalid entries.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would be written.")] = False,
    no_backup: NoBackup = False,
) -> None:
    """Write the entries of FILE to the hub, while it runs.

    All of FILE is checked first: if something in it is wrong, nothing is written, and the exit code is 2, unless
    --skip-wrong leaves it out. If a key exists already, nothing is written either, and the exit code is 1, unless
    --overwrite or --skip-existing says what to do. A hub that keeps its data on disk makes a backup first.

    --from reads the data of an earlier system: shared-memory its memory.json, hive-mind its shared-memory.json,
    claude-flow its memory.db. If that has more memories than the profile keeps, a message says so.
    """
    if overwrite and skip:
        raise typer.BadParameter("say --overwrite or --skip-existing, not both.")
    if source is ImportSource.claude_flow and file == "-":
        raise typer.BadParameter("a database is not read from standard input: name its file.")
    with _open_source(file, source) as read:
        checked = _check(read, ns, skip_wrong)

        async def work(hub: Hub) -> None:
            existing = {} if overwrite else await _existing_keys(hub, checked)
            existing_count = sum(map(len, existing.values()))
            if existing_count and not skip:
                _refuse_existing(existing, existing_count)
            entries = (
                line
                for line in valid_entries(read(), ns, CheckedFile())
                if line.place[1] not in existing.get(line.place[0], ())
            )
            writing = _Writer(hub, (await hub.ping()).at, overwrite=overwrite, skip=skip)
            writing.result.skipped, writing.result.wrong = existing_count, checked.faults
            if not dry_run and checked.count > existing_count:
                await backup_first(hub, no_backup)
            with Progress("written", of=checked.count - existing_count) as progress:
                for batch in batches(entries):
                    await writing.write(batch, dry_run)
                    progress.add(len(batch))
            print(to_json(writing.result) if options.json else _summary(writing.result, dry_run))
            if source is ImportSource.shared_memory and MEMORY in checked.keys:
                await _warn_of_rotation(hub)

        run_with_hub(options, work)


class _Writer:
    """Writes batches to the hub. ``at`` is the hub's time now."""

    def __init__(self, hub: Hub, at: float, *, overwrite: bool, skip: bool) -> None:
        self.result = ImportResult()
        self._hub, self._overwrite, self._skip = hub, overwrite, skip
        self._clock_offset_s = at - time.monotonic()

    async def write(self, batch: list[ExportLine], dry_run: bool = False) -> None:
        """Write the unexpired entries of a batch, all or nothing. A refusal is raised again, with how far the
        import came."""
        while batch:
            now = time.monotonic() + self._clock_offset_s
            unexpired = [line for line in batch if line.expires_at is None or line.expires_at > now]
            self.result.expired += len(batch) - len(unexpired)
            try:
                if unexpired and not dry_run:
                    steps = [set_step(line, now, overwrite=self._overwrite) for line in unexpired]
                    await self._hub._driver.request(Txn(id=0, if_=[], then=steps), Done)
            except Conflict as conflict:
                if not self._skip:
                    raise self._stopped(unexpired, conflict) from None
                index = conflict.details["index"]  # another agent wrote this key meanwhile
                self.result.skipped += 1
                batch = unexpired[:index] + unexpired[index + 1 :]
            except WaggleError as error:
                raise self._stopped(unexpired, error) from None
            else:
                self.result.written += len(unexpired)
                return

    def _stopped(self, batch: list[ExportLine], error: WaggleError) -> WaggleError:
        """Return the error with the key it stopped at, and how to go on."""
        where = ""
        if "index" in error.details:
            ns, key = batch[error.details["index"]].place
            where = f"{key!r} in namespace {ns!r}: "
        done = "nothing was written" if not self.result.written else f"{amount(self.result.written)} were written"
        option = "--overwrite" if self._overwrite else "--skip-existing"
        error.message = f"{where}{error.message.rstrip('.')}. Up to there {done}; {option} goes on from here."
        return error


@contextmanager
def _open_source(file: str, source: ImportSource) -> Iterator[ReadEntries]:
    """Yield a reader of the file's entries. Exits with an error if the file is not of the named system."""
    try:
        if source is ImportSource.claude_flow:
            with _open_binary(file):  # SQLite's error would not say that it is missing or not readable
                pass
            with from_database(file) as read:
                yield read
            return
        with _open_binary(file) as opened:
            yield (lambda: read_export(opened)) if source is ImportSource.export else from_json(source, opened)
    except BadRequest as error:
        exit_error(f"{file} is not what {source} keeps: {error.message}.")


@contextmanager
def _open_binary(file: str) -> Iterator[BinaryIO]:
    """Yield the file, or a copy of standard input, so that it can be read more than once."""
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
    """Return the checked file. Exits with an error if it has faults that are not to be skipped."""
    checked = check_file(read(), ns)
    for fault in checked.shown:
        notify(fault)
    more = f" ({amount(checked.faults - len(checked.shown))} more)" if checked.faults > len(checked.shown) else ""
    if checked.faults and not (skip_wrong and checked.count):
        remedy = ". --skip-wrong leaves them out" if checked.count else ""
        exit_error(f"nothing was written: {amount(checked.faults)} wrong{more}{remedy}")
    return checked


async def _existing_keys(hub: Hub, checked: CheckedFile) -> dict[str, set[str]]:
    """Return the keys of the file that the hub has already, by namespace."""
    existing: dict[str, set[str]] = {}
    with Progress("compared") as progress:
        for namespace in await hub.namespaces():
            wanted = checked.keys.get(namespace.ns)
            if wanted:
                matching = existing[namespace.ns] = set()
                async for page in entry_pages(hub, "*", ns=namespace.ns, values=False):
                    matching |= wanted.intersection(entry.key for entry in page)
                    progress.add(len(page))
    return existing


def _refuse_existing(existing: dict[str, set[str]], existing_count: int) -> None:
    names = [f"{key} in {ns}" for ns, keys in sorted(existing.items()) for key in sorted(keys)[:MAX_NAMED_KEYS]][
        :MAX_NAMED_KEYS
    ]
    shown = ", ".join(map(visible, names)) + (", ..." if existing_count > MAX_NAMED_KEYS else "")
    exit_no(
        f"nothing was written: {amount(existing_count)} there already ({shown}). Say --overwrite or --skip-existing."
    )


async def _warn_of_rotation(hub: Hub) -> None:
    """Tell the person if there are more memories than the profile keeps: the next one drops the oldest."""
    entry = await hub.get(SETTINGS, ns=MEMORY)
    most, _ = most_memories(None if entry is None else msgspec.json.encode(entry.value))
    existing = sum(namespace.keys for namespace in await hub.namespaces() if namespace.ns == MEMORY) - (
        entry is not None
    )
    if existing > most:
        setting = to_json({"max_entries": max(2 * existing, most)})
        notify(
            f"the profile shared-memory keeps {amount(most)} memories, and {amount(existing)} are there: the next"
            f" that is added drops the oldest. To keep more: waggle set {SETTINGS} '{setting}' --ns {MEMORY}"
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
