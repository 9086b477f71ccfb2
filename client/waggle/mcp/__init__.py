"""Waggle for models: the tools and resources of MCP, for whatever can give commands on an agent's behalf.

`arguments` is what a model may say; `actions`, `waits` and `grants` what is done then; `patience` how long one may
take, and `parking` what goes on after that; `showing` how what comes back looks; `resources` the keys as resources.
`profiles` are the sets of tools that a client can choose from: these, or those of an earlier system. `server` makes an
MCP server of one, which `stdio` serves to one editor, and the hub at ``/mcp`` to everybody. Needs the `mcp` package,
which nothing else here does.
"""

from __future__ import annotations

from typing import Final

__all__ = ["NATIVE", "PROFILES"]

NATIVE: Final = "native"
PROFILES: Final = (NATIVE, "octocode", "flow", "shared-memory")
"""The names of the profiles: Waggle's own tools, and those of earlier systems (`profiles.make_profile`)."""
