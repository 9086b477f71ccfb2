"""The context of one tool call, beside the arguments."""

from __future__ import annotations

from typing import NamedTuple

from waggle.mcp.parked_waits import Parking
from waggle.mcp.time_limits import TimeLimit
from waggle.ops import Caller
from waggle.wire.file_locks import Place

__all__ = ["Call"]


class Call(NamedTuple):
    """One call of a tool: the caller, its time limit, the directory that file names are relative to, and the parked
    waits of earlier calls."""

    caller: Caller
    time_limit: TimeLimit
    place: Place
    parking: Parking

    @property
    def owner(self) -> tuple[str, str]:
        """The owner of parked waits: the agent in its namespace."""
        return self.caller.agent, self.caller.ns
