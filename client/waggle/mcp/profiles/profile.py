"""The interface of a profile, and the result of one tool call."""

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
    """The result for the client: the text, the same as an object if it is one, and whether it is an error."""

    text: str
    structured: dict[str, Any] | None = None
    failed: bool = False


class Profile(Protocol):
    """A set of tools."""

    @property
    def instructions(self) -> str:
        """The text that a model reads about all tools together."""

    @property
    def resources(self) -> bool:
        """Whether the entries are served as resources, too."""

    @property
    def tools(self) -> list[types.Tool]:
        """The tools, in the order in which they are listed."""

    async def call(self, name: str, said: dict[str, Any], call: Call) -> ToolResult:
        """Call a tool with its arguments as the model gave them. An error of the hub is a result. Raises MCPError
        if there is no such tool, unless the profile returns that as a result, too."""

    def refused(self, error: WaggleError) -> ToolResult:
        """Return the result of a call that failed for a reason outside of the tools."""


def answered(reply: dict[str, Any], failed: bool = False) -> ToolResult:
    """Make a result of an object."""
    return ToolResult(to_json(reply), reply, failed)


def unknown(name: str) -> MCPError:
    """Make the protocol's error for a tool that does not exist."""
    return MCPError(types.INVALID_PARAMS, f"Unknown tool: {name}")


def now() -> str:
    """Return this instant as the earlier systems write it: ISO 8601, UTC, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def units(text: str) -> int:
    """Return the length of a text in UTF-16 code units, as the earlier systems in JavaScript count."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
