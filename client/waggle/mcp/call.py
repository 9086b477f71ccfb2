"""What a tool is given besides its arguments."""

from __future__ import annotations

from typing import NamedTuple

from waggle.mcp.parked_waits import Parking
from waggle.mcp.time_limits import TimeLimit
from waggle.ops import Caller
from waggle.wire.file_locks import Place

__all__ = ["Call"]


class Call(NamedTuple):
    """One call of a tool: on whose behalf, how long it may take, where the names of files are said, and what earlier
    calls have left waiting."""

    caller: Caller
    patience: TimeLimit
    place: Place
    parking: Parking

    @property
    def owner(self) -> tuple[str, str]:
        """Whose what is left waiting is."""
        return self.caller.agent, self.caller.ns
