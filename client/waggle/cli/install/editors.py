"""The editors that `waggle install` knows: the place of their settings, and the form of their entries."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from waggle.cli.install import config_edit

__all__ = ["EDITORS", "SERVER_NAME", "Editor", "entry_of", "is_ours", "own_command"]

SERVER_NAME = "waggle"

COPIED_VARIABLES = ("WAGGLE_URL", "WAGGLE_NS")
"""Variables of this environment that are written into an entry. Not WAGGLE_TOKEN: settings are shared and copied."""

Data = dict[str, Any]


class Editor(NamedTuple):
    """An editor: the settings file of the person, that of a project if it has one, the table of servers, and extra
    fields and arguments of an entry."""

    title: str
    home: Callable[[], Path]
    project: str | None
    table: str
    more: Data
    args: tuple[str, ...]

    @property
    def toml(self) -> bool:
        """Whether the settings file is TOML, and not JSON."""
        return self.table == "mcp_servers"

    def read(self, text: str) -> Data:
        """Return the servers in the settings. Raises ConfigEditError."""
        data = config_edit.toml_data(text) if self.toml else config_edit.json_data(text)
        servers = data.get(self.table, {})
        if not isinstance(servers, dict):
            raise config_edit.ConfigEditError(f"{self.table} is no table")
        return servers

    def put(self, text: str, entry: Data) -> str:
        """Return the settings with the entry. Raises ConfigEditError."""
        return (config_edit.toml_with if self.toml else config_edit.json_with)(text, self.table, SERVER_NAME, entry)

    def take_out(self, text: str) -> str:
        """Return the settings without the entry. Raises ConfigEditError."""
        return (config_edit.toml_without if self.toml else config_edit.json_without)(text, self.table, SERVER_NAME)


def entry_of(editor: Editor, command: str) -> Data:
    """Return the entry for an editor, with the hub and the namespace of this environment."""
    env = {name: os.environ[name] for name in COPIED_VARIABLES if os.environ.get(name)}
    carried = {"env": env} if env else {}
    return {**editor.more, "command": command, "args": ["mcp", *editor.args], **carried, **_tool_timeout(editor)}


def is_ours(entry: Any) -> bool:
    """Return whether `waggle install` could have written the entry, with any options."""
    if not isinstance(entry, dict) or not isinstance(entry.get("command"), str):
        return False
    return Path(entry["command"]).name == "waggle" and (entry.get("args") or [""])[0] == "mcp"


def own_command() -> str:
    """Return the full path of this program: an editor that no shell started may not have it on its PATH."""
    return shutil.which("waggle", path=str(Path(sys.executable).parent)) or shutil.which("waggle") or "waggle"


def _tool_timeout(editor: Editor) -> Data:
    """Return Codex's time limit for a tool, in seconds: longer than a call may take (`--limit`)."""
    return {"tool_timeout_sec": 300} if editor.toml else {}


def _home_path(variable: str, default: str, *rest: str) -> Callable[[], Path]:
    """Return a function for a path below the directory of an environment variable, or below the home directory."""

    def path() -> Path:
        directory = os.environ.get(variable)
        return (Path(directory) if directory else Path.home() / default).joinpath(*rest)

    return path


EDITORS = {
    "claude-code": Editor(
        "Claude Code",
        _home_path("CLAUDE_CONFIG_DIR", "", ".claude.json"),
        ".mcp.json",
        "mcpServers",
        {"type": "stdio"},
        (),
    ),
    "codex": Editor(
        "Codex", _home_path("CODEX_HOME", ".codex", "config.toml"), None, "mcp_servers", {}, ("--limit", "270")
    ),
    "cursor": Editor("Cursor", _home_path("", ".cursor", "mcp.json"), ".cursor/mcp.json", "mcpServers", {}, ()),
    "gemini": Editor(
        "Gemini CLI", _home_path("", ".gemini", "settings.json"), ".gemini/settings.json", "mcpServers", {}, ()
    ),
}
