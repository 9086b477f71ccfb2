"""What the engine asks of a journal.

The engine hands over the commits of a turn and goes on deciding. When the journal calls `done(None)`, everything up to
and with that turn is as safe as the journal's mode promises, and may be seen. Calls of `done` come in the order of the
writes, on the event loop's thread, at once or later.

`done(error)` says that these commits are not kept. What a journal has failed to keep must never be seen, and the
machine already holds it: so a failed engine shows nothing any more and answers `unavailable` until the hub starts again
from what was kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ..state.log import Commit

Done = Callable[[Exception | None], None]


class Journal(Protocol):
    """A place where commits survive."""

    durability: str
    """The name of what it promises, as `hello` shows it: memory, relaxed or full."""

    def write(self, commits: list[Commit], done: Done) -> None:
        """Keep these commits, then call `done` once. A turn that changed nothing comes with no commits."""
