"""The shape of a profile, and what comes of one call of its tools."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

from mcp import types
from mcp.shared.exceptions import MCPError

from waggle.mcp.call import Call
from waggle.mcp.render import to_json
from waggle.wire.errors import WaggleError

__all__ = ["CHANGES", "READS", "Profile", "ToolResult", "answered", "now", "units", "unknown"]

READS = types.ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
"""What is said of a tool that changes nothing."""
CHANGES = types.ToolAnnotations(
    read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False
)
"""What is said of one that may take away what others have written; twice is the same as once."""


class ToolResult(NamedTuple):
    """What a client is told: the text, the same as an object if it is one, and whether it is an error."""

    text: str
    structured: dict[str, Any] | None = None
    failed: bool = False


class Profile(Protocol):
    """A set of tools."""

    @property
    def instructions(self) -> str:
        """What a model is told of all of them together."""

    @property
    def resources(self) -> bool:
        """Whether the entries are told as resources, too."""

    @property
    def tools(self) -> list[types.Tool]:
        """The tools, in the order in which they are listed."""

    async def call(self, name: str, said: dict[str, Any], call: Call) -> ToolResult:
        """Call a tool, its arguments as they were said. What the hub refuses is an answer. Raises MCPError if there
        is no such tool, unless that is an answer, too."""

    def refused(self, error: WaggleError) -> ToolResult:
        """That a call came to nothing, for a reason that lies outside of the tools."""


def answered(reply: dict[str, Any], failed: bool = False) -> ToolResult:
    """An answer that is an object."""
    return ToolResult(to_json(reply), reply, failed)


def unknown(name: str) -> MCPError:
    """That there is no such tool, as the protocol has it."""
    return MCPError(types.INVALID_PARAMS, f"Unknown tool: {name}")


def now() -> str:
    """This instant as the earlier systems write it: ISO 8601, UTC, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def units(text: str) -> int:
    """How long a text is for the earlier systems in JavaScript, whose characters are units of UTF-16."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
