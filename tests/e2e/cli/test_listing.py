"""The commands about many keys: list, search and clear."""

from __future__ import annotations

import json

import pytest

import waggle.sync
from tests.e2e.cli.shell import Shell, Terminal

pytestmark = pytest.mark.e2e


def test_list_is_lines_with_tabs_for_other_programs(shell: Shell) -> None:
    shell("set", "task:2", '"b\\tc"', "--agent", "impl-2", "--ttl", "1000")
    shell("set", "task:1", '{"n": 1}', "--agent", "impl-1")
    shell("set", "other", "1")
    rows = [line.split("\t") for line in shell("list", "task:*").stdout.splitlines()]
    assert [row[:2] for row in rows] == [["task:1", '{"n":1}'], ["task:2", '"b\\tc"']]
    assert [row[3] for row in rows] == ["impl-1", "impl-2"]
    assert rows[0][2] == "-"
    assert rows[1][2].startswith("16m")
    assert len(shell("list").stdout.splitlines()) == 3
    assert len(shell("list", "--limit", "2").stdout.splitlines()) == 2
    nothing = shell("list", "none*")
    assert (nothing.returncode, nothing.stdout, nothing.stderr) == (0, "", "")


def test_list_as_json_is_an_entry_a_line(shell: Shell) -> None:
    for n in range(3):
        shell("set", f"k{n}", str(n))
    assert [json.loads(line)["value"] for line in shell("list", "--json").stdout.splitlines()] == [0, 1, 2]


def test_list_without_values_has_none(shell: Shell) -> None:
    shell("set", "k", "1")
    (row,) = shell("list", "--no-values").stdout.splitlines()
    assert row.split("\t")[:2] == ["k", "-"]
    assert "value" not in json.loads(shell("list", "--no-values", "--json").stdout)


def test_list_and_clear_go_beyond_a_page(shell: Shell, agent: waggle.sync.Hub) -> None:
    agent.txn([{"op": "set", "key": f"n:{n}", "value": n} for n in range(128)])
    for n in range(1100):
        agent.set(f"m:{n:04}", n)
    assert len(shell("list", "m:*").stdout.splitlines()) == 1100
    assert len(shell("list", "m:*", "--limit", "1001").stdout.splitlines()) == 1001
    assert shell("clear", "m:*", "--yes").stdout == "1,100 deleted\n"
    assert len(agent.list(values=False)) == 128


def test_clear_without_a_terminal_needs_a_yes(shell: Shell, agent: waggle.sync.Hub) -> None:
    agent.set("k", 1)
    refused = shell("clear", "*")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "--yes" in refused.stderr
    assert agent.get("k")
    assert json.loads(shell("clear", "*", "-y", "--json").stdout) == {"deleted": 1}
    assert shell("clear", "*", "-y").stdout == "0 deleted\n"


@pytest.mark.parametrize(("answer", "code", "left"), [("y", 0, 1), ("n", 1, 8)])
def test_clear_on_a_terminal_shows_the_entries_and_asks(
    env: dict[str, str], agent: waggle.sync.Hub, answer: str, code: int, left: int
) -> None:
    agent.set("other", 1)
    for n in range(7):
        agent.set(f"k{n}", n)
    with Terminal(env, "clear", "k*") as terminal:
        asked = terminal.until("[y/N]")
        assert "Delete 7 entries" in asked
        assert "k0, k1, k2, k3, k4, ..." in asked.replace("\r\n", "")
        terminal.type(f"{answer}\n")
        ended, written = terminal.end()
    assert ended == code
    assert ("7 deleted" in written) == (code == 0)
    assert len(agent.list()) == left


def test_clear_of_nothing_does_not_ask(env: dict[str, str], agent: waggle.sync.Hub) -> None:
    with Terminal(env, "clear", "none*") as terminal:
        assert terminal.end() == (0, "nothing matches\n")


def test_search_is_lines_with_the_score_as_the_last_column(shell: Shell, agent: waggle.sync.Hub) -> None:
    agent.set("pattern/jwt", {"lesson": "Use httpOnly cookies"})
    agent.set("note", "cookies")
    (row,) = shell("search", "cookies use").stdout.splitlines()
    assert row.split("\t")[:2] == ["pattern/jwt", '{"lesson":"Use httpOnly cookies"}']
    assert float(row.split("\t")[5]) > 0
    (hit,) = shell("search", "cook*", "--pattern", "note", "--limit", "1", "--json").stdout.splitlines()
    assert (json.loads(hit)["key"], json.loads(hit)["score"] > 0) == ("note", True)


def test_search_that_finds_nothing_is_a_no_and_one_without_a_word_an_error(shell: Shell) -> None:
    nothing = shell("search", "absent")
    assert (nothing.returncode, nothing.stdout) == (1, "")
    assert "no entry has these words" in nothing.stderr
    wrong = shell("search", "?!")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "letters or digits" in wrong.stderr
