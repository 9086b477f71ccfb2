"""The `waggle` command against a real hub: what each command prints, where, and with which exit code."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import waggle.sync
from tests.e2e.hubs import HubProcess

pytestmark = pytest.mark.e2e

WAGGLE = str(Path(sys.executable).with_name("waggle"))
SOON = 20.0
"""Seconds in which what is due must have come, on a machine that has other things to do."""

Shell = Callable[..., subprocess.CompletedProcess[str]]


def environment(**variables: str) -> dict[str, str]:
    """This process's environment without what is said there of a hub, and with ``variables``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WAGGLE_")}
    return {**kept, **variables}


@pytest.fixture
def env(hub: HubProcess, ns: str) -> dict[str, str]:
    return environment(WAGGLE_URL=hub.url, WAGGLE_NS=ns)


@pytest.fixture
def shell(env: dict[str, str]) -> Shell:
    """Runs `waggle` with these arguments to its end."""

    def run(*args: str, stdin: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [WAGGLE, *args], input=stdin, env={**env, **variables}, capture_output=True, text=True, timeout=60
        )

    return run


@pytest.fixture
def agent(hub: HubProcess, ns: str) -> Iterator[waggle.sync.Hub]:
    """Another agent, by the Python client."""
    with waggle.sync.connect(hub.url, agent=f"other-{ns}", ns=ns) as connected:
        yield connected


class Watching:
    """A `waggle watch` that runs."""

    def __init__(self, env: dict[str, str], *args: str) -> None:
        self.process = subprocess.Popen(
            [WAGGLE, "watch", *args], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.output, self.said = self.process.stdout, self.process.stderr

    def __enter__(self) -> Watching:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        with self.process:
            pass

    def line(self) -> str:
        return self.output.readline()

    def until_synced(self) -> None:
        """Read up to where the snapshot ends: from here on, it is subscribed."""
        while line := self.line():
            if line.startswith("-- this is all") or '"synced"' in line:
                return
        raise AssertionError(self.said.read())

    def end(self) -> tuple[int, str]:
        """Wait for its end: the exit code, and what it said to people."""
        return self.process.wait(SOON), self.said.read()


# --- keys --------------------------------------------------------------------------------------------------------


def test_what_is_set_can_be_got_and_piped(shell: Shell) -> None:
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


def test_if_rev_decides_and_the_refusal_shows_what_is_there(shell: Shell) -> None:
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


def test_what_the_hub_refuses_is_an_error_in_its_words(shell: Shell) -> None:
    for command in (
        ("list", "["),
        ("set", " k", "1"),
        ("get", "k", "--ns", "not good"),
        ("set", "k", "1", "--ttl", "-1"),
    ):
        result = shell(*command)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr.startswith("waggle: ")
        assert result.stderr.count("\n") == 1


# --- who it is ---------------------------------------------------------------------------------------------------


def test_agents_lists_who_is_here_and_not_itself(shell: Shell, agent: waggle.sync.Hub) -> None:
    agent.status("at work")
    mine = [line.split("\t") for line in shell("agents").stdout.splitlines() if line.startswith(agent.agent)]
    assert mine[0][2] == "here"
    assert mine[0][4] == "at work"
    everyone = [json.loads(line) for line in shell("agents", "--json").stdout.splitlines()]
    assert [one["status"] for one in everyone if one["agent"] == agent.agent] == ["at work"]
    assert not [one for one in everyone if one["meta"].get("role") == "cli"]


def test_a_command_leaves_no_agent_behind(shell: Shell, agent: waggle.sync.Hub) -> None:
    for command in (("set", "k", "1"), ("get", "k"), ("get", "none"), ("list", "["), ("watch", "--timeout", "0.1")):
        shell(*command)
        assert not [entry for entry in agent.agents() if entry.value["meta"].get("role") == "cli"]
    assert not [entry for entry in agent.list(ns="$seen") if entry.key.startswith("agent-")]


def test_the_name_comes_from_the_option_or_the_environment(shell: Shell) -> None:
    shell("set", "k", "1", WAGGLE_AGENT="from-env")
    assert json.loads(shell("get", "k", "--json").stdout)["by"] == "from-env"
    shell("set", "k", "1", "--agent", "from-option", WAGGLE_AGENT="from-env")
    assert json.loads(shell("get", "k", "--json").stdout)["by"] == "from-option"


# --- watch -------------------------------------------------------------------------------------------------------


def test_watch_is_pushed_what_happens(env: dict[str, str], agent: waggle.sync.Hub) -> None:
    agent.set("task:1", "old")
    with Watching(env, "task:*", "chat", "--snapshot", "--count", "5") as watching:
        watching.until_synced()
        agent.set("other", 1)
        agent.set("task:2", {"n": 1}, ttl=0.2)
        first = watching.line()
        agent.publish("chat", "hello")
        agent.delete("task:1")
        lines = [first, *(watching.line() for _ in range(3))]
        assert sorted(line.split()[1] for line in lines) == ["delete", "expire", "message", "set"]
        assert re.match(rf'\d\d:\d\d:\d\d\.\d\d\d  set +task:2  {agent.agent}  {{"n":1}}\n$', first)
        assert watching.end() == (0, "")


def test_watch_as_json_is_an_event_a_line(env: dict[str, str], agent: waggle.sync.Hub, ns: str) -> None:
    agent.set("k", 0)
    with Watching(env, "--json", "--snapshot", "--types", "set,touch", "--count", "3") as watching:
        known, synced = (json.loads(watching.line()) for _ in range(2))
        assert (known["type"], known["value"], known["snapshot"]) == ("set", 0, True)
        assert synced["type"] == "synced"
        written = agent.set("k", 1)
        agent.publish("k", "not asked for")
        agent.touch("k", 5)
        events = [json.loads(watching.line()) for _ in range(2)]
        assert [event["type"] for event in events] == ["set", "touch"]
        assert events[0]["rev"] == written.rev
        assert events[0]["ns"] == ns
        assert watching.end() == (0, "")


def test_watch_in_every_namespace_shows_which(env: dict[str, str], agent: waggle.sync.Hub, ns: str) -> None:
    with Watching(env, f"only-{ns}", "--ns", "*", "--snapshot", "--count", "1") as watching:
        watching.until_synced()
        agent.set(f"only-{ns}", 1)
        assert f" {ns} only-{ns}  " in watching.line()


def test_watch_ends_at_its_timeout(shell: Shell, agent: waggle.sync.Hub) -> None:
    nothing = shell("watch", "--timeout", "0.2")
    assert (nothing.returncode, nothing.stdout) == (1, "")
    assert "0.2 s" in nothing.stderr
    agent.set("k", 1)
    assert shell("watch", "--snapshot", "--timeout", "1").returncode == 0
    assert shell("watch", "--snapshot", "--timeout", "1", "--count", "2").returncode == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_quietly_and_its_session(
    env: dict[str, str], agent: waggle.sync.Hub, number: signal.Signals
) -> None:
    with Watching(env, "--snapshot", "--agent", "leaver") as watching:
        watching.until_synced()
        watching.process.send_signal(number)
        assert watching.end() == (-number, "")
    assert not [entry for entry in agent.agents() if entry.key == "leaver"]


def test_watch_ends_when_its_reader_has_gone(env: dict[str, str], agent: waggle.sync.Hub) -> None:
    """As in `waggle watch | head -1`: at once, not at the next event."""
    with Watching(env, "--snapshot") as watching:
        watching.until_synced()
        agent.set("k", 1)
        assert " k  " in watching.line()
        watching.output.close()
        assert watching.end() == (0, "")


def test_output_that_nobody_reads_is_no_error(env: dict[str, str], agent: waggle.sync.Hub) -> None:
    for n in range(200):
        agent.set(f"k{n}", "x" * 1000)
    command = f"{WAGGLE} list | head -1; echo ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", command], env=env, capture_output=True, text=True, timeout=60)
    assert result.stderr == ""
    assert result.stdout.splitlines()[-1] == "0"


def test_watch_outlives_its_hub_and_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    serve = [WAGGLE, "serve", "--memory", "--port", port]
    env = environment(WAGGLE_URL=f"http://127.0.0.1:{port}")
    with subprocess.Popen(serve, env=env, stdout=subprocess.PIPE) as first:
        try:
            assert first.stdout is not None
            assert first.stdout.readline()
            with Watching(env, "--snapshot") as watching:
                watching.until_synced()
                first.terminate()
                assert first.wait(SOON) == 0
                assert "away" in watching.said.readline()
                with subprocess.Popen(serve, env=env, stdout=subprocess.DEVNULL) as second:
                    try:
                        assert "back" in watching.said.readline()
                        assert "missed too much" in watching.line()
                        watching.until_synced()
                    finally:
                        second.terminate()
        finally:
            first.kill()


# --- on a terminal -----------------------------------------------------------------------------------------------


def on_terminal(env: dict[str, str], *args: str) -> str:
    """What `waggle` with these arguments writes to a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    env = {**env, "COLUMNS": "80", "TERM": "xterm-256color"}
    process = subprocess.Popen([WAGGLE, *args], env=env, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    written = b""
    try:
        while part := os.read(ours, 65536):
            written += part
    except OSError:
        pass  # what Linux says when the other end is closed
    os.close(ours)
    assert process.wait(SOON) == 0
    return written.decode().replace("\r\n", "\n")


def test_for_people_there_are_tables_and_colours(env: dict[str, str], agent: waggle.sync.Hub) -> None:
    agent.set("task:1", {"text": "long " * 50}, ttl=60)
    plain = re.sub(r"\x1b\[[\d;]*m", "", on_terminal(env, "list"))
    assert plain.split()[:5] == ["KEY", "VALUE", "LEFT", "BY", "REV"]
    assert all(len(line) <= 80 for line in plain.splitlines())
    assert "\n  " in on_terminal(env, "get", "task:1")
    watch = ("watch", "--snapshot", "--count", "1")
    assert "\x1b[" in on_terminal(env, *watch)
    assert "\x1b[" not in on_terminal({**env, "NO_COLOR": "1"}, *watch)
    assert "STATUS" in on_terminal(env, "agents")


# --- serve, and no hub -------------------------------------------------------------------------------------------


def test_without_a_hub_it_says_how_to_start_one(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    result = shell("get", "k", "--url", f"http://127.0.0.1:{port}")
    assert (result.returncode, result.stdout) == (2, "")
    assert "waggle serve" in result.stderr
    assert "WAGGLE_URL" in result.stderr
    assert "Traceback" not in result.stderr


def test_serve_says_where_it_is_and_stops_in_order() -> None:
    with subprocess.Popen(
        [WAGGLE, "serve", "--port", "0", "--memory"],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            url = process.stdout.readline().split()[-1]
            with waggle.sync.connect(url) as agent:
                assert agent.ping().rev > 0
            process.terminate()
            assert process.wait(SOON) == 0
            assert f"{url}/" in process.stdout.read()
            assert process.stderr.read() == ""
        finally:
            process.kill()


def test_serve_refuses_the_network_without_insecure(shell: Shell) -> None:
    result = shell("serve", "--host", "0.0.0.0", "--port", "0")
    assert (result.returncode, result.stdout) == (2, "")
    assert "--insecure" in result.stderr


def test_serve_has_the_hub_s_own_help(shell: Shell) -> None:
    result = shell("serve", "--help")
    assert result.returncode == 0
    assert result.stdout.startswith("usage: waggle serve ")
    assert all(option in result.stdout for option in ("--host", "--port", "--memory", "--insecure", "--allow-origin"))


def test_serve_on_a_port_that_is_taken_says_so(shell: Shell, hub: HubProcess) -> None:
    result = shell("serve", "--port", str(hub.port))
    assert result.returncode == 2
    assert "--port" in result.stderr


def test_a_module_in_the_current_directory_is_not_taken_for_one_of_the_hub_s(tmp_path: Path) -> None:
    (tmp_path / "asyncio.py").write_text("raise SystemExit('taken from the current directory')")
    options: dict[str, Any] = {"cwd": tmp_path, "env": environment(), "capture_output": True, "text": True}
    result = subprocess.run([WAGGLE, "serve", "--help"], timeout=60, **options)
    assert (result.returncode, result.stderr) == (0, "")
