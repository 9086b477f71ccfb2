"""Which project a directory belongs to, and what a window is called."""

from __future__ import annotations

import subprocess
from pathlib import Path

from waggle.mcp.project import DEFAULT, agent_name, project_ns
from waggle.wire.names import check_agent, check_ns


def test_all_of_a_repository_is_one_project(tmp_path: Path) -> None:
    root = tmp_path.resolve() / "shop"
    (root / "src").mkdir(parents=True)
    (root / ".git").mkdir()
    assert project_ns(root) == project_ns(root / "src")
    assert project_ns(root).startswith("shop-")


def test_two_repositories_of_one_name_are_two_projects(tmp_path: Path) -> None:
    roots = [tmp_path.resolve() / side / "shop" for side in ("a", "b")]
    for root in roots:
        (root / ".git").mkdir(parents=True)
    assert len({project_ns(root) for root in roots}) == 2


def test_a_worktree_is_the_project_it_was_made_from(tmp_path: Path) -> None:
    root = tmp_path.resolve() / "shop"
    root.mkdir()
    git = ["git", "-C", str(root), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "Begin"], check=True)
    subprocess.run([*git, "worktree", "add", "-q", "../feature"], check=True)
    assert project_ns(tmp_path.resolve() / "feature") == project_ns(root)


def test_every_directory_gives_a_valid_namespace(tmp_path: Path) -> None:
    for name in ("with space", "\u00fcber", "...", "x" * 200, "a/b", "-"):
        directory = tmp_path.resolve() / name
        directory.mkdir(parents=True)
        check_ns(project_ns(directory))


def test_home_and_the_root_are_no_project(tmp_path: Path, monkeypatch: object) -> None:
    assert project_ns(Path.home()) == DEFAULT
    assert project_ns(Path("/")) == DEFAULT


def test_two_windows_of_one_program_have_two_names() -> None:
    names = {agent_name("claude-code") for _ in range(20)}
    assert len(names) > 15
    assert all(name.startswith("claude-code-") for name in names)
    for program in (None, "", "\u4e2d\u6587 editor", "x" * 300, "$agents"):
        check_agent(agent_name(program))
