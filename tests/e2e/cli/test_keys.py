"""The commands about one key, against a real hub: what each prints, where, and with which exit code."""

from __future__ import annotations

import json
import re
import signal
import time

import pytest

import waggle.sync
from tests.e2e.cli.shell import Restarting, Running, Shell

pytestmark = pytest.mark.e2e


def test_a_value_that_was_set_can_be_read_and_piped(shell: Shell) -> None:
    value = {"owner": "impl-1", "n": [1, 2.5, None, "ü\u0085"]}
    done = shell("set", "task:auth", json.dumps(value))
    assert (done.returncode, done.stderr) == (0, "")
    got = shell("get", "task:auth")
    assert (got.returncode, got.stderr) == (0, "")
    assert json.loads(got.stdout) == value
    assert shell("set", "copy", "-", stdin=got.stdout).returncode == 0
    assert shell("get", "copy").stdout == got.stdout


def test_text_goes_in_and_comes_out_without_quotes(shell: Shell) -> None:
    assert shell("set", "note", "hello there", "--text").returncode == 0
    assert shell("get", "note").stdout == '"hello there"\n'
    assert shell("get", "note", "--text").stdout == "hello there\n"
    assert shell("set", "number", "--text", "--", "-5").returncode == 0
    assert shell("get", "number").stdout == '"-5"\n'


def test_get_as_json_is_the_entry(shell: Shell, ns: str) -> None:
    written = json.loads(shell("set", "k", "1", "--ttl", "100", "--kind", "transient", "--json").stdout)
    entry = json.loads(shell("get", "k", "--json").stdout)
    assert entry["value"] == 1
    assert entry["ns"] == ns
    assert entry["kind"] == "transient"
    assert {name: entry[name] for name in written} == written
    assert 0 < entry["expires_at"] - time.time() <= 100


def test_keep_ttl_keeps_the_deadline(shell: Shell) -> None:
    first = json.loads(shell("set", "k", "1", "--ttl", "100", "--json").stdout)
    kept = json.loads(shell("set", "k", "2", "--keep-ttl", "--json").stdout)
    assert kept["expires_at"] == first["expires_at"]
    assert json.loads(shell("set", "k", "3", "--json").stdout)["expires_at"] is None


def test_an_absent_key_is_a_plain_no(shell: Shell) -> None:
    for command in ("get", "delete"):
        result = shell(command, "nothing")
        assert (result.returncode, result.stdout) == (1, "")
        assert "'nothing'" in result.stderr
    result = shell("get", "nothing", "--json")
    assert (result.returncode, json.loads(result.stdout)) == (1, None)
    result = shell("delete", "nothing", "--json")
    assert (result.returncode, json.loads(result.stdout)) == (1, {"deleted": False})


def test_delete_deletes(shell: Shell) -> None:
    shell("set", "k", "1")
    assert shell("delete", "k").returncode == 0
    assert shell("get", "k").returncode == 1
    shell("set", "k", "1")
    assert json.loads(shell("delete", "k", "--json").stdout) == {"deleted": True}


def test_if_rev_decides_and_the_refusal_shows_the_present_entry(shell: Shell) -> None:
    rev = json.loads(shell("set", "k", '"mine"', "--if-rev", "0", "--json").stdout)["rev"]
    again = shell("set", "k", '"yours"', "--if-rev", "0")
    assert (again.returncode, again.stdout) == (1, "")
    assert str(rev) in again.stderr
    refused = json.loads(shell("set", "k", '"yours"', "--if-rev", "0", "--json").stdout)["error"]
    assert refused["code"] == "conflict"
    assert refused["current"]["value"] == "mine"
    assert shell("delete", "k", "--if-rev", str(rev - 1)).returncode == 1
    assert shell("set", "k", '"next"', "--if-rev", str(rev)).returncode == 0
    assert "absent" in shell("set", "none", "1", "--if-rev", "7").stderr


def test_a_refusal_of_the_hub_is_an_error_in_the_hubs_words(shell: Shell) -> None:
    for command in (
        ("list", "["),
        ("set", " k", "1"),
        ("get", "k", "--ns", "not good"),
        ("set", "k", "1", "--ttl", "0"),
    ):
        result = shell(*command)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr.startswith("waggle: ")
        assert result.stderr.count("\n") == 1


def test_meta_goes_with_the_entry(shell: Shell) -> None:
    assert shell("set", "k", "1", "--meta", '{"label": "a"}').returncode == 0
    assert json.loads(shell("get", "k", "--json").stdout)["meta"] == {"label": "a"}
    refused = shell("set", "k", "1", "--meta", "[1]")
    assert (refused.returncode, refused.stdout) == (2, "")


def test_touch_changes_the_deadline_and_nothing_else(shell: Shell) -> None:
    before = json.loads(shell("set", "k", "1", "--json").stdout)
    assert json.loads(shell("touch", "k", "--ttl", "100", "--json").stdout)["expires_at"] > time.time() + 90
    assert re.fullmatch(r"k: 1m (39|40)s left\n", shell("touch", "k", "--ttl", "100").stdout)
    entry = json.loads(shell("get", "k", "--json").stdout)
    assert (entry["rev"], entry["version"]) == (before["rev"], before["version"])
    assert shell("touch", "k", "--forever").stdout == "k: no deadline\n"
    assert json.loads(shell("get", "k", "--json").stdout)["expires_at"] is None


def test_touch_of_an_absent_key_is_a_plain_no(shell: Shell) -> None:
    result = shell("touch", "nothing", "--ttl", "5")
    assert (result.returncode, result.stdout) == (1, "")
    assert "'nothing'" in result.stderr
    assert json.loads(shell("touch", "nothing", "--ttl", "5", "--json").stdout)["error"]["code"] == "not_found"


def test_an_entry_set_with_hold_returns_after_a_hub_restart() -> None:
    with Restarting() as hub, Running(hub.env, "set", "leader", '"me"', "--hold") as holding:
        assert holding.line()
        assert "Ctrl-C" in holding.said.readline()
        hub.stop()
        assert "away" in holding.said.readline()
        hub.start()
        assert "back" in holding.said.readline()
        with (
            waggle.sync.connect(hub.env["WAGGLE_URL"]) as other,
            other.watch("leader", snapshot=True, types=["set"]) as events,
        ):
            assert next(events).value == "me"


def test_an_entry_set_with_hold_is_there_while_the_command_runs(env: dict[str, str], agent: waggle.sync.Hub) -> None:
    with Running(env, "set", "leader", '"me"', "--if-rev", "0", "--hold") as holding:
        assert holding.line().startswith("leader: rev ")
        assert "Ctrl-C" in holding.said.readline()
        assert agent.get("leader")
        holding.process.send_signal(signal.SIGINT)
        assert holding.end() == (-signal.SIGINT, "")
    assert agent.get("leader") is None
