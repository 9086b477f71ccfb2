"""Defaults for an unconfigured window: the namespace of its project, and a name.

Rules:

1. **A project is a repository,** and its namespace is the name of the repository's directory with six digits that
   tell it from another directory of that name: ``shop-3f9a1c``. All worktrees of a repository are one project.
2. **Without a repository** the project is the current directory; the home directory and the root are no project:
   ``default``.
3. **A window's name** is its program's and six digits: ``claude-code-5b2e1f``. Two windows are two agents.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from pathlib import Path

from waggle.wire.file_locks import repository
from waggle.wire.limits import MAX_AGENT_CHARS

__all__ = ["DEFAULT", "agent_name", "project_ns"]

DEFAULT = "default"
MAX_NAME_CHARS = 50
"""Characters of the directory's name that are kept: a namespace has 64."""


def project_ns(here: Path) -> str:
    """Return the namespace of the project that a directory, an absolute path without links, belongs to."""
    root = repository(here)
    home = _home(root) if root is not None else here
    name = re.sub(r"[^a-zA-Z0-9_.-]+", "-", home.name).strip("-.")[:MAX_NAME_CHARS]
    if root is None and here in (Path.home(), Path(here.anchor)):
        return DEFAULT
    digits = hashlib.sha256(str(home).encode("utf-8", "surrogateescape")).hexdigest()[:6]
    return f"{name or 'project'}-{digits}"


def _home(root: Path) -> Path:
    """Return the main directory of a repository: of a worktree, the repository that it was made from."""
    pointer = root / ".git"
    if pointer.is_file():
        found = re.match(r"gitdir: (.+)/\.git/worktrees/[^/\n]+\s*$", pointer.read_text(errors="replace"))
        if found:
            return (root / found[1]).resolve()
    return root


def agent_name(program: str | None) -> str:
    """Return a name that no other window has."""
    said = re.sub(r"[^a-zA-Z0-9_.-]+", "-", program or "").strip("-.")[: MAX_AGENT_CHARS - 10]
    return f"{said or 'mcp'}-{secrets.token_hex(3)}"
