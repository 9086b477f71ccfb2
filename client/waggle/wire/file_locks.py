"""How a file becomes the name of a lock: the same name, whoever says it and however (protocol 6).

The rules:

1. **Relative to the repository,** with ``/``, in Unicode's NFC: ``src/auth/login.py``.
2. **A name is taken as relative to the repository already,** so ``deploy`` and ``task:7`` stay what they are, from
   whatever directory. What begins with ``./`` or ``../`` is meant from the current directory; an absolute path is
   what it is, if it lies outside of the repository.
3. **A symbolic link is what it leads to,** if that is in the repository: two names for one file are one lock.
4. **A backslash** separates, as on Windows; in a pattern it takes the next character as itself, as everywhere.
5. Where the repository cannot be known (the hub's own doors), only what needs none is a name: the rest is refused.
"""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path
from typing import NamedTuple

from waggle.wire.errors import BadRequest

__all__ = ["NOWHERE", "Place", "lock_name", "lock_pattern", "repository"]

_wild = re.compile(r"[*?\[\\]").search
_drive = re.compile(r"[A-Za-z]:[\\/]").match
_no_path = re.compile("[\x00\ud800-\udfff]").search
"""What no file can be called: as a name it is for the hub to refuse."""
_scheme = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://").match


class Place(NamedTuple):
    """Where names are said: the repository's root and the current directory, both with no link in them."""

    root: Path | None
    here: Path | None

    @classmethod
    def current(cls) -> Place:
        """That of this process."""
        here = Path.cwd().resolve()
        return cls(repository(here), here)


NOWHERE = Place(None, None)
"""That of a door which does not know where its callers are."""


def repository(here: Path) -> Path | None:
    """The root of the repository that ``here`` is in: the nearest directory upwards with a ``.git``. None without."""
    for directory in (here, *here.parents):
        if (directory / ".git").exists():
            return directory
    return None


def lock_name(said: str, place: Place) -> str:
    """The lock's name for a file, or for anything else that agents agree on. Raises BadRequest where it cannot know."""
    text = unicodedata.normalize("NFC", said)
    if _scheme(text) or _no_path(text):
        return text
    return _relative(text.replace("\\", "/"), place)


def lock_pattern(said: str, place: Place) -> str:
    """The same for a pattern: what stands before its first wildcard is a path, the rest stays as it is."""
    text = unicodedata.normalize("NFC", said)
    found = _wild(text)
    if found is None:
        return lock_name(said, place)
    if _no_path(text):
        return text
    head, slash, tail = text[: found.start()].rpartition("/")
    rest = tail + text[found.start() :]
    if not slash:
        return rest
    base = _relative(head or "/", place)
    return rest if base == "." else f"{base.rstrip('/')}/{rest}"


def _relative(text: str, place: Place) -> str:
    """The path as the repository has it."""
    absolute = text.startswith("/") or _drive(text) is not None
    dotted = text in (".", "..") or text.startswith(("./", "../"))
    if not (absolute or dotted):
        cleaned = _cleaned(text)
        if cleaned.startswith("../") or cleaned == "..":
            raise BadRequest(f"{text!r} leads out of the repository: say a path within it.", field="name")
        return _linked(cleaned, place) if place.root is not None else cleaned
    if absolute and _drive(text) and os.sep == "/":
        raise BadRequest(f"{text!r} is on another machine: say it relative to the repository.", field="name")
    base = place.here
    if base is None:
        if absolute or text == ".." or _cleaned(text).startswith(".."):
            raise BadRequest(
                f"The hub does not know where {text!r} is on your side: say it relative to the repository, such as"
                " src/auth.py.",
                field="name",
            )
        return _cleaned(text)
    full = os.path.realpath(os.path.join(base, text))
    return _within(full, place.root) or _within(os.path.normpath(os.path.join(base, text)), place.root) or _nfc(full)


def _linked(name: str, place: Place) -> str:
    """The name of what a link leads to, if it is one and that is in the repository."""
    assert place.root is not None
    path = os.path.join(place.root, name)
    if not os.path.lexists(path):
        return name
    return _within(os.path.realpath(path), place.root) or name


def _within(full: str, root: Path | None) -> str | None:
    """The path relative to the root, or None if it is not below it."""
    if root is None:
        return None
    relative = os.path.relpath(full, root)
    return None if relative == ".." or relative.startswith(f"..{os.sep}") else _nfc(relative.replace(os.sep, "/"))


def _cleaned(text: str) -> str:
    """Without ``.``, ``..`` and doubled slashes, as far as the text alone can say."""
    return os.path.normpath(text).replace(os.sep, "/") if text else text


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)
