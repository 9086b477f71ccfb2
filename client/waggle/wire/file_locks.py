"""File names as lock names: every agent gets the same lock name for a file, however it writes the path (protocol 6).

The rules:

1. **A lock name is relative to the repository,** with ``/``, in Unicode's NFC: ``src/auth/login.py``.
2. **A plain name counts as relative to the repository already,** so ``deploy`` and ``task:7`` stay as they are, in
   every directory. A path that begins with ``./`` or ``../`` is relative to the current directory. An absolute path
   outside of the repository stays as it is.
3. **A symbolic link becomes its target,** if that is in the repository: two names of one file are one lock.
4. **A backslash** separates directories, as on Windows. In a pattern it takes the next character as itself.
5. Where the repository is not known (in the hub's own transports), a path that needs it is refused.
"""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path
from typing import NamedTuple

from waggle.wire.errors import BadRequest

__all__ = ["UNKNOWN_ROOT", "Place", "lock_name", "lock_pattern", "repository"]

_wild = re.compile(r"[*?\[\\]").search
_drive = re.compile(r"[A-Za-z]:[\\/]").match
_no_path = re.compile("[\x00\ud800-\udfff]").search
"""Characters that no file name has. The hub refuses such a name."""
_scheme = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://").match


class Place(NamedTuple):
    """The repository's root and the current directory, both without symbolic links."""

    root: Path | None
    here: Path | None

    @classmethod
    def current(cls) -> Place:
        """Return the place of this process."""
        here = Path.cwd().resolve()
        return cls(repository(here), here)


UNKNOWN_ROOT = Place(None, None)
"""The place of a transport that does not know the directories of its callers."""


def repository(here: Path) -> Path | None:
    """Return the root of the repository of ``here``: the nearest directory upwards with a ``.git``, or None."""
    for directory in (here, *here.parents):
        if (directory / ".git").exists():
            return directory
    return None


def lock_name(path: str, place: Place) -> str:
    """Return the lock name of a file, or of anything else that agents agree on. Raises BadRequest by rule 5."""
    text = unicodedata.normalize("NFC", path)
    if _scheme(text) or _no_path(text):
        return text
    return _relative(text.replace("\\", "/"), place)


def lock_pattern(pattern: str, place: Place) -> str:
    """Return the lock pattern of a file pattern: the part before its first wildcard is a path, the rest stays."""
    text = unicodedata.normalize("NFC", pattern)
    found = _wild(text)
    if found is None:
        return lock_name(pattern, place)
    if _no_path(text):
        return text
    head, slash, tail = text[: found.start()].rpartition("/")
    rest = tail + text[found.start() :]
    if not slash:
        return rest
    base = _relative(head or "/", place)
    return rest if base == "." else f"{base.rstrip('/')}/{rest}"


def _relative(text: str, place: Place) -> str:
    """Return the path relative to the repository."""
    absolute = text.startswith("/") or _drive(text) is not None
    dotted = text in (".", "..") or text.startswith(("./", "../"))
    if not (absolute or dotted):
        cleaned = _cleaned(text)
        if cleaned.startswith("../") or cleaned == "..":
            raise BadRequest(f"{text!r} leads out of the repository: give a path within it.", field="name")
        return _linked(cleaned, place) if place.root is not None else cleaned
    if absolute and _drive(text) and os.sep == "/":
        raise BadRequest(f"{text!r} is on another machine: give it relative to the repository.", field="name")
    base = place.here
    if base is None:
        if absolute or text == ".." or _cleaned(text).startswith(".."):
            raise BadRequest(
                f"The hub does not know where {text!r} is on your side: give it relative to the repository, such as"
                " src/auth.py.",
                field="name",
            )
        return _cleaned(text)
    full = os.path.realpath(os.path.join(base, text))
    return _within(full, place.root) or _within(os.path.normpath(os.path.join(base, text)), place.root) or _nfc(full)


def _linked(name: str, place: Place) -> str:
    """Return the target of a name that is a symbolic link into the repository, else the name."""
    assert place.root is not None
    path = os.path.join(place.root, name)
    if not os.path.lexists(path):
        return name
    return _within(os.path.realpath(path), place.root) or name


def _within(full: str, root: Path | None) -> str | None:
    """Return the path relative to the root, or None if it is not below it."""
    if root is None:
        return None
    relative = os.path.relpath(full, root)
    return None if relative == ".." or relative.startswith(f"..{os.sep}") else _nfc(relative.replace(os.sep, "/"))


def _cleaned(text: str) -> str:
    """Return the path without ``.``, ``..`` and doubled slashes, as far as the text alone shows."""
    return os.path.normpath(text).replace(os.sep, "/") if text else text


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)
