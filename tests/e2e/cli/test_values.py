"""Changing values where they are, several at once, and what they were before."""

from __future__ import annotations

import json

import pytest

from tests.e2e.cli.shell import Shell

pytestmark = pytest.mark.e2e


# --- update ------------------------------------------------------------------------------------------------------


def test_update_prints_the_new_value(shell: Shell) -> None:
    assert shell("update", "n", "--incr", "1").stdout == "1\n"
    assert shell("update", "n", "--incr", "-3").stdout == "-2\n"
    assert shell("update", "n", "--incr", "0.5").stdout == "-1.5\n"
    assert shell("update", "list", "--append", '{"a": 1}').stdout == '[{"a":1}]\n'
    assert shell("update", "doc", "--merge", '{"a": 1, "b": {"c": 2}}').stdout == '{"a":1,"b":{"c":2}}\n'
    assert shell("update", "doc", "--merge", '{"a": null}').stdout == '{"b":{"c":2}}\n'
    assert shell("update", "doc", "--incr", "5", "--pointer", "/b/c").stdout == '{"b":{"c":7}}\n'
    patch = '[{"op": "replace", "path": "/b", "value": 0}]'
    assert shell("update", "doc", "--patch", "-", stdin=patch).stdout == '{"b":0}\n'


def test_update_as_json_is_the_reply(shell: Shell) -> None:
    updated = json.loads(shell("update", "n", "--incr", "1", "--ttl", "100", "--json").stdout)
    entry = json.loads(shell("get", "n", "--json").stdout)
    assert {name: entry[name] for name in updated} == updated
    assert updated["expires_at"] is not None


def test_an_update_that_does_not_hold_is_a_plain_no(shell: Shell) -> None:
    shell("set", "k", '{"a": 1}')
    assert shell("update", "k", "--merge", "{}", "--if-rev", "0").returncode == 1
    test = '[{"op": "test", "path": "/a", "value": 2}]'
    result = shell("update", "k", "--patch", test, "--json")
    assert result.returncode == 1
    assert json.loads(result.stdout)["error"]["current"]["value"] == {"a": 1}


def test_an_update_that_does_not_apply_is_an_error(shell: Shell) -> None:
    shell("set", "k", '"text"')
    result = shell("update", "k", "--incr", "1")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("waggle: ")


# --- txn ---------------------------------------------------------------------------------------------------------

MOVE = {
    "if": [{"key": "todo:1", "exists": True}],
    "then": [{"op": "delete", "key": "todo:1"}, {"op": "set", "key": "done:1", "value": 1}],
    "else": [{"op": "publish", "channel": "chat", "data": "nothing to do"}],
}


def test_txn_takes_then_or_else_and_says_which_by_its_exit_code(shell: Shell) -> None:
    shell("set", "todo:1", "1")
    first = shell("txn", json.dumps(MOVE))
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout.startswith("then: rev ")
    assert "  delete todo:1: deleted true\n  set done:1: version 1\n" in first.stdout
    assert shell("get", "done:1").stdout == "1\n"
    second = shell("txn", stdin=json.dumps(MOVE))
    assert second.returncode == 1
    assert second.stdout.startswith("else: rev ")
    assert "not all conditions hold" in second.stderr


def test_txn_as_json_is_the_reply(shell: Shell) -> None:
    done = json.loads(shell("txn", "-", "--json", stdin='{"then": [{"op": "set", "key": "a", "value": 1}]}').stdout)
    assert done["done"] == "then"
    assert done["results"][0]["version"] == 1


def test_a_txn_that_is_refused_has_done_nothing_and_says_at_which_step(shell: Shell) -> None:
    steps = [{"op": "set", "key": "a", "value": 1}, {"op": "touch", "key": "none", "ttl": 5}]
    result = shell("txn", json.dumps({"then": steps}))
    assert (result.returncode, result.stdout) == (1, "")
    assert "nothing was done, step 1" in result.stderr
    assert shell("get", "a").returncode == 1
    assert shell("txn", '{"then": [{"op": "dance"}]}').returncode == 2


# --- history -----------------------------------------------------------------------------------------------------


def test_history_is_a_version_a_line_newest_first(shell: Shell) -> None:
    for n in range(3):
        shell("set", "k", f'{{"n": {n}}}', "--kind", "versioned", "--agent", f"impl-{n}")
    rows = [line.split("\t") for line in shell("history", "k").stdout.splitlines()]
    assert [(row[0], row[3], row[4]) for row in rows] == [(f"{n + 1}", f"impl-{n}", f'{{"n":{n}}}') for n in (2, 1, 0)]
    assert len(shell("history", "k", "--limit", "2").stdout.splitlines()) == 2
    entries = [json.loads(line) for line in shell("history", "k", "--json").stdout.splitlines()]
    assert [entry["value"]["n"] for entry in entries] == [2, 1, 0]


def test_history_says_why_there_is_only_one_version(shell: Shell) -> None:
    shell("set", "k", "1")
    result = shell("history", "k")
    assert (result.returncode, len(result.stdout.splitlines())) == (0, 1)
    assert "--kind versioned" in result.stderr


def test_history_of_an_absent_key_is_a_plain_no_that_points_to_the_log(shell: Shell) -> None:
    result = shell("history", "nothing")
    assert (result.returncode, result.stdout) == (1, "")
    assert "waggle log nothing" in result.stderr
