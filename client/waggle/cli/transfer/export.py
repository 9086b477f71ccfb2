"""The command `export`: entries as JSON lines, all of one revision.

The entries come from a snapshot. If the connection is lost halfway, the snapshot and the file begin again. The
output appears only when it is complete.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated

import msgspec
import typer
from msgspec import UNSET, Raw

from waggle import Event, Hub
from waggle.cli.commands.list import Pattern
from waggle.cli.output.format import amount, to_json, visible
from waggle.cli.output.progress import Progress
from waggle.cli.shared.connect import exit_error, exit_output_closed, run_with_hub
from waggle.cli.shared.options import Options, shared
from waggle.cli.transfer.entry_file import HEADER_BYTES
from waggle.wire.export_lines import VERSION, ExportLine, Header

__all__ = ["export"]

STDOUT = "-"


@shared
def export(
    options: Options,
    pattern: Pattern = "*",
    everything: Annotated[bool, typer.Option("--all", help="Every namespace, except the hub's own.")] = False,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="The file; it appears when it is complete.")
    ] = STDOUT,
) -> None:
    """Write the entries whose key matches PATTERN as JSON lines, all of one revision.

    Each line has key, namespace, value, kind, meta and deadline; waggle import reads them. Revisions, versions,
    history and authors are not in it: a backup has those.
    """
    ns = "*" if everything else options.ns

    header = Header(waggle="export", version=VERSION, entries=0)
    with _output_file(output) as file:

        async def work(hub: Hub) -> None:
            with Progress("exported") as progress:
                await _export(hub, pattern, ns, file, header, progress)

        run_with_hub(options, work)
    if output != STDOUT:
        summary = f"{visible(output)}: {amount(header.entries or 0)} exported, at rev {header.rev}"
        print(to_json(header) if options.json else summary)


async def _export(hub: Hub, pattern: str, ns: str | None, file: IO[bytes], header: Header, progress: Progress) -> None:
    """Write a header and the entries."""
    file.write(_header_line(header))
    async with hub.watch(pattern, ns=ns, types=["set"], snapshot=True) as events:
        async for event in events:
            if event.type == "synced":
                header.epoch, header.rev = events.epoch, event.rev
                break
            if event.type == "lost":
                progress.add(-progress.done)
                file.seek(HEADER_BYTES)
                file.truncate()
            else:
                file.write(_line(event))
                progress.add(1)
    header.at, header.entries = (await hub.ping()).at, progress.done
    file.seek(0)
    file.write(_header_line(header))


def _header_line(header: Header) -> bytes:
    """Return the header as a line of `HEADER_BYTES` bytes: the header is written again when the entries are
    counted."""
    return msgspec.json.encode(header).ljust(HEADER_BYTES - 1) + b"\n"


def _line(event: Event) -> bytes:
    line = ExportLine(
        ns=event.ns,
        key=event.key,
        value=Raw(msgspec.json.encode(event.value)),
        kind="persistent" if event.kind == "persistent" else event.kind,  # type: ignore[arg-type]  # the very default
        meta=None if event.meta is UNSET else event.meta,
        expires_at=None if event.expires_at is UNSET else event.expires_at,
    )
    return msgspec.json.encode(line) + b"\n"


@contextmanager
def _output_file(output: str) -> Iterator[IO[bytes]]:
    """Yield a temporary file; when the block ends without an error, it becomes the output as a whole."""
    if output == STDOUT:
        with tempfile.TemporaryFile() as file:
            yield file
            file.seek(0)
            try:
                shutil.copyfileobj(file, sys.stdout.buffer)
                sys.stdout.flush()
            except BrokenPipeError:
                exit_output_closed()
        return
    path = Path(output).resolve()
    if path.exists() and not path.is_file():
        exit_error(f"{output} is no file: name a file, or leave out --output.")
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        exit_error(f"{output} cannot be written: {error.strerror}.")
    try:
        with open(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
