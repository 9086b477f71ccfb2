"""What a tool is given besides its arguments."""

from __future__ import annotations

from typing import NamedTuple

from waggle.calling import Caller
from waggle.mcp.patience import Patience
from waggle.paths import Place

__all__ = ["Call"]


class Call(NamedTuple):
    """One call of a tool: on whose behalf, how long it may take, and where the names of files are said."""

    caller: Caller
    patience: Patience
    place: Place
