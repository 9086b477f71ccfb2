"""Profiles: sets of tools, of which a client chooses one.

Each is a class of the shape in `profile`. A profile is a thin layer over the hub's commands: it writes entries like
any other, which every door sees. Profiles of earlier systems are in `waggle.compat`.
"""

from __future__ import annotations

from waggle.mcp.profiles.profile import Profile

__all__ = ["make_profile"]


def make_profile(name: str) -> Profile:
    """Make the profile of this name, for one server. Raises KeyError."""
    match name:
        case "native":
            from waggle.mcp.profiles.native import Native

            return Native()
        case "flow":
            from waggle.compat.claude_flow import Flow

            return Flow()
        case "octocode":
            from waggle.compat.octocode import Octocode

            return Octocode()
        case "shared-memory":
            from waggle.compat.shared_memory import SharedMemory

            return SharedMemory()
        case _:
            raise KeyError(name)
