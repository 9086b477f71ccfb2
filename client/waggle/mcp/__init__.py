"""Waggle for models: the tools and resources of MCP, over anything that can give commands for an agent.

* `schemas`: the arguments of the tools. `tools`: the table of tools.
* `key_tools`, `lock_tools`, `wait_tool`: what each tool does. `time_limits`: how long a tool may take.
  `parked_waits`: waits that go on after that. `render`: replies as a model reads them.
* `resources`: the keys as resources.
* `profiles`: the sets of tools that a client can choose from, Waggle's own and those of earlier systems.
* `server`: an MCP server of a profile. `stdio` serves it to one editor, the hub at ``/mcp`` to all clients.

Only this package needs the distribution `mcp`.
"""

from __future__ import annotations

from typing import Final

__all__ = ["NATIVE", "PROFILES"]

NATIVE: Final = "native"
PROFILES: Final = (NATIVE, "octocode", "flow", "shared-memory")
"""The names of the profiles: Waggle's own tools, and those of earlier systems (`profiles.make_profile`)."""
