"""No journal: nothing survives the process, so everything may be seen at once (`--memory`)."""

from __future__ import annotations

from ..state.log import Commit
from .port import Done


class NullJournal:
    """Keeps nothing."""

    durability = "memory"

    def write(self, commits: list[Commit], done: Done) -> None:
        done(None)
