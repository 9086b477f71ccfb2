"""`waggle install`: what it writes where, what it leaves alone, and that it can take it back."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from waggle.cli.app import app
from waggle.cli.install.editors import EDITORS

FILES = {
    "claude-code": ".claude.json",
    "codex": ".codex/config.toml",
    "cursor": ".cursor/mcp.json",
    "gemini": ".gemini/settings.json",
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory with nothing in it, and a project in it."""
    for variable in ("CLAUDE_CONFIG_DIR", "CODEX_HOME", "WAGGLE_URL", "WAGGLE_NS", "WAGGLE_TOKEN"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "shop" / ".git").mkdir(parents=True)
    (tmp_path / "shop" / "src").mkdir()
    monkeypatch.chdir(tmp_path / "shop" / "src")
    return tmp_path


def run(*args: str, input: str | None = None) -> Any:
    return CliRunner().invoke(app, ["install", *args], input=input)


def servers(path: Path) -> Any:
    text = path.read_text()
    return tomllib.loads(text)["mcp_servers"] if path.suffix == ".toml" else json.loads(text)["mcpServers"]


@pytest.mark.parametrize("name", list(EDITORS))
def test_an_editor_is_told_of_this_program_and_no_other_change_is_made(home: Path, name: str) -> None:
    path = home / FILES[name]
    result = run(name, "--yes")
    assert result.exit_code == 0, result.output
    assert str(path) in result.output
    entry = servers(path)["waggle"]
    assert Path(entry["command"]).is_absolute()
    assert entry["args"][0] == "mcp"
    assert path.stat().st_mode & 0o077 == 0
    text = path.read_text()
    assert run(name, "--yes").exit_code == 0  # it is there already
    assert path.read_text() == text
    assert run(name, "--undo", "--yes").exit_code == 0
    assert "waggle" not in path.read_text()
    assert run(name, "--undo", "--yes").exit_code == 1  # there is nothing to take back


@pytest.mark.parametrize("name", list(EDITORS))
def test_the_editor_finds_the_hub_that_this_shell_does_and_no_token_is_written(
    home: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(name, "--yes").exit_code == 0
    assert "env" not in servers(home / FILES[name])["waggle"]
    assert run(name, "--undo", "--yes").exit_code == 0
    env = {"WAGGLE_URL": "http://hub.example:4483", "WAGGLE_NS": "shop"}
    for variable, value in {**env, "WAGGLE_TOKEN": "secret-7"}.items():
        monkeypatch.setenv(variable, value)
    result = run(name, "--yes")
    assert result.exit_code == 0, result.output
    assert servers(home / FILES[name])["waggle"]["env"] == env
    assert "secret-7" not in (home / FILES[name]).read_text() + result.output
    assert "WAGGLE_TOKEN" in result.output
    monkeypatch.setenv("WAGGLE_NS", "")
    result = run(name, "--yes")
    assert result.exit_code == 1
    assert f"waggle install {name} --undo" in result.output
    assert run(name, "--undo", "--yes").exit_code == 0
    assert "waggle" not in (home / FILES[name]).read_text()


def test_other_settings_and_the_permissions_of_the_file_stay(home: Path) -> None:
    path = home / ".gemini" / "settings.json"
    path.parent.mkdir()
    text = '// mine\n{\n   "theme": "x",\n   "mcpServers": {\n      "other": {"url": "y"}\n   }\n}\n'
    path.write_text(text)
    path.chmod(0o644)
    assert run("gemini", "--yes").exit_code == 0
    assert "// mine" in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o644
    assert run("gemini", "--yes", "--undo").exit_code == 0
    assert path.read_text() == text


def test_another_entry_of_that_name_is_neither_overwritten_nor_taken_out(home: Path) -> None:
    path = home / ".cursor" / "mcp.json"
    path.parent.mkdir()
    path.write_text('{"mcpServers": {"waggle": {"command": "something-else"}}}')
    for undo in ((), ("--undo",)):
        result = run("cursor", "--yes", *undo)
        assert result.exit_code == 1
        assert "something-else" in result.output
    assert path.read_text() == '{"mcpServers": {"waggle": {"command": "something-else"}}}'


def test_a_file_that_cannot_be_changed_safely_stays_and_the_text_to_write_is_printed(home: Path) -> None:
    path = home / ".claude.json"
    path.write_text('{"a": 1,}')
    result = run("claude-code", "--yes")
    assert result.exit_code == 2
    assert '"args": [' in result.output
    assert path.read_text() == '{"a": 1,}'


def test_without_a_terminal_nothing_is_written_unasked(home: Path) -> None:
    result = run("cursor")
    assert result.exit_code == 2
    assert "--yes" in result.output
    assert not (home / ".cursor").exists()


def test_of_a_project_only_its_own_file_is_changed_with_a_command_that_others_have_too(home: Path) -> None:
    assert run("claude-code", "--project", "--yes").exit_code == 0
    assert servers(home / "shop" / ".mcp.json")["waggle"]["command"] == "waggle"
    assert not (home / ".claude.json").exists()


def test_an_unknown_editor_or_a_missing_project_file_is_an_error() -> None:
    assert "claude-code, codex" in run("emacs").output
    assert run("codex", "--project", "--yes").exit_code == 2


def test_a_link_stays_and_its_target_is_changed(home: Path) -> None:
    (home / "dotfiles").mkdir()
    (home / "dotfiles" / "claude.json").write_text("{}")
    (home / ".claude.json").symlink_to(home / "dotfiles" / "claude.json")
    assert run("claude-code", "--yes").exit_code == 0
    assert (home / ".claude.json").is_symlink()
    assert "waggle" in servers(home / "dotfiles" / "claude.json")
