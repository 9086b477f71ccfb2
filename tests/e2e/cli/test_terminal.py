"""The output on a terminal: tables, colours, and lines no wider than the terminal."""

from __future__ import annotations

import re

import pytest
from rich.cells import cell_len

import waggle.sync
from tests.e2e.cli.shell import Terminal

pytestmark = pytest.mark.e2e


def shown(env: dict[str, str], *args: str, width: int = 80) -> str:
    """Return the output of `waggle` with these arguments on a terminal."""
    with Terminal(env, *args, width=width) as terminal:
        code, written = terminal.end()
    assert code == 0, written
    return written


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[\d;]*m", "", text)


def test_for_people_there_are_tables_and_colours(env: dict[str, str], agent: waggle.sync.Hub) -> None:
    agent.set("task:1", {"text": "long " * 50}, ttl=60)
    text = plain(shown(env, "list"))
    assert text.split()[:5] == ["KEY", "VALUE", "LEFT", "BY", "REV"]
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "\n  " in shown(env, "get", "task:1")
    watch = ("watch", "--snapshot", "--count", "1")
    assert "\x1b[" in shown(env, *watch)
    assert "\x1b[" not in shown({**env, "NO_COLOR": "1"}, *watch)
    assert "STATUS" in shown(env, "agents")


@pytest.mark.parametrize("width", [40, 80, 140])
def test_nothing_is_wider_than_the_terminal(env: dict[str, str], agent: waggle.sync.Hub, width: int) -> None:
    for n in range(3):
        agent.set("doc:" + "日本語" * 5, {"text": "wörd " * 60 + str(n), "n": n}, kind="versioned")
    key = "doc:" + "日本語" * 5
    agent.lock(key, "another name", pattern=None).acquire()
    for command in (
        ("list",), ("list", "--no-values"), ("history", key), ("watch", "--snapshot", "--count", "1"), ("log", "doc*"),
        ("agents",), ("namespaces",), ("stats",), ("top", "--once"),
        ("locks",), ("wait", "--pattern", "doc*"),
    ):  # fmt: skip
        for line in plain(shown(env, *command, width=width)).splitlines():
            assert cell_len(line) <= width or line.startswith("waggle: "), command


def test_history_shows_the_changes_of_each_version(env: dict[str, str], agent: waggle.sync.Hub) -> None:
    agent.set("k", {"state": "open", "by": "a"}, kind="versioned")
    agent.set("k", {"state": "done", "tests": 3}, kind="versioned")
    lines = plain(shown(env, "history", "k")).splitlines()
    assert lines[0].startswith("version 2  rev ")
    assert lines[1:4] == ['  ~ state: "open" -> "done"', '  - by: "a"', "  + tests: 3"]
    assert lines[4].startswith("version 1  rev ")
    assert lines[5] == '  {"state":"open","by":"a"}'


def test_the_log_has_the_revision_of_each_event(env: dict[str, str], agent: waggle.sync.Hub) -> None:
    rev = agent.set("k", 1).rev
    assert f"  {rev}  set      k  {agent.agent}  1\n" in plain(shown(env, "log", "k"))
