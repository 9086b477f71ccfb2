"""The command `install`: add `waggle mcp` to the settings of an editor, or remove it."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from waggle.cli.install.config_edit import ConfigEditError
from waggle.cli.install.editors import EDITORS, SERVER_NAME, Editor, entry_of, is_ours, own_command
from waggle.cli.shared.connect import exit_error, exit_no
from waggle.wire.file_locks import Place

__all__ = ["install"]


def install(
    program: Annotated[
        str,
        typer.Argument(
            metavar="PROGRAM",
            show_default=False,
            help=f"One of {', '.join(EDITORS)}.",
            autocompletion=lambda: list(EDITORS),
        ),
    ],
    project: Annotated[
        bool, typer.Option("--project", help="Only for this project, in a file that can be shared with it.")
    ] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Remove the entry again.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Add waggle mcp to an editor's settings; print first what that is, and ask.

    Nothing else in the file changes. Another entry of the same name stays, and the exit code is 1.
    """
    editor = EDITORS.get(program)
    if editor is None:
        raise typer.BadParameter(f"it is one of {', '.join(EDITORS)}; for others see docs/mcp.md.")
    path = _settings_file(editor, project)
    entry = entry_of(editor, "waggle" if project else own_command())
    try:
        text = path.read_bytes().decode() if path.exists() else ""
        existing = editor.read(text).get(SERVER_NAME)
        if undo:
            _undo(editor, path, text, existing, yes)
        else:
            _install(editor, path, text, existing, entry, yes)
    except (ConfigEditError, UnicodeDecodeError) as error:
        exit_error(f"{path} stays as it is: {error}. What to write into it:\n{_rendered(editor, entry)}")
    except OSError as error:
        exit_error(f"{path} cannot be read or written: {error.strerror or error}.")


def _install(editor: Editor, path: Path, text: str, existing: Any, entry: dict[str, Any], yes: bool) -> None:
    if existing == entry:
        print(f"{editor.title} has it already: {path}")
        return
    if existing is not None:
        hint = f"; waggle install {_name(editor)} --undo removes it" if is_ours(existing) else ""
        exit_no(f"{path} has another entry named {SERVER_NAME}, which stays: {json.dumps(existing)}{hint}")
    changed = editor.put(text, entry)
    print(f"{path}:\n{_rendered(editor, entry)}")
    if os.environ.get("WAGGLE_TOKEN"):
        print(f"WAGGLE_TOKEN is not written: {editor.title} needs to have it in its environment.")
    _confirm("Write this?", yes)
    _write(path, changed)
    print(f"{editor.title} uses it from its next start on; waggle install {_name(editor)} --undo removes it.")


def _undo(editor: Editor, path: Path, text: str, existing: Any, yes: bool) -> None:
    if existing is None:
        exit_no(f"{path} has no entry named {SERVER_NAME}")
    if not is_ours(existing):
        exit_no(f"{path} has another entry named {SERVER_NAME}, which stays: {json.dumps(existing)}")
    changed = editor.take_out(text)
    print(f"{path}, without:\n{_rendered(editor, existing)}")
    _confirm("Remove this?", yes)
    _write(path, changed)


def _confirm(question: str, yes: bool) -> None:
    """Ask the person. Raises typer.Exit unless the answer is yes."""
    if yes:
        return
    if not sys.stdin.isatty():
        exit_error("standard input is no terminal, so nothing was asked: say --yes")
    if not typer.confirm(question, err=True):
        exit_no("nothing was written")


def _settings_file(editor: Editor, project: bool) -> Path:
    """Return the settings file of the editor; behind a symbolic link, the target."""
    if not project:
        return editor.home().resolve()
    if editor.project is None:
        raise typer.BadParameter(f"{editor.title} has no such file of a project: leave out --project.")
    place = Place.current()
    assert place.here is not None
    return (place.root or place.here) / editor.project


def _rendered(editor: Editor, entry: dict[str, Any]) -> str:
    return editor.put("", entry).rstrip()


def _name(editor: Editor) -> str:
    return next(name for name, candidate in EDITORS.items() if candidate is editor)


def _write(path: Path, text: str) -> None:
    """Replace the file as a whole, with the same permissions."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, mode)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
