"""The programs that `waggle install` knows: where each keeps its MCP servers, and what it needs to be told."""

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
"""What of this environment is written into an entry. Not WAGGLE_TOKEN: settings are shared, copied and backed up."""

Data = dict[str, Any]


class Editor(NamedTuple):
    """One program: its file for all of a person's projects, the one within a project, if it reads such, the table of
    servers in it, what an entry has besides the command, and what its command is told."""

    title: str
    home: Callable[[], Path]
    project: str | None
    table: str
    more: Data
    args: tuple[str, ...]

    @property
    def toml(self) -> bool:
        """Whether its file is TOML, and not JSON."""
        return self.table == "mcp_servers"

    def read(self, text: str) -> Data:
        """The servers that the file has. Raises CannotSpliceError."""
        data = config_edit.toml_data(text) if self.toml else config_edit.json_data(text)
        servers = data.get(self.table, {})
        if not isinstance(servers, dict):
            raise config_edit.ConfigEditError(f"{self.table} is no table")
        return servers

    def put(self, text: str, entry: Data) -> str:
        """The text with the entry. Raises CannotSpliceError."""
        return (config_edit.toml_with if self.toml else config_edit.json_with)(text, self.table, SERVER_NAME, entry)

    def take_out(self, text: str) -> str:
        """The text without it. Raises CannotSpliceError."""
        return (config_edit.toml_without if self.toml else config_edit.json_without)(text, self.table, SERVER_NAME)


def entry_of(editor: Editor, command: str) -> Data:
    """What is written for an editor, with the hub and the namespace that this environment names."""
    env = {name: os.environ[name] for name in COPIED_VARIABLES if os.environ.get(name)}
    carried = {"env": env} if env else {}
    return {**editor.more, "command": command, "args": ["mcp", *editor.args], **carried, **_tool_timeout(editor)}


def is_ours(entry: Any) -> bool:
    """Whether an entry is one that `waggle install` could have written, with whatever options."""
    if not isinstance(entry, dict) or not isinstance(entry.get("command"), str):
        return False
    return Path(entry["command"]).name == "waggle" and (entry.get("args") or [""])[0] == "mcp"


def own_command() -> str:
    """This program, by its whole path: an editor that was not started from a shell finds it by no other."""
    return shutil.which("waggle", path=str(Path(sys.executable).parent)) or shutil.which("waggle") or "waggle"


def _tool_timeout(editor: Editor) -> Data:
    """Codex is told to wait for longer than a call may take (`--limit`)."""
    return {"tool_timeout_sec": 300} if editor.toml else {}


def _home_path(variable: str, otherwise: str, *rest: str) -> Callable[[], Path]:
    """A path below a directory that a variable of the environment names, or one in the home directory."""

    def path() -> Path:
        said = os.environ.get(variable)
        return (Path(said) if said else Path.home() / otherwise).joinpath(*rest)

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
